"""Both servers start, are awaited, and leave nothing behind, whatever happens to whom."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atts.errors import InputError, RunError
from atts.launch.keeper import launch, stop
from atts.launch.launcher import Launcher
from atts.launch.settings import ServerSettings, validated
from atts.launch.state import StateFolder
from tests.launch.conftest import FAKE, Launch, Marked, free_ports, until


def settings(marked: Marked, model: Path, fake: str = "", **values: object) -> ServerSettings:
    return validated(
        {
            "draft_model": str(model),
            "target_model": str(model),
            **dict(zip(("draft_port", "target_port"), free_ports(2), strict=True)),
            "command": f"{sys.executable} {FAKE} {{port}} --mark {marked.mark} {fake}",
            **values,
        }
    )


def test_starts_awaits_and_stops_with_all_descendants(marked: Marked, model: Path, tmp_path: Path) -> None:
    seen = []
    with Launcher(settings(marked, model), tmp_path / "s") as launcher:
        launcher.start(lambda state, seconds: seen.append([server["seconds"] for server in state["servers"]]))
        state = launcher.state()
        assert state["status"] == "ready"
        assert all(server["seconds"] > 0 for server in state["servers"])
        assert len(marked.pids("time.sleep")) == 4  # two children of each server, one of them in a session of its own
    assert not marked.pids()
    assert seen and seen[0] == [None, None]
    assert StateFolder(tmp_path / "s").as_json()["status"] == "stopped"


def test_a_key_is_not_in_the_state(marked: Marked, model: Path, tmp_path: Path) -> None:
    with Launcher(settings(marked, model, arguments=("--api-key", "SECRET")), tmp_path / "s") as launcher:
        launcher.start()
        assert "SECRET" not in str(launcher.state())
        assert "SECRET" not in (tmp_path / "s" / "servers.json").read_text()
        assert marked.pids("--api-key SECRET")


def test_a_server_that_ignores_sigterm_is_killed_after_its_grace(marked: Marked, model: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    with Launcher(settings(marked, model, "--stubborn"), tmp_path / "s", grace=0.5) as launcher:
        launcher.start()
    assert not marked.pids()
    assert time.monotonic() - began >= 0.5


def test_a_server_that_fails_says_why_and_the_other_one_is_stopped(marked: Marked, model: Path, tmp_path: Path) -> None:
    broken = settings(marked, model, target_arguments=("--fail", "no memory left"))
    with (
        pytest.raises(RunError, match=r"target: .*status 3: RuntimeError: no memory left"),
        Launcher(broken, tmp_path / "s") as launcher,
    ):
        launcher.start()
    assert not marked.pids()
    state = StateFolder(tmp_path / "s").as_json()
    assert state["status"] == "failed" and "no memory left" in state["reason"]


def test_a_server_that_is_never_ready_is_given_up(marked: Marked, model: Path, tmp_path: Path) -> None:
    late = settings(marked, model, draft_arguments=("--delay", "60"), wait=1)
    with pytest.raises(RunError, match=r"^draft.*: not ready after 1 s"), Launcher(late, tmp_path / "s") as launcher:
        launcher.start()
    assert not marked.pids()


def test_servers_on_one_device_start_one_after_the_other(marked: Marked, model: Path, tmp_path: Path) -> None:
    shared = {"draft_devices": "0", "target_devices": "0", "draft_memory": 0.2, "target_memory": 0.7}
    counts = []
    with Launcher(settings(marked, model, **shared), tmp_path / "s") as launcher:
        launcher.start(lambda state, seconds: counts.append((len(state["servers"]), state["servers"][0]["seconds"])))
    assert all(first is not None for servers, first in counts if servers == 2)
    assert {servers for servers, _ in counts} == {1, 2}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(launching: Launch, number: signal.Signals) -> None:
    process = launching.start()
    launching.ready()
    process.send_signal(number)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert not launching.marked.pids()
    assert launching.status() == "stopped"


def test_interrupted_while_starting(launching: Launch) -> None:
    process = launching.start(fake="--delay 60")
    until(lambda: len(launching.marked.pids("time.sleep")) == 4, "both servers started")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert not launching.marked.pids()


def test_killed(launching: Launch) -> None:
    process = launching.start()
    launching.ready()
    process.kill()
    process.communicate(timeout=300)
    launching.marked.gone()
    assert launching.status() == "stopped"


@pytest.mark.parametrize("loading", [False, True])
def test_parent_dies(launching: Launch, loading: bool) -> None:
    """A shell that started the launcher is killed: the launcher notices and stops, also while servers load."""
    command = launching.command(fake="--delay 600" if loading else "")
    code = f"import subprocess, time; subprocess.Popen({command!r}); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if loading:
        until(lambda: len(launching.marked.pids("time.sleep")) >= 4, "both servers started")
    else:
        launching.ready()
    parent.kill()
    parent.wait()
    launching.marked.gone()


def test_guard_is_killed(launching: Launch) -> None:
    process = launching.start()
    launching.ready()
    guards = launching.marked.pids("atts.launch.guard")
    assert len(guards) == 2
    os.kill(guards[0], signal.SIGKILL)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1, error
    # What had left the server's session and lost its guard is out of reach; everything else is gone.
    until(lambda: len(launching.marked.pids()) <= 1, "servers gone")


def test_a_server_dies_later(launching: Launch) -> None:
    process = launching.start("--target-arguments", "--live 2")
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1
    assert re.match(r"error: target: the server ended.*, status 137", error.splitlines()[-1])
    assert not launching.marked.pids()


def test_in_the_background(launching: Launch) -> None:
    done = launching.run("--detach", "--json")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    assert state["status"] == "ready" and [server["role"] for server in state["servers"]] == ["draft", "target"]
    again = launching.run("--detach")
    assert again.returncode == 2 and "already" in again.stderr and again.stderr.count("\n") == 1
    assert launching.act("--status").returncode == 0
    assert launching.act("--stop").returncode == 0
    assert not launching.marked.pids()
    assert launching.act("--status").returncode == 1
    nothing = launching.act("--stop")
    assert nothing.returncode == 2 and nothing.stderr.count("\n") == 1


def test_the_background_launcher_is_killed(marked: Marked, model: Path, tmp_path: Path) -> None:
    state = launch(settings(marked, model), tmp_path / "s")
    os.kill(state["pid"], signal.SIGKILL)
    os.waitpid(state["pid"], 0)
    marked.gone()
    assert not stop(tmp_path / "s")


def test_a_background_launch_that_fails_says_why(marked: Marked, model: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no memory left"):
        launch(settings(marked, model, "--fail 'no memory left'"), tmp_path / "s")
    assert not marked.pids()


def test_bad_input_starts_and_writes_nothing(marked: Marked, model: Path, tmp_path: Path) -> None:
    for values in ({"target_model": str(tmp_path / "missing")}, {"target_port": 1, "draft_port": 1}):
        with pytest.raises(InputError), Launcher(settings(marked, model, **values), tmp_path / "s"):
            pytest.fail("entered")
    assert not marked.pids()
    assert not (tmp_path / "s").exists()
