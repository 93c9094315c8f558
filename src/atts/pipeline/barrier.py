"""Where the samples of a problem wait for each other, for methods that go in step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping


class Barrier:
    """Holds back the samples of a problem until all are there. Whoever leaves it (ended, failed, cancelled) is no
    longer waited for.

    Made from the number of turns that each sample has, so that samples of a resumed run fall into step again. Every
    one of them has to be submitted, or the others wait for it.
    """

    def __init__(self, turns: Mapping[int, int]) -> None:
        # The turn that a sample has begun; at first the one before its next, since it is not there yet.
        self._turns = {sample: made - 1 for sample, made in turns.items()}
        self._there: set[int] = set()
        self._stopped = False
        self._waiters: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        return len(self._turns)

    async def begin(self, sample: int, turn: int) -> bool:
        """Wait until every sample has come as far as this turn. False: the run stops first, and it must not begin."""
        self._turns[sample] = turn
        self._there.discard(sample)
        self._wake()
        await self._until(lambda: self._stopped or self._earlier(turn) == 0)
        return self._earlier(turn) == 0

    async def meet(self, sample: int) -> None:
        """Wait, in mid-turn, until every other sample is there too, or is through with this turn."""
        turn = self._turns[sample]
        self._there.add(sample)
        self._wake()
        await self._until(lambda: all(n > turn or other in self._there for other, n in self._turns.items()))

    def leave(self, sample: int) -> None:
        """The sample makes no further turn."""
        self._turns.pop(sample, None)
        self._there.discard(sample)
        self._wake()

    def stop(self) -> None:
        """Nobody who still waits for a turn to begin begins it."""
        self._stopped = True
        self._wake()

    def _earlier(self, turn: int) -> int:
        """How many samples have not come as far as this turn."""
        return sum(begun < turn for begun in self._turns.values())

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(future)
            await future

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            if not future.done():
                future.set_result(None)
