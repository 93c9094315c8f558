"""`atts suite`: many runs from one file, with the servers that they need."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table

from atts.cli.streams import in_json
from atts.cli.tables import screen, show
from atts.errors import AttsError
from atts.results.outline import percent, running, seconds

if TYPE_CHECKING:
    from rich.console import Console

    from atts.launch.launcher import Launcher
    from atts.launch.settings import ServerSettings
    from atts.runs.suite import Configuration


@click.command(epilog="Exit status: 0 every run is complete, 1 some are not, 2 bad input.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="folder of the runs [runs/NAME]")
@click.option("--list", "only_list", is_flag=True, help="show the runs and what became of them, and start nothing")
@click.option("--json", "as_json", is_flag=True, help="print the results as JSON")
@click.option("--quiet", is_flag=True, help="no progress")
def suite(file: Path, out: Path | None, only_list: bool, as_json: bool, quiet: bool) -> int:
    """Carry out every run of FILE: launch its servers, calibrate where asked, check, run, stop; one table at the end.

    The same command goes on where it was interrupted; runs that are complete are not begun again, and no server is
    started for them.

    \b
        samples = 16
        preset = "r1-1.5b+qwq-32b"
        [servers]                        # launched by the suite; without it: servers that run
        [[run]]
        name = "tracked"
        sweep.problems = ["aime24", "math500"]
        sweep.takeover_rate = [0.2, 0.4]
        [[run]]
        name = "static"
        calibrator = "static"
        calibrate = true                 # record scores first
    """
    from atts.runs.suite import read_suite

    folder = out or Path("runs") / file.stem
    configurations = read_suite(file, folder)
    pending = [configuration for configuration in configurations if not configuration.complete]
    reasons: dict[str, str] = {}
    if pending and not only_list:
        reasons = _carry_out(pending, folder, quiet=quiet)
    results = [_result(configuration, reasons.get(configuration.name, "")) for configuration in configurations]
    if as_json:
        click.echo(in_json(results))
    else:
        show(_table(results, file.stem))
    return 0 if all(result["status"] == "complete" for result in results) else 1


def _carry_out(pending: list[Configuration], folder: Path, *, quiet: bool) -> dict[str, str]:
    """Run what is left, pair of servers by pair of servers. Why some failed, by name; the others go on."""
    from atts.launch.launcher import interrupted_by
    from atts.runs.suite import by_servers

    console = screen(stderr=True)
    reasons: dict[str, str] = {}
    try:
        with interrupted_by(signal.SIGTERM, signal.SIGHUP):
            for servers, group in by_servers(pending).items():
                try:
                    with _serving(servers, folder / "servers", console, quiet=quiet) as launcher:
                        _run_group(group, launcher, reasons, console, quiet=quiet)
                except AttsError as error:
                    _report(console, ", ".join(one.name for one in group), error)
                    reasons |= {one.name: str(error) for one in group if not one.complete and one.name not in reasons}
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on")
    return reasons


def _run_group(
    group: list[Configuration], launcher: Launcher | None, reasons: dict[str, str], console: Console, *, quiet: bool
) -> None:
    """Run what one pair of servers serves. Raises `RunError` if a server ends, KeyboardInterrupt on Ctrl-C."""
    for configuration in group:
        if launcher is not None:
            launcher.watch()
        if not quiet:
            console.rule(configuration.name, align="left")
        try:
            status = _run(configuration, quiet=quiet)
        except AttsError as error:
            _report(console, configuration.name, error)
            reasons[configuration.name] = str(error)
            continue
        if status == "partial":
            raise KeyboardInterrupt


def _run(configuration: Configuration, *, quiet: bool) -> str:
    """Calibrate where asked and not done yet, then run."""
    from atts.cli.calibrate import record
    from atts.cli.run import carry_out

    recorded = Path(configuration.config.calibration or "")
    if configuration.calibrate is not None and not recorded.is_file():
        record(configuration.calibrate, recorded, quiet=quiet)
    _, summary = carry_out(configuration.config, configuration.path, quiet=quiet)
    return str(summary["status"])


@contextmanager
def _serving(
    servers: ServerSettings | None, folder: Path, console: Console, *, quiet: bool
) -> Iterator[Launcher | None]:
    """The servers of a group for the block; none where the engines need none."""
    from atts.cli.launch import progress_line
    from atts.launch.launcher import Launcher

    if servers is None:
        yield None
        return
    with Launcher(servers, folder) as launcher:
        with contextlib.nullcontext() if quiet else progress_line(console) as progress:
            launcher.start(*([progress] if progress else []))
        yield launcher


def _report(console: Console, name: str, error: AttsError) -> None:
    console.print(f"{name}: {' '.join(str(error).split())}", style="red")


def _result(configuration: Configuration, reason: str) -> dict[str, Any]:
    summary = configuration.summary()
    status = "failed" if reason else summary["status"] if summary else "not begun"
    return {
        "name": configuration.name,
        "folder": str(configuration.path),
        "status": status,
        "reason": reason,
        "summary": summary,
    }


def _table(results: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=f"{title} (shares in %)", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    for head in ("status", "pass@1", "maj@k", "taken\nover", "promised", "target\nwrote", "time"):
        table.add_column(head, justify="right", no_wrap=True)
    for result in results:
        summary: Mapping[str, Any] = result["summary"] or {}
        accuracy, takeover = summary.get("accuracy", {}), summary.get("takeover") or {}
        shares = (
            accuracy.get("pass@1", {}).get("value"),
            accuracy.get("maj@k", {}).get("value"),
            takeover.get("rate", {}).get("value"),
            takeover.get("target_rate"),
            summary.get("tokens", {}).get("target_share"),
        )
        time = seconds(running(summary.get("time", {})))
        table.add_row(result["name"], result["status"], *(percent(share).removesuffix(" %") for share in shares), time)
    return table
