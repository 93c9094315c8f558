"""Asynchronous work for plain code, also where an event loop runs already, as in a notebook."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_EVERY = 0.5  # seconds between two looks at what is to be shown


class Blocking(Generic[T]):
    """Work on an event loop in a thread of its own, for which `wait` waits in the caller's.

    `stop`, if somebody sets it, is called on the loop at the first Ctrl-C and lets the work come to an end of its own;
    the second one cancels it.
    """

    def __init__(self, work: Callable[[Blocking[T]], Coroutine[Any, Any, T]]) -> None:
        self.stop: Callable[[], object] | None = None
        self._work = work
        self._outcome: Future[T] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._presses = 0

    def wait(self, meanwhile: Callable[[], object] = lambda: None) -> T:
        """Its result or its error. `meanwhile` is called every now and then, in this thread.

        Raises `KeyboardInterrupt` after an interrupt, when the work has ended.
        """
        thread = threading.Thread(target=self._run, name="atts")
        thread.start()
        while not self._outcome.done():
            try:
                self._wait(meanwhile)
            except KeyboardInterrupt:
                self._interrupt()
        thread.join()
        if self._presses:
            raise KeyboardInterrupt
        return self._outcome.result()

    def _wait(self, meanwhile: Callable[[], object]) -> None:
        while not self._outcome.done():
            try:
                self._outcome.exception(timeout=_EVERY)
            except TimeoutError:
                meanwhile()
            except CancelledError:
                return

    def _run(self) -> None:
        try:
            self._outcome.set_result(asyncio.run(self._main()))
        except asyncio.CancelledError:
            self._outcome.cancel()
        except BaseException as error:  # in whatever thread it was raised, the caller is to hear of it
            self._outcome.set_exception(error)

    async def _main(self) -> T:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        return await self._work(self)

    def _interrupt(self) -> None:
        self._presses += 1
        if self._loop is None or self._task is None or self._loop.is_closed():
            return
        if self._presses == 1 and self.stop is not None:
            print("stopping: turns under way are finished and saved (again: stop now)", file=sys.stderr)
            self._loop.call_soon_threadsafe(self.stop)
        elif self._presses <= 2:  # more of them would only keep it from saving
            self._loop.call_soon_threadsafe(self._task.cancel)
