"""The guard of one model server: `python -m atts.launch.guard LOG GRACE -- COMMAND…`.

It starts the command and ends it, with everything that came of it, as soon as nobody wants it any more: when its own
standard input ends (whoever launched it closed the pipe, or died in whatever way) or when it gets SIGTERM. The process
id of the server is the first line of its output, and the server's exit status is its own.

Processes that the server leaves behind become children of the guard (Linux: child subreaper), so it finds them all.
Should the guard itself be killed, the kernel kills the server (Linux: parent-death signal). Elsewhere the process group
of the server is what can be reached. Standard library only: it must start at once.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from atts.launch.lifeline import SET_CHILD_SUBREAPER, follow_parent, prctl

_ON_LINUX = sys.platform == "linux"


class Guard:
    """One server, its exit status once it has ended, and everything that descends from it."""

    def __init__(self, command: list[str], log: Path, grace: float) -> None:
        """Start the command in a session of its own; `grace` is how many seconds it has to end by itself."""
        self._grace = grace
        self._status: int | None = None
        prctl(SET_CHILD_SUBREAPER, 1)
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=follow_parent,  # noqa: PLW1509 - this process has one thread
            )

    @property
    def pid(self) -> int:
        """The server's process id, which is that of its process group too."""
        return self._server.pid

    def run(self) -> int:
        """Wait until the server ends or is no longer wanted, and return its exit status."""
        wakeups, writer = socket.socketpair()
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(wakeups, selectors.EVENT_READ)
            selector.register(sys.stdin.buffer, selectors.EVENT_READ)
            while not self._ended():
                ready = {key.fileobj for key, _ in selector.select()}
                signals = wakeups.recv(256) if wakeups in ready else b""
                unwanted = sys.stdin.buffer in ready and not os.read(sys.stdin.fileno(), 1)
                if unwanted or signal.SIGTERM in signals:
                    self.stop(self._grace)
        self.stop(0)  # what the server has left behind
        return self._status or 0

    def stop(self, grace: float) -> None:
        """Ask the server to end, then kill everything that descends from it."""
        if not self._ended():
            os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while not self._ended() and time.monotonic() < deadline:
            time.sleep(0.05)
        while self._alive():
            time.sleep(0.01)

    def _alive(self) -> bool:
        """Kill all that descends from this process; whether there was any."""
        self._ended()
        found = _descendants(os.getpid())
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not _ON_LINUX:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
                return self._status is None
        return bool(found)

    def _ended(self) -> bool:
        """Reap every child that has ended, adopted ones too; whether the server is among them."""
        with contextlib.suppress(ChildProcessError):
            while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
                if reaped[0] == self.pid:
                    self._status = os.waitstatus_to_exitcode(reaped[1])
                    self._server.returncode = self._status
        return self._status is not None


def _descendants(ancestor: int) -> list[int]:
    """Every live process below this one, by /proc; nothing where there is none."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            # The name, in parentheses, may hold anything; the state and the parent stand after it.
            state, parent = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(entry.parent.name)] = int(parent)
    found = [ancestor]
    for above in found:
        found += [pid for pid, parent in parents.items() if parent == above]
    return found[1:]


def main() -> int:
    """Guard the command of the command line."""
    log, grace, dashes, *command = sys.argv[1:]
    if dashes != "--" or not command:
        raise SystemExit("usage: python -m atts.launch.guard LOG GRACE -- COMMAND…")
    guard = Guard(command, Path(log), float(grace))
    print(guard.pid, flush=True)
    status = guard.run()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
