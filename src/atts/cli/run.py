"""`atts run`: the main job."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atts.cli.options import config_options
from atts.cli.streams import in_json
from atts.cli.tables import screen, show, summary_table
from atts.config.run import RunConfig, require_used, resolve
from atts.results.outline import hardly_decided, rate_line

if TYPE_CHECKING:
    from rich.console import Console

    from atts.runs.runner import Run
    from atts.store.folder import RunFolder


@click.command(
    epilog="Defaults in [brackets]; on the bundled pair with the preset `bundled`. The paper's: --preset paper."
)
@click.argument("problems", required=False)
@click.option("--config", "run_file", type=click.Path(path_type=Path), help="run file (TOML) with the same keys")
@click.option("--preset", help="named settings under the run file and the options (atts ls presets)")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="set any key; wins over everything")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="run folder [runs/…]")
@click.option("--json", "as_json", is_flag=True, help="print the summary as JSON")
@click.option("--quiet", is_flag=True, help="no progress")
@click.option("--print", "only_print", is_flag=True, help="print what would be run as a run file, and run nothing")
@config_options(without=frozenset({"problems"}))
def run(
    problems: str | None,
    run_file: Path | None,
    preset: str | None,
    assignments: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    quiet: bool,
    only_print: bool,
    **options: Any,
) -> int:
    """Solve PROBLEMS (a data set's name or a file; default: bundled) and grade the answers.

    The same command goes on where it was interrupted. Without options it runs on the bundled pair of models.

    \b
        atts run                                          the bundled models, at once
        atts run --strategy target-only                   the large model alone
        atts run math500 --draft local:./small --target local:./large
    """
    config = resolve(
        preset=preset, run_file=run_file, options={"problems": problems, **options}, assignments=assignments
    )
    require_used(config, options, assignments)
    if only_print:
        click.echo(config.as_toml(), nl=False)
        return 0
    return execute(config, out, as_json=as_json, quiet=quiet)


def execute(config: RunConfig, out: Path | None, *, as_json: bool = False, quiet: bool = False) -> int:
    """Run to the end or until interrupted, show it, and return the exit status."""
    folder, summary = carry_out(config, out, quiet=quiet)
    if as_json:
        click.echo(in_json(summary))
    else:
        show(summary_table(summary, str(folder.path)))
    return 0 if summary["status"] == "complete" else 1


def carry_out(config: RunConfig, out: Path | None, *, quiet: bool) -> tuple[RunFolder, dict[str, Any]]:
    """Run to the end or until interrupted, with progress on standard error; the run's folder and its summary."""
    from atts.cli.live import watch
    from atts.runs.runner import Run
    from atts.runs.setup import prepare
    from atts.store.folder import RunFolder

    progress = screen(stderr=True)
    with watch(progress, quiet=quiet) as sink:
        run_ = Run(prepare(config), out, sinks=[sink])
        summary = asyncio.run(_until_interrupted(run_, progress))
    if summary["status"] == "partial":
        progress.print(f"interrupted; the same command goes on ({run_.path})", soft_wrap=True)
    elif (takeover := summary["takeover"]) is not None and hardly_decided(takeover, summary["chains"]["done"]):
        line = rate_line(takeover, summary["chains"]["done"])
        progress.print(f"takeover rate {line}; shorter chunks (--draft-tokens, --chunk step) give more of them")
    return RunFolder.open(run_.path), summary


def _saved(path: Path) -> dict[str, Any]:
    """The summary that stands in the folder."""
    from atts.store.folder import RunFolder

    return RunFolder.open(path).summary()


async def _until_interrupted(run_: Run, console: Console) -> dict[str, Any]:
    """Execute the run. The first Ctrl-C lets turns under way finish; the second stops at once. Both save."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    presses = 0

    def interrupt() -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            console.print("stopping: turns under way are finished and saved (again: stop now)")
            run_.stop()
        elif presses == 2:  # more of them would only keep it from saving
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        return await run_.execute()
    except asyncio.CancelledError:
        if presses < 2:
            raise
        return await asyncio.to_thread(_saved, run_.path)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            if presses:  # whoever presses once more is told the outcome all the same
                signal.signal(number, signal.SIG_IGN)
