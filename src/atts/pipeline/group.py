"""The samples of one problem, for methods whose samples wait for each other or learn from each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any


class Group:
    """Where the samples of a problem meet. Whoever leaves (ended, failed, cancelled) is no longer waited for.

    Made from the number of turns that each sample has, so that samples of a resumed run fall into step again. `chains`
    holds those that are open, by sample.
    """

    def __init__(self, turns: Mapping[int, int]) -> None:
        # The turn that a sample has begun; at first the one before its next, since it is not there yet.
        self._turns = {sample: made - 1 for sample, made in turns.items()}
        self.chains: dict[int, Any] = {}
        self._there: set[int] = set()
        self._stopped = False
        self._waiters: list[asyncio.Future[None]] = []

    async def begin(self, sample: int, turn: int) -> bool:
        """Wait until no sample is behind this turn. False: the run stops first, and the turn must not begin."""
        self._turns[sample] = turn
        self._there.discard(sample)
        self._wake()
        await self._until(lambda: self._stopped or self._behind(turn) == 0)
        return self._behind(turn) == 0

    async def meet(self, sample: int) -> None:
        """Wait, in mid-turn, until every other sample is there too, or is through with this turn."""
        turn = self._turns[sample]
        self._there.add(sample)
        self._wake()
        await self._until(lambda: all(n > turn or other in self._there for other, n in self._turns.items()))

    def leave(self, sample: int) -> None:
        """The sample makes no further turn."""
        self._turns.pop(sample, None)
        self.chains.pop(sample, None)
        self._there.discard(sample)
        self._wake()

    def stop(self) -> None:
        """Nobody who still waits for a turn to begin begins it."""
        self._stopped = True
        self._wake()

    def _behind(self, turn: int) -> int:
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
