"""An engine without a model: recorded or drawn chains on a simulated model server, in the time of the event loop.

On a virtual clock (`atts.virtual`) a schedule of hours takes seconds. Token ids carry what the engine has to know: a
prompt and every piece end with a mark that names problem, sample, turn and author; all other tokens are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import NamedTuple

from atts.engines.simulated.server import Request, Server
from atts.engines.simulated.work import Work
from atts.errors import EngineError, InputError, ScoreError
from atts.types import EngineInfo, Finish, Generation, Message, Role, Sampling, Scoring, TokenIds, Usage

_PROMPT, _DRAFT, _TARGET = 1, 2, 3
_KIND = {Role.DRAFT: _DRAFT, Role.TARGET: _TARGET}
_BITS = 12  # of a sample, and of a turn


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

    Lengths, scores and answers are the work's; time is the server's. Which chain a first request belongs to is told
    by its seed; so requests must have the seeds of `atts.pipeline.stages`, with the work's own seed as that of the run.
    """

    def __init__(self, role: Role, server: Server, work: Work) -> None:
        self.role = role
        self.server = server
        self.work = work

    async def info(self) -> EngineInfo:
        """The machine, and one vocabulary for all simulated engines."""
        machine = self.server.machine
        return EngineInfo("simulated", machine.name, "simulated", machine.capacity)

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """The prompt of the problem whose number is the last message."""
        number = messages[-1].content if messages else ""
        if not (number.isdecimal() and int(number) < self.work.problems):
            raise InputError(f"problem {number!r}: simulated engines know problems 0 to {self.work.problems - 1}")
        return [0] * (self.work.prompt - 1) + [Mark(int(number), 0, 0, _PROMPT).token()]

    async def tokenize(self, text: str) -> list[int]:
        """Nothing: no text has a meaning here."""
        return []

    async def detokenize(self, ids: TokenIds) -> str:
        """Nothing."""
        return ""

    async def generate(
        self,
        prefix: TokenIds,
        *,
        max_tokens: int,
        sampling: Sampling,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Generation:
        """Write the work's piece for the chain and turn that prefix and seed tell of."""
        problem, sample, turn = self._whose(Mark.of(prefix[-1]), seed)
        length, ends, answer = self.work.piece(problem, sample, turn, self.role)
        count = min(length, max_tokens)
        end = Mark(problem, sample, turn, _KIND[self.role]).token()
        request = Request(
            key=(problem, sample),
            prompt=self.work.prompt,
            context=len(prefix),
            base=len(prefix),
            write=max(1, count),  # to end the text at once takes a token too
            token=prefix.__getitem__,
            end=end,
        )
        await self.server.serve(request)
        return Generation(
            ids=(0,) * (count - 1) + (end,) if count else (),
            text="" if answer is None else rf"\boxed{{{answer}}}",
            finish=Finish.END if ends and count == length else Finish.LENGTH,
            usage=Usage(prompt=len(prefix), cached=request.cached, completion=count),
        )

    async def score(self, prefix: TokenIds, continuation: TokenIds) -> Scoring:
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

    async def next_token(self, prefix: TokenIds, *, top: int) -> list[tuple[int, float]]:
        """Not simulated: raises `EngineError`."""
        raise EngineError("simulated engines know no next tokens, so methods that ask for them cannot be simulated")

    async def close(self) -> None:
        """Nothing is held."""

    def _whose(self, last: Mark, seed: int | None) -> tuple[int, int, int]:
        """Problem, sample and turn of a request to write behind that mark."""
        if last.kind == _PROMPT:
            sample = None if seed is None else self.work.sample_of(last.problem, seed)
            if sample is None:
                raise EngineError(
                    f"a request for problem {last.problem} has a seed that belongs to none of its samples"
                )
            return last.problem, sample, 0
        takes_over = self.role is Role.TARGET and last.kind == _DRAFT and seed is not None
        if takes_over and self.work.is_takeover(last.problem, last.sample, last.turn, seed or 0):
            return last.problem, last.sample, last.turn
        return last.problem, last.sample, last.turn + 1


def _at(prefix: TokenIds, continuation: TokenIds) -> Callable[[int], int]:
    length = len(prefix)
    return lambda place: prefix[place] if place < length else continuation[place - length]
