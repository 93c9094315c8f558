"""The launcher in the background: `python -m atts.launch.keeper FOLDER`, with the settings on standard input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from atts.errors import AttsError, InputError, RunError
from atts.launch.command import check
from atts.launch.launcher import GRACE, Launcher, Progress, interrupted_by, last_words, stay
from atts.launch.settings import ServerSettings
from atts.launch.state import LaunchState, StateFolder

_TICK = 0.25


def launch(settings: ServerSettings, path: Path, progress: Progress = lambda state, seconds: None) -> LaunchState:
    """Start servers that outlive this process, and return when both are healthy.

    Raises `InputError` before anything is started, `RunError` where they do not become healthy. Ctrl-C stops them.
    """
    folder = StateFolder(path)
    folder.refuse_if_held()
    check(settings)
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.log("launch").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "atts.launch.keeper", str(path)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    assert keeper.stdin is not None
    with keeper.stdin as stdin:
        stdin.write(settings.model_dump_json().encode())
    try:
        state = _await_ready(keeper, folder, progress)
    except KeyboardInterrupt:
        keeper.terminate()
        keeper.wait(GRACE + 20)
        raise
    keeper.returncode = 0  # from here on it lives without us: nobody waits for it
    return state


def stop(path: Path) -> bool:
    """End the servers of a folder and wait until they are gone; whether there were any."""
    folder = StateFolder(path)
    state = folder.live()
    if state is None:
        return False
    os.kill(state["pid"], signal.SIGTERM)
    deadline = time.monotonic() + GRACE + 20
    while folder.held():
        if time.monotonic() > deadline:
            raise RunError(f"the launcher (process {state['pid']}) does not end; its servers' logs: {path}")
        time.sleep(_TICK / 2)
    return True


def _await_ready(keeper: subprocess.Popen[bytes], folder: StateFolder, progress: Progress) -> LaunchState:
    began = time.monotonic()
    while keeper.poll() is None:
        state = folder.read()
        if state is not None and state["pid"] == keeper.pid:
            if state["status"] == "ready":
                return state
            progress(state, time.monotonic() - began)
        time.sleep(_TICK)
    state = folder.read()
    known = state is not None and state["pid"] == keeper.pid and state["reason"]
    raise RunError(str(known or last_words(folder.log("launch"))))


def main() -> int:
    """Keep the servers until SIGTERM."""
    path = Path(sys.argv[1])
    settings = ServerSettings.model_validate_json(sys.stdin.read())
    try:
        with interrupted_by(signal.SIGTERM), Launcher(settings, path) as launcher:
            launcher.start()
            stay(launcher)
    except KeyboardInterrupt:
        return 0
    except AttsError as error:
        print(f"error: {error}", flush=True)
        return 2 if isinstance(error, InputError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
