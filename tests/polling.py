"""Waiting for something that another process or server does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return once the condition holds; it is asked in a thread, since it may look at files."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110  (nobody could set an event)
            await asyncio.sleep(0.01)
