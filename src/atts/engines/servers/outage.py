"""A server that is down: one task asks for it, all requests wait, for a bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from atts.errors import RunError

_FIRST_PAUSE = 0.2  # seconds between two questions, at first
_LONGEST_PAUSE = 5.0

logger = logging.getLogger("atts")


class Outage(Protocol):
    """What to do with a request whose server is down."""

    async def wait(self, cause: Exception) -> None:
        """Return once the request may be sent again; raise if it should not be."""
        ...

    def close(self) -> None:
        """Stop waiting."""
        ...


class WaitedOutage:
    """Waits until `healthy` says so, `patience` seconds at most; then the run cannot go on (`RunError`)."""

    def __init__(self, name: str, healthy: Callable[[], Awaitable[bool]], patience: float) -> None:
        self.patience = patience
        self._name, self._healthy = name, healthy
        self._task: asyncio.Task[None] | None = None

    async def wait(self, cause: Exception) -> None:
        """Wait with all others; one task asks."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(cause))
            # If everyone who waits is cancelled, nobody reads the outcome.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._task)

    def close(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self, cause: Exception) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        logger.warning("%s does not answer; waiting for it up to %g s", self._name, self.patience)
        pause = min(_FIRST_PAUSE, self.patience / 10)
        while not await self._healthy():
            left = began + self.patience - clock()
            if left <= 0:
                raise RunError(f"{self._name} did not come back within {self.patience:g} s ({cause})")
            await asyncio.sleep(min(pause, left))
            pause = min(_LONGEST_PAUSE, pause * 1.5)
        logger.warning("%s answers again after %.1f s", self._name, clock() - began)
