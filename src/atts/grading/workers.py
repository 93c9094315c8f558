"""Processes that answer one question at a time and are killed and replaced when one takes too long.

A thread cannot be stopped and a stuck expression can hold the interpreter; a process can be killed. Pebble's pool was
tried in their place: as fast (1.4 ms a question against 1.5), a worker deaf to SIGTERM gone 3 s after its limit instead
of at once, and 2 s of silence after one died. What decides: its processes load the caller's main module, so that a
script that grades without a guard would run itself again; these are programs of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

from atts.launch.lifeline import spawn

START_SECONDS = 60.0  # loading the libraries may be slow on a busy machine
_MEGABYTE = 1 << 20


class SilenceError(Exception):
    """A question got no answer: `reason` says why ("time limit", "worker died")."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Worker:
    """One process that runs a module, reads a line of JSON and writes a line of JSON."""

    def __init__(self, module: str, arguments: tuple[str, ...] = ()) -> None:
        self._process = spawn(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the parent's to handle
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._ready = False

    def ask(self, question: Any, limit: float) -> Any:
        """The answer, within `limit` seconds. Raises SilenceError; then the process must be closed."""
        if not self._ready:  # its first line says that its libraries are loaded
            self._line(START_SECONDS)
            self._ready = True
        try:
            self._input.write(json.dumps(question).encode() + b"\n")
            self._input.flush()
        except OSError as error:
            raise SilenceError("worker died") from error
        return json.loads(self._line(limit))

    def _line(self, limit: float) -> bytes:
        end, parts = time.monotonic() + limit, b""
        while not parts.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise SilenceError("time limit")
            part = os.read(self._output.fileno(), _MEGABYTE)
            if not part:
                raise SilenceError("worker died")
            parts += part
        return parts

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        self._output.close()
        with contextlib.suppress(OSError):  # what was not yet written has no reader
            self._input.close()


class Workers:
    """`count` workers that any thread may ask; a worker that stays silent is replaced by a new one.

    Processes start when they are first needed.
    """

    def __init__(self, module: str, *, count: int, limit: float, arguments: tuple[str, ...] = ()) -> None:
        self._module, self._arguments, self._limit = module, arguments, limit
        self._idle: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(None)
        self._count = count
        self._lock = threading.Lock()
        self._closed = False
        self.replaced = 0

    def ask(self, question: Any) -> Any:
        """The answer to a question that JSON can hold, from the next free worker.

        Raises SilenceError where a worker took too long or died, RuntimeError once closed.
        """
        if self._closed:
            raise RuntimeError("workers are closed")
        worker = self._idle.get()
        try:
            worker = worker or Worker(self._module, self._arguments)
            return worker.ask(question, self._limit)
        except SilenceError:
            assert worker is not None
            worker.close()
            worker = None
            with self._lock:
                self.replaced += 1
            raise
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End all processes; waits for questions under way."""
        self._closed = True
        workers = [self._idle.get() for _ in range(self._count)]  # all of them first: what is put back comes out again
        for worker in workers:
            if worker is not None:
                worker.close()
            self._idle.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
