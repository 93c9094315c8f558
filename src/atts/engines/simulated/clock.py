"""An event loop whose time jumps: a schedule of hours runs in the seconds that its own code takes, and repeatably.

    result = run_virtually(main())

Whatever waits with `asyncio.sleep`, `asyncio.timeout` or `loop.call_later` runs on it unchanged. There is no place in
it for the outside world: a socket that takes a real second to answer has seen every time-out pass at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(RuntimeError):  # noqa: N818 - what it is called everywhere
    """Tasks wait, and nothing is left that could wake one of them."""


class _JumpingSelector(selectors.DefaultSelector):
    """Where a selector would sleep, this one moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise Deadlock("every task waits, and nothing is left that could wake one of them")
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which begins at 0 s and moves only when everybody waits.

    Work for a thread (`asyncio.to_thread`) is done at once, in this thread, and takes no time: threads of their own
    would come back at moments that differ from run to run. Raises `Deadlock` where a real loop would wait forever.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Call the function now; its result or error comes as a future that is done."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a virtual clock: run to the end and return the result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
