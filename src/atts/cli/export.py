"""`atts export`: results as CSV or Parquet, or in the layout of the paper's implementation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atts.errors import InputError

if TYPE_CHECKING:
    from atts.evals.grading import Grading


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
    r"""Write the results of RUN in another form; nothing is overwritten.

    RUN is a run folder, or a folder of the reference's problem_*.json files.

    \b
    atts export runs/first --grading boxed-math --out chains.csv
    atts export runs/first --layout parquet --table turns --out turns.parquet
    atts export runs/first --layout reference --out results/
    """
    folder, samples = _open(run)
    grading = _grading(run, name)
    try:
        if layout == "reference":
            count = _write_reference(out, folder, samples, grading)
        else:
            count = _write_table(out, folder, layout, table, grading)
    except FileExistsError as error:
        raise InputError(f"{out} stands already; choose another --out") from error
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
    result = {"run": str(run), "layout": layout, "out": str(out), "count": count}
    click.echo(json.dumps(result, indent=2) if as_json else f"{out}: {count:,} {_what(layout, table)}")
    return 0


def _open(run: Path) -> tuple[Any, int]:
    """The folder, and its samples a question."""
    from atts.evals.reference_layout import ReferenceFolder
    from atts.evals.store import RunFolder

    if RunFolder.exists(run):
        folder = RunFolder.open(run)
        return folder, folder.config.samples
    if ReferenceFolder.exists(run):
        reference = ReferenceFolder(run)
        return reference, reference.repeats
    raise InputError(f"{run}: neither a run folder (run.json) nor results of the reference (problem_*.json)")


def _grading(run: Path, name: str | None) -> Grading | None:
    from atts.evals.grading import read

    return None if name is None else read(run, name)


def _write_reference(out: Path, folder: Any, samples: int, grading: Grading | None) -> int:
    from atts.evals.reference_layout import write

    verdicts: Mapping[Any, Any] = grading.verdicts if grading else {}

    def answered(chain: Any) -> Any:
        verdict = verdicts.get((chain.problem, chain.sample))
        return replace(chain, answer=verdict.answer) if verdict else chain

    histories = ((answered(chain), turns) for chain, turns in folder.histories())
    return write(out, folder.problems(), histories, samples)


def _write_table(out: Path, folder: Any, layout: str, table: str, grading: Grading | None) -> int:
    from atts.evals.export import TABLES, write_csv, write_parquet

    rows = TABLES[table](folder.histories(), grading.verdicts if grading else {})
    return (write_csv if layout == "csv" else write_parquet)(out, rows)


def _what(layout: str, table: str) -> str:
    return "files" if layout == "reference" else table
