"""`atts report`: what happened in a run, as a page or as a timeline."""

from __future__ import annotations

from pathlib import Path

import click

from atts.cli.notices import warn
from atts.cli.tables import screen
from atts.errors import InputError

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=FOLDER, metavar="RUN...")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="HTML file, or - [report.html in the first RUN]"
)
@click.option(
    "--timeline", type=click.Path(path_type=Path, dir_okay=False), help="write this trace (JSON) instead, of one RUN"
)
def report(runs: tuple[Path, ...], out: Path | None, timeline: Path | None) -> None:
    """Write one HTML file about RUN (a run folder), or about several side by side.

    The file needs no network and opens from the disk: figures with intervals, plots, a table of problems, and every
    chain with its decisions. A run that is still going on, was interrupted or failed is reported as far as it got.

    \b
        atts report runs/mine
        atts report runs/mine runs/other --out both.html
        atts report runs/mine --timeline trace.json       open it at https://ui.perfetto.dev
    """
    if timeline is not None and (len(runs) > 1 or out is not None):
        raise InputError("--timeline writes the trace of one RUN; leave out --out and further runs")
    from atts.results.loaded import load_run
    from atts.store.folder import FILES
    from atts.store.journal import gaps

    loaded = [load_run(path) for path in runs]
    for asked in filter(None, (out, timeline)):
        if any(asked.resolve() == (run / name).resolve() for run in runs for name in FILES):
            raise InputError(f"{asked} is a file of the run itself; name another one")
    console = screen(stderr=True)
    if timeline is not None:
        from atts.report.timeline import write_timeline

        warn(loaded[0].path, gaps(loaded[0].damaged, loaded[0].unused))
        written = write_timeline(loaded[0], Path("/dev/stdout") if str(timeline) == "-" else timeline)
        console.print(f"{timeline}: {written:,} events", soft_wrap=True)
        return
    from atts.report.page import write_page

    path = Path("/dev/stdout") if str(out) == "-" else out or runs[0] / "report.html"
    size = write_page(loaded, path)
    console.print(f"{path}: {size / 1e6:.1f} MB", soft_wrap=True)
