"""An engine without a model: recorded or drawn chains on a simulated model server, in the time of the event loop.

On a virtual clock (`clock.py` beside this) hours take seconds. Token ids carry what the engine has to know: a
prompt and every piece end with a mark that names problem, sample, turn and author; all other tokens are 0. Where the
work says that a piece tells of itself, its text holds the mark and the length, so that a chat about it can be rendered,
and begins with a doubt if the target is to be called; and its log-probabilities are those of its perplexity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from math import log
from typing import NamedTuple

from atts.engines.simulated.server import Request, Server
from atts.engines.simulated.work import Passage, Place, Work
from atts.errors import EngineError, InputError, ScoreError
from atts.types import ChainKey, EngineInfo, Finish, Generation, Message, Role, Sampling, Scoring, TokenIds, Usage

_PROMPT, _DRAFT, _TARGET = 1, 2, 3
_KIND = {Role.DRAFT: _DRAFT, Role.TARGET: _TARGET}
_BITS = 12  # of a sample, and of a turn
_QUESTION = 80  # tokens of a question about a chain, and of the opening of the reply
_POOR, _GOOD = 1 << 2, 9 << 2  # the tokens of two grades; as kind 0, they are no marks
_DOUBT = "wait "
_TOLD = re.compile("\x1e(\\d+) (\\d+)\x1f")  # mark and tokens, between signs that no answer has


class Mark(NamedTuple):
    """What the last token of a prompt or piece says."""

    problem: int
    sample: int
    turn: int
    kind: int

    def token(self) -> int:
        """As a token id."""
        return ((((self.problem << _BITS) | self.sample) << _BITS) | self.turn) << 2 | self.kind

    @classmethod
    def of(cls, token: int) -> Mark:
        """The mark that a token id is. Raises `EngineError` if it is none."""
        kind, turn, sample = token & 3, (token >> 2) & (1 << _BITS) - 1, (token >> 2 + _BITS) & (1 << _BITS) - 1
        if kind == 0:
            raise EngineError("a simulated engine reads only what simulated engines have written")
        return cls(token >> 2 + 2 * _BITS, sample, turn, kind)


class SimulatedEngine:
    """One of the two models of a work, on a server of its own.

    Lengths, scores and answers are the work's; time is the server's. Which chain a first request belongs to is told by
    its key, the number of the problem as text and the sample. With `continues` the target writes on after a chunk of
    the draft, in the same turn; otherwise what it writes is a turn of its own.
    """

    def __init__(self, role: Role, server: Server, work: Work, *, continues: bool = True) -> None:
        self.role = role
        self.server = server
        self.work = work
        self.continues = continues

    async def info(self) -> EngineInfo:
        """The machine, and one vocabulary for all simulated engines."""
        machine = self.server.machine
        return EngineInfo("simulated", machine.name, "simulated", machine.capacity)

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """The prompt of the problem whose number is the first message.

        If more follow, they are the text of a chain and a question about its last piece, whose mark then comes last.
        """
        number = messages[0].content if messages else ""
        if not (number.isdecimal() and int(number) < self.work.problems):
            raise InputError(f"problem {number!r}: simulated engines know problems 0 to {self.work.problems - 1}")
        ids = [0] * (self.work.prompt - 1) + [Mark(int(number), 0, 0, _PROMPT).token()]
        if len(messages) > 1:
            for mark, count in _TOLD.findall(messages[1].content):
                ids += [0] * (int(count) - 1) + [int(mark)]
            ids += [0] * (_QUESTION - 1) + ids[-1:]
        return ids

    async def tokenize(self, text: str) -> list[int]:
        """Nothing: no text has a meaning here."""
        return []

    async def detokenize(self, ids: TokenIds) -> str:
        """The grades among the ids as digits; nothing else has a text."""
        if _POOR not in ids and _GOOD not in ids:
            return ""
        return "".join(str(token >> 2) for token in ids if token in (_POOR, _GOOD))

    async def generate(
        self,
        prefix: TokenIds,
        *,
        max_tokens: int,
        sampling: Sampling,
        stop: Sequence[str] = (),
        seed: int | None = None,
        chain: ChainKey | None = None,
    ) -> Generation:
        """Write the work's piece for the chain and turn that prefix and key tell of."""
        place = self._place(prefix, max_tokens, chain)
        passage = self.work.passage(place, self.role)
        count = passage.tokens
        end = Mark(place.problem, place.sample, passage.turn, _KIND[self.role]).token()
        request = Request(
            key=(place.problem, place.sample),
            prompt=self.work.prompt,
            context=len(prefix),
            base=len(prefix),
            write=max(1, count),  # to end the text at once takes a token too
            token=prefix.__getitem__,
            end=end,
        )
        await self.server.serve(request)
        told = passage.told
        return Generation(
            ids=(0,) * (count - 1) + (end,) if count else (),
            text="".join(_text(passage, end, stop)),
            finish=Finish.LENGTH if passage.finish is Finish.STOP and not stop else passage.finish,
            usage=Usage(prompt=len(prefix), cached=request.cached, completion=count),
            log_probabilities=None if told is None else (-log(told.perplexity),) * count,
        )

    async def score(self, prefix: TokenIds, continuation: TokenIds, *, chain: ChainKey | None = None) -> Scoring:
        """One prefill; every token of the chunk has the same log-probability, so that the perplexity is the work's."""
        if not continuation:
            raise ScoreError("an empty continuation has no score")
        mark = Mark.of(continuation[-1])
        whole = len(prefix) + len(continuation)
        request = Request(
            key=(mark.problem, mark.sample),
            prompt=self.work.prompt,
            context=whole,
            base=len(prefix),
            write=0,
            token=_at(prefix, continuation),
            end=continuation[-1],
        )
        await self.server.serve(request)
        perplexity = self.work.shape(mark.problem, mark.sample).turns[mark.turn].perplexity
        return Scoring((-log(perplexity),) * len(continuation), Usage(prompt=whole, cached=request.cached))

    async def next_token(self, prefix: TokenIds, *, top: int, chain: ChainKey | None = None) -> list[tuple[int, float]]:
        """The grade of the piece that a rendered question is about; poor where the target is to be called for it."""
        mark = Mark.of(prefix[-1])
        chain = mark.problem, mark.sample
        graded = len(prefix) - _QUESTION - 1  # where that piece ends
        # The chat begins as the chain does, so that what stands of it is in the cache; the question is kept for nobody.
        request = Request(
            key=chain,
            prompt=self.work.prompt,
            context=len(prefix),
            base=next((place for place in range(graded, 0, -1) if prefix[place - 1]), 0),
            write=1,
            token=prefix.__getitem__,
            end=prefix[-1],
            passing=_QUESTION + 1,
        )
        await self.server.serve(request)
        called = self.work.shape(*chain).turns[mark.turn].taken
        return [(_POOR if called else _GOOD, 0.0)][:top]

    def release(self, chain: ChainKey) -> None:
        """Nothing is kept: what a cache holds is the server's to say."""

    async def close(self) -> None:
        """Nothing is held."""

    def _place(self, prefix: TokenIds, most: int, chain: ChainKey | None) -> Place:
        """Where a request writes that comes after this prefix."""
        last = Mark.of(prefix[-1])
        stands = len(prefix) - self.work.prompt
        if last.kind == _PROMPT:
            return Place(last.problem, self._sample(last.problem, chain), 0, stands, most)
        if self.role is Role.TARGET and last.kind == _DRAFT and self.continues:
            return Place(last.problem, last.sample, last.turn, stands, most, after_chunk=True)
        return Place(last.problem, last.sample, last.turn + 1, stands, most)

    def _sample(self, problem: int, chain: ChainKey | None) -> int:
        """The sample of the problem that a chain is."""
        if isinstance(chain, tuple) and len(chain) == 2 and chain[0] == str(problem) and isinstance(chain[1], int):
            return chain[1]
        raise EngineError(f"a request for problem {problem} names no sample of it, but chain {chain!r}")


def _text(passage: Passage, mark: int, stop: Sequence[str]) -> Iterator[str]:
    if passage.told is not None:
        yield _DOUBT if passage.told.taken else ""
        yield f"\x1e{mark} {passage.tokens}\x1f"
    if passage.answer is not None:
        yield rf"\boxed{{{passage.answer}}}"
    if passage.finish is Finish.STOP:
        yield from stop[:1]


def _at(prefix: TokenIds, continuation: TokenIds) -> Callable[[int], int]:
    length = len(prefix)
    return lambda place: prefix[place] if place < length else continuation[place - length]
