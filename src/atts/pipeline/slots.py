"""How many requests of one stage may be open at once, and who is next."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

Priority = tuple[float, ...]


class Slots:
    """A semaphore whose waiters are served by priority (lowest first), and in order of arrival within one.

    Cancelling a waiter or a holder never loses a slot.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._waiters: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._arrivals = 0

    @property
    def waiting(self) -> int:
        """Requests that want a slot and have none."""
        return sum(not future.done() for _, _, future in self._waiters)

    @asynccontextmanager
    async def hold(self, priority: Priority) -> AsyncIterator[None]:
        """Wait for a slot, hold it for the block, pass it on."""
        await self._acquire(priority)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, priority: Priority) -> None:
        if self.held < self.limit:
            self.held += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        heapq.heappush(self._waiters, (priority, self._arrivals, future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._release()  # the slot had been passed on to a task that no longer wants it
            raise

    def _release(self) -> None:
        """Hand the slot to the next waiter; it stays held in between, so that nobody overtakes."""
        while self._waiters:
            _, _, future = heapq.heappop(self._waiters)
            if not future.done():
                future.set_result(None)
                return
        self.held -= 1
