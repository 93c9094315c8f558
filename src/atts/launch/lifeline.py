"""A process that ends with the one that started it, whatever it is doing at that moment.

Two ropes, each enough: the kernel kills it when its parent dies (Linux: parent-death signal), and a thread of its own
notices that its standard input, which the parent holds open, has ended. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, linux/prctl.h
SET_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER

# Looked up here: between fork and exec, only the call itself is safe.
prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else lambda option, value: 0
"""Linux's call of that name, which does nothing elsewhere."""

# The signal follows the thread that forked, not its process; this one lives as long as the process.
_SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="spawner")


def spawn(command: list[str], **settings: Any) -> subprocess.Popen[bytes]:
    """Start a process that follows this one, as `subprocess.Popen` does, from whatever thread; blocks until it runs."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, **settings)

    return _SPAWNER.submit(start).result()


def follow_parent() -> None:
    """Die when the thread dies that started this process. Does nothing where the kernel cannot be asked."""
    prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream, usually standard input. When it ends, this process does, whatever else it is doing.

    They are read by a thread of its own from the call on, also while nobody asks for the next one.
    """
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        try:
            for line in stream:
                waiting.put(line)
        finally:
            os._exit(0)

    threading.Thread(target=read, name="lifeline", daemon=True).start()
    return iter(waiting.get, None)
