"""`atts export`: results as CSV or Parquet, or in the layout of the paper's implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atts.errors import InputError

if TYPE_CHECKING:
    from atts.evals.grading import Grading
    from atts.evals.reference_layout import ReferenceFolder
    from atts.evals.store import RunFolder


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(["csv", "parquet", "reference"]), default="csv", show_default=True)
@click.option(
    "--table", type=click.Choice(["chains", "turns"]), default="chains", show_default=True, help="what a row is"
)
@click.option("--grading", "name", metavar="NAME", help="answers and verdicts of that grading (atts grade)")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="new file, or new folder of the reference layout"
)
@click.option("--json", "as_json", is_flag=True, help="print what was written as JSON")
def export(run: Path, layout: str, table: str, name: str | None, out: Path, as_json: bool) -> int:
    """Write the results of RUN in another form; nothing is overwritten.

    RUN is a run folder, or a folder of the reference's problem_*.json files.

    \b
    atts export runs/first --grading boxed-math --out chains.csv
    atts export runs/first --layout parquet --table turns --out turns.parquet
    atts export runs/first --layout reference --out results/
    """
    folder = _open(run)
    grading = _grading(run, name)
    try:
        if layout == "reference":
            count = _write_reference(out, folder, grading)
        else:
            count = _write_table(out, folder, layout, table, grading)
    except FileExistsError as error:
        raise InputError(f"{out} stands already; choose another --out") from error
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
    result = {"run": str(run), "layout": layout, "out": str(out), "count": count}
    click.echo(json.dumps(result, indent=2) if as_json else f"{out}: {count:,} {_what(layout, table)}")
    return 0


def _open(run: Path) -> ReferenceFolder | RunFolder:
    from atts.evals.reference_layout import ReferenceFolder
    from atts.evals.store import RunFolder

    if RunFolder.exists(run):
        return RunFolder.open(run)
    if ReferenceFolder.exists(run):
        return ReferenceFolder(run)
    raise InputError(f"{run}: neither a run folder (run.json) nor results of the reference (problem_*.json)")


def _grading(run: Path, name: str | None) -> Grading | None:
    from atts.evals.grading import read

    return None if name is None else read(run, name)


def _write_reference(out: Path, folder: ReferenceFolder | RunFolder, grading: Grading | None) -> int:
    from atts.evals.reference_layout import ReferenceFolder, records, write

    answers = {key: verdict.answer for key, verdict in grading.verdicts.items()} if grading else {}
    if isinstance(folder, ReferenceFolder):
        return write(out, folder.records(answers))
    return write(out, records(folder.problems(), folder.histories(), folder.config.samples, answers))


def _write_table(
    out: Path, folder: ReferenceFolder | RunFolder, layout: str, table: str, grading: Grading | None
) -> int:
    from atts.evals.export import TABLES, write_csv, write_parquet

    rows = TABLES[table](folder.histories(), grading.verdicts if grading else {})
    return (write_csv if layout == "csv" else write_parquet)(out, rows)


def _what(layout: str, table: str) -> str:
    return "files" if layout == "reference" else table
