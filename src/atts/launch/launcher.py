"""Starting both servers under their guards, awaiting their health, and stopping them."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from atts.errors import AttsError, RunError
from atts.launch.command import check, command_line, environment
from atts.launch.settings import Server, ServerSettings, masked
from atts.launch.state import LaunchState, ServerState, StateFolder, Status

Progress = Callable[[LaunchState, float], None]
"""Called while waiting, with what is known and the seconds since the beginning."""

GRACE = 20.0
"""Seconds that a server has to end by itself before it is killed."""

_TICK = 0.25
_HEALTH_TIMEOUT = 10.0  # SGLang generates a token to know that it is healthy
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class OrphanedError(AttsError):
    """The process for which servers run is gone, so they are not wanted any more."""


@dataclass(slots=True)
class _Guarded:
    """A server under its guard; its lifeline is the guard's standard input."""

    server: Server
    guard: subprocess.Popen[bytes]
    pid: int
    began: float
    log: Path
    seconds: float | None = None

    def state(self) -> ServerState:
        server = self.server
        return ServerState(
            role=server.role.value,
            engine=server.engine,
            model=server.model,
            address=server.address,
            pid=self.pid,
            log=str(self.log),
            command=masked(command_line(server)),
            seconds=self.seconds,
        )


class Launcher:
    """Both servers, as a context: whatever ends the block, or this process, ends them.

    Entering checks the settings and raises `InputError` before anything is started or written. `start` starts them,
    awaits that both are healthy and raises `RunError` where one ends or takes too long, `watch` says later whether both
    still live. Both raise `OrphanedError` once the process `parent` is no longer this one's parent.
    """

    def __init__(
        self, settings: ServerSettings, folder: Path, *, grace: float = GRACE, parent: int | None = None
    ) -> None:
        self.settings = settings
        self._parent = parent
        self.folder = StateFolder(folder)
        self._grace = grace
        self._guarded: list[_Guarded] = []
        self._status: Status = "starting"
        self._reason = ""

    def __enter__(self) -> Launcher:
        # The folder first: a port that our own servers hold is best explained by it.
        self.folder.refuse_if_held()
        check(self.settings)
        self.folder.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, RunError):
            self._reason = str(error)
        self.stop()

    def start(self, progress: Progress = lambda state, seconds: None) -> None:
        """Start both and wait until they are healthy; one after the other where they share a device's memory."""
        began = time.monotonic()
        draft, target = self.settings.servers
        for group in ([draft], [target]) if self.settings.shared_devices else ([draft, target],):
            for server in group:
                self._guarded.append(self._start(server))
                self._save("starting")
            self._wait(began, progress)
        self._save("ready")

    def watch(self) -> None:
        """Raise `RunError` if a server has ended, `OrphanedError` if nobody wants them any more."""
        if self._parent is not None and os.getppid() != self._parent:
            raise OrphanedError("the process that started this one is gone")
        for guarded in self._guarded:
            if guarded.guard.poll() is not None:
                raise RunError(self._last_words(guarded))

    def state(self) -> LaunchState:
        """What is known at this moment."""
        servers = [guarded.state() for guarded in self._guarded]
        return LaunchState(schema=1, status=self._status, pid=os.getpid(), reason=self._reason, servers=servers)

    def stop(self) -> None:
        """End both and wait until nothing of them is left. An interrupt meanwhile takes their grace away."""
        if self._guarded:
            self._save("stopping")
        for guarded in self._guarded:
            if guarded.guard.stdin is not None:
                guarded.guard.stdin.close()
        for guarded in self._guarded:
            self._await_end(guarded)
        if self._guarded:
            self._save("failed" if self._reason else "stopped")
        self._guarded.clear()
        self.folder.release()

    def _start(self, server: Server) -> _Guarded:
        log = self.folder.log(server.role.value)
        log.write_bytes(b"")
        began = time.monotonic()
        guard = subprocess.Popen(
            [sys.executable, "-m", "atts.launch.guard", str(log), str(self._grace), "--", *command_line(server)],
            env=environment(server),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is this process's to handle
        )
        assert guard.stdout is not None
        pid = guard.stdout.readline().strip()
        guard.stdout.close()
        if not pid:
            raise RunError(f"{server.role}: the guard of the server ended with status {guard.wait()} (log: {log})")
        return _Guarded(server, guard, int(pid), began, log)

    def _wait(self, began: float, progress: Progress) -> None:
        while waiting := [guarded for guarded in self._guarded if guarded.seconds is None]:
            elapsed = time.monotonic() - began
            progress(self.state(), elapsed)
            if elapsed > self.settings.wait:
                late = " and ".join(guarded.server.role for guarded in waiting)
                raise RunError(f"{late}: not ready after {self.settings.wait:g} s (logs: {self.folder.path})")
            self.watch()
            for guarded in waiting:
                if _healthy(guarded.server.url):
                    guarded.seconds = round(time.monotonic() - guarded.began, 1)
                    self._save("starting")
            time.sleep(_TICK)

    def _await_end(self, guarded: _Guarded) -> None:
        patience = self._grace + 10
        while True:
            try:
                status = guarded.guard.wait(patience)
                break
            except (KeyboardInterrupt, subprocess.TimeoutExpired):
                patience = 10
                _kill(guarded.pid)
        if status < 0:  # the guard itself was killed: what is left of its server's group goes with it
            _kill(guarded.pid, group=True)

    def _save(self, status: Status) -> None:
        self._status = status
        self.folder.write(self.state())

    def _last_words(self, guarded: _Guarded) -> str:
        status = guarded.guard.wait()
        when = "ended" if guarded.seconds is not None else "ended before it was ready"
        said = last_words(guarded.log)
        return f"{guarded.server.role}: the server {when}, status {status}: {said} (log: {guarded.log})"


def last_words(log: Path) -> str:
    """The line of a log that most likely says what went wrong: the last one that names an error, or the last one."""
    lines = [line.strip() for line in tail(log).splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or "error:" in line]
    return (errors or lines or ["it said nothing"])[-1][-300:]


def tail(log: Path, size: int = 16_384) -> str:
    """The end of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def interrupted_by(*numbers: signal.Signals) -> Iterator[None]:
    """In the block, these signals are Ctrl-C: SIGTERM and a closed terminal end servers in good order."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stay(launcher: Launcher) -> NoReturn:
    """Stay until KeyboardInterrupt, or until `watch` raises."""
    while True:
        launcher.watch()
        time.sleep(_TICK)


def _healthy(url: str) -> bool:
    try:
        with _NO_PROXY.open(f"{url}/health", timeout=_HEALTH_TIMEOUT) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def _kill(pid: int, *, group: bool = False) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        (os.killpg if group else os.kill)(pid, signal.SIGKILL)
