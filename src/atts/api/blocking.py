"""Asynchronous work for plain code, also where an event loop runs already, as in a notebook."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_EVERY = 0.5  # seconds between two looks at what is to be shown


class Blocking(Generic[T]):
    """Work on an event loop in a thread of its own, for which `wait` waits in the caller's.

    `stop`, if somebody sets it, is called on the loop at the first Ctrl-C and lets the work come to an end of its own;
    the second one cancels it. More of them would only keep it from saving, and do nothing.
    """

    def __init__(self, work: Callable[[Blocking[T]], Coroutine[Any, Any, T]]) -> None:
        self.stop: Callable[[], object] | None = None
        self._work = work
        self._outcome: Future[T] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._presses = 0
        self._told = False

    def wait(self, meanwhile: Callable[[], object] = lambda: None) -> T:
        """Its result or its error. `meanwhile` is called every now and then, in this thread.

        Raises `KeyboardInterrupt` after an interrupt, when the work has ended.
        """
        thread = threading.Thread(target=self._run, name="atts")
        with self._interrupts():
            thread.start()
            try:
                self._wait(meanwhile)
            except BaseException:  # whatever somebody else's signal handler raises here
                self._cancel()
                raise
            finally:
                thread.join()
        if self._presses:
            raise KeyboardInterrupt
        return self._outcome.result()

    def _wait(self, meanwhile: Callable[[], object]) -> None:
        while not self._outcome.done():
            try:
                self._outcome.exception(timeout=_EVERY)
            except TimeoutError:
                self._tell()
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

    @contextmanager
    def _interrupts(self) -> Iterator[None]:
        """Ctrl-C is a wish to stop, where it would have been a `KeyboardInterrupt`; a handler of the caller's stays."""
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, lambda number, frame: self._interrupt())
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self) -> None:
        self._presses += 1
        if self._presses == 1 and self.stop is not None:
            self._soon(self.stop)
        elif self._presses <= 2:
            self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._soon(self._task.cancel)

    def _soon(self, call: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def _tell(self) -> None:
        """Say what the first Ctrl-C has done; not where it arrives, in the middle of whatever is being printed."""
        if self._presses and not self._told:
            self._told = True
            print("stopping: turns under way are finished and saved (again: stop now)", file=sys.stderr)
