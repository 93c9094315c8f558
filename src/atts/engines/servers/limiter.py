"""How many requests a server gets at once: found out while it works, because no server says it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

_CUT = 0.7  # what is left of the limit when the server complains
_EASE = 0.9  # and when its answers only take longer
_QUEUEING = 4.0  # a round this many times slower than the best one spends its time in the server's queue
_FORGET = 1.02  # the best round grows by this much each round, because contexts grow
_ROUND = 16  # answers that are enough for a mean


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests that are alike: they are answered in the same form, and those of about one size in about the same time.

    `size` counts the work that an answer took, in tokens; without it all take as long.
    """

    name: str
    size: Callable[[Any], int] | None = None

    def like(self, answer: Any) -> str:
        """What the answers share that would take as long on an idle server, give or take a factor of two."""
        return self.name if self.size is None else f"{self.name} {self.size(answer).bit_length()}"


@dataclass(slots=True)
class _Round:
    """Answers of one kind of request since the last judgement, and the best mean so far; seconds."""

    total: float = 0.0
    count: int = 0
    best: float = float("inf")


class Limiter:
    """A limit of open requests that follows what the server can bear (Jacobson's congestion avoidance).

    Slow start: each answer raises the limit by one, so that it doubles every round. After the first complaint (429,
    503, time-out) it grows by one a round, and falls by a third at most once a round trip. Where answers of one kind
    take four times as long as they did in the best round, they wait in the server's queue, and the limit gives way;
    so a kind holds only what takes about as long on an idle server. It never grows beyond `most`, nor while it is
    not used up.
    """

    def __init__(self, most: int, start: int = 16) -> None:
        self.most = most
        self.limit = float(min(start, most))
        self.held = 0
        self._slow_start = True
        self._last_cut = -1.0
        self._rounds: dict[str, _Round] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Wait for room, hold it for the block. Cancelling never loses room."""
        await self._acquire()
        try:
            yield
        finally:
            self.held -= 1
            self._wake()

    def answered(self, kind: str, seconds: float) -> None:
        """A request of this kind was answered after so long."""
        if self.held >= int(self.limit):
            step = 1.0 if self._slow_start else 1.0 / self.limit
            self.limit = min(float(self.most), self.limit + step)
            self._wake()
        current = self._rounds.setdefault(kind, _Round())
        current.total += seconds
        current.count += 1
        if current.count >= max(_ROUND, self.limit):
            self._judge(current)

    def congested(self, started: float, now: float) -> None:
        """The server complained of a request that was sent at `started`; one complaint a round trip counts."""
        if started >= self._last_cut:
            self._reduce(_CUT, now)

    def _judge(self, current: _Round) -> None:
        mean = current.total / current.count
        current.best = min(current.best * _FORGET, mean)
        current.total, current.count = 0.0, 0
        if mean > _QUEUEING * current.best:
            self._reduce(_EASE, self._last_cut)

    def _reduce(self, factor: float, now: float) -> None:
        self.limit = max(1.0, self.limit * factor)
        self._slow_start = False
        self._last_cut = now

    async def _acquire(self) -> None:
        if self.held < int(self.limit) and not self._waiters:
            self.held += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.held -= 1  # room had been passed on to a task that no longer wants it
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiters and self.held < int(self.limit):
            future = self._waiters.popleft()
            if not future.done():
                self.held += 1
                future.set_result(None)
