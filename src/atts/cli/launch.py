"""`atts launch`: both model servers, from a preset, a run file or options."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from atts.cli.options import config_options
from atts.cli.streams import in_json
from atts.cli.tables import screen, show
from atts.config.presets import PRESETS
from atts.config.run import read_run_file, resolve, toml_text
from atts.errors import InputError
from atts.launch.settings import ServerSettings, validated
from atts.launch.state import DEFAULT_FOLDER, LaunchState, StateFolder
from atts.registry import unknown

if TYPE_CHECKING:
    from rich.console import Console

    from atts.launch.launcher import Progress

_LISTS = frozenset({"arguments", "draft_arguments", "target_arguments"})
_FILE = click.Path(path_type=Path)


@click.command(epilog="Arguments after -- go to both servers as they are.")
@click.argument("arguments", nargs=-1)
@click.option("--preset", help="models, devices and run settings by name (atts ls presets)")
@click.option("--config", "run_file", type=_FILE, help="run file whose table [servers] has the keys below")
@config_options(without=_LISTS, model=ServerSettings)
@click.option("--draft-arguments", metavar="TEXT", help="further arguments for the draft's server, as in a shell")
@click.option("--target-arguments", metavar="TEXT", help="further arguments for the target's server, as in a shell")
@click.option("--folder", type=_FILE, default=DEFAULT_FOLDER, help=f"logs and state [{DEFAULT_FOLDER}]")
@click.option("--detach", is_flag=True, help="return when both are ready; they run until --stop")
@click.option("--stop", "action", flag_value="stop", help="stop the servers of the folder")
@click.option("--status", "action", flag_value="status", help="show the servers of the folder")
@click.option("--print", "action", flag_value="print", help="print a run file for these servers, and start nothing")
@click.option("--json", "as_json", is_flag=True, help="print the state of the servers as JSON")
def launch(
    arguments: tuple[str, ...],
    preset: str | None,
    run_file: Path | None,
    folder: Path,
    detach: bool,
    action: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Start the draft's and the target's server, wait until both are ready, and keep them until Ctrl-C.

    \b
        atts launch --preset r1-1.5b+qwq-32b              on devices 0 and 1,2
        atts launch --engine vllm --draft-model ./small --target-model ./large -- --max-model-len 8192
        atts launch --preset r1-1.5b+qwq-32b --print > run.toml   the run that belongs to it
    """
    if action == "stop":
        return _stop(folder)
    if action == "status":
        return _show(StateFolder(folder).as_json(), as_json)
    values = _values(preset, run_file, {**options, "arguments": arguments or None})
    settings = validated(values)
    if action == "print":
        click.echo(run_file_of(preset, run_file, settings), nl=False)
        return 0
    return _launch(settings, folder, detach=detach, as_json=as_json)


def _values(preset: str | None, run_file: Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Preset ← `[servers]` of the run file ← options."""
    content = read_run_file(run_file) if run_file is not None else {}
    name = preset or content.get("preset")
    if name is not None and name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    if name is not None and not PRESETS[name].servers:
        able = ", ".join(known for known, one in PRESETS.items() if one.servers)
        raise InputError(f"preset {name} names no models to serve (these do: {able})")
    given = {key: value for key, value in options.items() if value is not None}
    return {**(PRESETS[name].servers if name else {}), **content.get("servers", {}), **given}


def run_file_of(preset: str | None, run_file: Path | None, settings: ServerSettings) -> str:
    """A run file that these servers serve: the run's keys, then the servers' own table."""
    draft, target = settings.servers
    addresses = {"draft": draft.address, "target": target.address}
    config = resolve(preset=preset, run_file=run_file, options=addresses)
    return toml_text({**config.model_dump(), "servers": settings.shown()})


def _launch(settings: ServerSettings, folder: Path, *, detach: bool, as_json: bool) -> int:
    from atts.launch import keeper
    from atts.launch.launcher import Launcher, OrphanedError, interrupted_by, stay

    parent = os.getppid()  # asked first: whoever dies from now on is missed
    console = screen(stderr=True)
    if detach:
        with progress_line(console) as progress:
            state = keeper.launch(settings, folder, progress)
        return _show({**state}, as_json)
    try:
        with interrupted_by(signal.SIGTERM, signal.SIGHUP), Launcher(settings, folder, parent=parent) as launcher:
            with progress_line(console) as progress:
                launcher.start(progress)
            _show({**launcher.state()}, as_json)
            console.print("Ctrl-C stops both servers")
            stay(launcher)
    except KeyboardInterrupt:
        console.print("both servers are stopped")
    except OrphanedError as reason:
        console.print(f"{reason}: both servers are stopped")
    return 0


@contextmanager
def progress_line(console: Console) -> Iterator[Progress]:
    """One line while servers start: how long, which is ready, and the last that the other one said."""
    from atts.launch.launcher import tail

    with console.status("starting both servers") as line:

        def progress(state: LaunchState, seconds: float) -> None:
            parts = [f"{seconds:.0f} s"]
            for server in state["servers"]:
                said = (tail(Path(server["log"]), 2048).strip().splitlines() or ["no word yet"])[-1]
                done = server["seconds"] is not None
                parts.append(f"{server['role']} {'ready' if done else 'starting: ' + said[-60:]}")
            line.update(Text(" · ".join(parts)))

        yield progress


def _stop(folder: Path) -> int:
    from atts.launch import keeper

    if not keeper.stop(folder):
        raise InputError(f"no servers run from {folder}")
    click.echo("both servers are stopped", err=True)
    return 0


def _show(state: Mapping[str, Any], as_json: bool) -> int:
    """Print the state; status 1 where no servers run."""
    running = state["status"] in ("ready", "starting")
    if as_json:
        click.echo(in_json(state))
        return 0 if running else 1
    title = f"servers: {state['status']}" + (f" ({state['reason']})" if state.get("reason") else "")
    table = Table(title=title, title_justify="left")
    for head in ("role", "model", "address", "process", "ready after"):
        table.add_column(head, overflow="fold")
    for server in state["servers"]:
        took = "–" if server["seconds"] is None else f"{server['seconds']:g} s"
        table.add_row(server["role"], server["model"], server["address"], str(server["pid"]), took)
    show(table)
    if running:
        addresses = " ".join(f"--{server['role']} {server['address']}" for server in state["servers"])
        click.echo(f"atts run PROBLEMS {addresses}")
    return 0 if running else 1
