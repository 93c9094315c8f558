"""The folder of running servers: their logs, what is known of them, and who holds them.

servers.json   the state: `status`, the launcher's process id, and the servers with their addresses
lock           held by the launcher as long as it lives, so that a process id is never taken for another's
draft.log      what the draft's server says
target.log     what the target's server says
launch.log     what a launcher in the background says
"""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypedDict

from atts import atomic
from atts.errors import InputError

DEFAULT_FOLDER = Path("runs/servers")

Status = Literal["starting", "ready", "stopping", "stopped", "failed"]


class ServerState(TypedDict):
    """One server. `pid` is its process group too; `seconds` is how long it took to be ready, None before that."""

    role: str
    engine: str
    model: str
    address: str
    pid: int
    log: str
    command: list[str]
    seconds: float | None


class LaunchState(TypedDict):
    """All that is known. `reason` says why it failed."""

    schema: int
    status: Status
    pid: int
    reason: str
    servers: list[ServerState]


class StateFolder:
    """The folder, made when it is first written to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BinaryIO | None = None

    def log(self, name: str) -> Path:
        """Where a server, or the launcher, writes."""
        return self.path / f"{name}.log"

    def acquire(self) -> None:
        """Become the one launcher of this folder. Raises `InputError` where there is one, or nothing can be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("ab")
        except OSError as error:
            raise InputError(f"{self.path}: cannot write there: {error.strerror or error}") from error
        if not _locked(lock):
            lock.close()
            self.refuse_if_held()
        self._lock = lock

    def refuse_if_held(self) -> None:
        """Raise `InputError` where a launcher lives."""
        if self.held():
            raise InputError(f"servers run from {self.path} already (atts launch --stop ends them)")

    def release(self) -> None:
        """Let another launcher have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def held(self) -> bool:
        """Whether a launcher lives."""
        try:
            with (self.path / "lock").open("rb") as lock:
                return not _locked(lock)
        except OSError:
            return False

    def write(self, state: LaunchState) -> None:
        """Save the state in one step."""
        atomic.write(self.path / "servers.json", json.dumps(state, indent=2).encode() + b"\n")

    def read(self) -> LaunchState | None:
        """The state as it was last saved; None where there is none."""
        try:
            state: LaunchState = json.loads((self.path / "servers.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return state

    def live(self) -> LaunchState | None:
        """The state of servers that are held by a living launcher, else None."""
        return self.read() if self.held() else None

    def as_json(self) -> dict[str, Any]:
        """The state for scripts; a launcher that died says `stopped`."""
        state = self.read()
        if state is None:
            return {"schema": 1, "status": "stopped", "servers": []}
        return {**state} if self.held() or state["status"] == "failed" else {**state, "status": "stopped"}


def _locked(lock: BinaryIO) -> bool:
    """Try to hold the lock; closing the file lets go."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
