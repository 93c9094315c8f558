"""Real processes to launch, and a way to see what is left of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from atts.launch.state import StateFolder

FAKE = Path(__file__).with_name("fake_server.py")


def free_ports(count: int) -> list[int]:
    """So many ports, each another one: all are held until the last is known."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for something that must become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


class Marked:
    """Every process whose command line holds the mark: launcher, guards, servers, and their children."""

    def __init__(self) -> None:
        self.mark = f"mark-{uuid.uuid4().hex}"

    def pids(self, *words: str) -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = entry.read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:
                continue
            if self.mark in line and all(word in line for word in words):
                found.append(int(entry.parent.name))
        return found

    def gone(self) -> None:
        """Wait until none is left."""
        until(lambda: not self.pids(), "all processes gone")

    def kill(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def marked() -> Iterator[Marked]:
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc to see what processes are left")
    found = Marked()
    yield found
    found.kill()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


class Launch:
    """`atts launch` as a process of its own, on fake servers."""

    def __init__(self, marked: Marked, model: Path, folder: Path) -> None:
        self.marked = marked
        self.model = model
        self.folder = folder

    def command(self, *extra: str, fake: str = "") -> list[str]:
        server = f"{sys.executable} {FAKE} {{port}} --mark {self.marked.mark} {fake}"
        arguments = ["--draft-model", str(self.model), "--target-model", str(self.model), "--command", server]
        draft, target = free_ports(2)
        ports = ["--draft-port", str(draft), "--target-port", str(target)]
        folder = ["--folder", str(self.folder)]
        return [sys.executable, "-m", "atts", "launch", *arguments, *ports, *folder, *extra]

    def start(self, *extra: str, fake: str = "") -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*extra, fake=fake), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *extra: str, fake: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*extra, fake=fake), capture_output=True, text=True, timeout=300, check=False)

    def act(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`atts launch` on the same folder, without servers of its own."""
        command = [sys.executable, "-m", "atts", "launch", "--folder", str(self.folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    def ready(self) -> None:
        """Wait until both servers are."""
        until(lambda: self.status() == "ready", "ready")

    def status(self) -> str:
        return str(StateFolder(self.folder).as_json()["status"])


@pytest.fixture
def launching(marked: Marked, model: Path, tmp_path: Path) -> Launch:
    return Launch(marked, model, tmp_path / "servers")
