"""An engine without a model, for tests: what it writes, how long it takes and when it fails is up to a script.

Its tokens are the bytes of UTF-8, so every boundary can be checked by eye.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from atts.engines.base import EngineOptions
from atts.engines.local.tokenizer import ByteTokenizer
from atts.errors import InputError, ScoreError
from atts.seeds import uniform
from atts.types import ChainKey, EngineInfo, Finish, Generation, Message, Sampling, Scoring, TokenIds, Usage

Call = Literal["generate", "score", "next_token"]


def _six_steps(text: str, seed: int) -> str:
    return steps(6)(text, seed)


def _no_delay(call: Call, seed: int) -> float:
    return 0.0


def _no_failure(call: Call, count: int) -> Exception | None:
    return None


def _hashed(prefix: TokenIds, continuation: TokenIds) -> tuple[float, ...]:
    """Log-probabilities that depend on the bytes alone, between −2 and 0."""
    return tuple(-2 * uniform(len(prefix) + place, token) for place, token in enumerate(continuation))


@dataclass
class Script:
    """What a scripted engine does.

    `write(text, seed)` is all that the model would write after the text. `score(prefix, continuation)` gives one
    log-probability a token. `delay(call, seed)` is in seconds; `fail(call, count)` may return the error to raise at
    the count-th request.
    """

    write: Callable[[str, int], str] = _six_steps
    score: Callable[[TokenIds, TokenIds], tuple[float, ...]] = _hashed
    delay: Callable[[Call, int], float] = _no_delay
    fail: Callable[[Call, int], Exception | None] = _no_failure


def steps(count: int, answer: str = "42") -> Callable[[str, int], str]:
    """A script that writes numbered steps, a blank line after each, and then the boxed answer."""

    def write(text: str, seed: int) -> str:
        done = text.count("\n\n")
        lines = [f"Step {number}: {seed % 97}.\n\n" for number in range(done + 1, count)]
        return "".join(lines) + rf"So the answer is \boxed{{{answer}}}."

    return write


class ScriptedEngine:
    """Speaks the engine protocol by a script, and counts what it is asked.

    `in_flight` is the number of open requests, `peak` its highest value, `requests` the number of calls so far.
    """

    def __init__(self, script: Script | None = None, *, name: str = "scripted") -> None:
        self.script = script or Script()
        self.name = name
        self.in_flight = 0
        self.peak = 0
        self.requests = 0
        self.closed = False
        self._bytes = ByteTokenizer()

    async def info(self) -> EngineInfo:
        """Always the same vocabulary: bytes."""
        details = {"vocabulary_size": 256}
        return EngineInfo(engine="scripted", model=self.name, vocabulary=self._bytes.vocabulary(), details=details)

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """Role and content, a line each; the assistant's last message stays open."""
        return self._bytes.render([message._asdict() for message in messages])

    async def tokenize(self, text: str) -> list[int]:
        """The bytes of the text."""
        return self._bytes.tokenize(text)

    async def detokenize(self, ids: TokenIds) -> str:
        """The text of the bytes."""
        return self._bytes.detokenize(ids)

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
        """Write what the script says, cut at a stop string or at the limit."""
        await self._request("generate", seed or 0)
        text = bytes(prefix).decode(errors="replace").rpartition("<assistant>")[2]
        whole = self.script.write(text, seed or 0)
        ends = [place + len(string) for string in stop if (place := whole.find(string)) >= 0]
        cut = whole[: min(ends)] if ends else whole
        ids = cut.encode()[:max_tokens]
        finish = Finish.LENGTH if len(ids) < len(cut.encode()) else Finish.STOP if ends else Finish.END
        return Generation(
            ids=tuple(ids),
            text=ids.decode(errors="replace"),
            finish=finish,
            usage=Usage(prompt=len(prefix), completion=len(ids)),
            log_probabilities=_hashed(prefix, ids),
        )

    async def score(self, prefix: TokenIds, continuation: TokenIds, *, chain: ChainKey | None = None) -> Scoring:
        """What the script says of each token."""
        await self._request("score", len(prefix))
        if not continuation:
            raise ScoreError("an empty continuation has no score")
        values = self.script.score(prefix, continuation)
        return Scoring(values, Usage(prompt=len(prefix) + len(continuation), cached=len(prefix)))

    async def next_token(self, prefix: TokenIds, *, top: int, chain: ChainKey | None = None) -> list[tuple[int, float]]:
        """The first byte of what would be written, and nothing else."""
        await self._request("next_token", len(prefix))
        text = bytes(prefix).decode(errors="replace").rpartition("<assistant>")[2]
        return [(self.script.write(text, 0).encode()[0], 0.0)][:top]

    def release(self, chain: ChainKey) -> None:
        """Nothing is kept of a chain."""

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    async def _request(self, call: Call, seed: int) -> None:
        self.requests += 1
        count = self.requests
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.script.delay(call, seed))
            if (error := self.script.fail(call, count)) is not None:
                raise error
        finally:
            self.in_flight -= 1


def open_scripted(address: str, options: EngineOptions | None = None) -> ScriptedEngine:
    """`scripted:` writes six steps, `scripted:N` writes N, `scripted:N,SECONDS` takes that long for each request."""
    match = re.fullmatch(r"([1-9]\d*)?(?:,(\d*\.?\d+))?", address)
    if match is None:
        raise InputError(f"scripted:{address}: give steps and seconds a request, e.g. scripted:8,0.01")
    seconds = float(match[2] or 0)
    return ScriptedEngine(Script(write=steps(int(match[1] or 6)), delay=lambda call, seed: seconds))
