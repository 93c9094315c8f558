"""`atts export`: results as CSV or Parquet, or in the layout of the paper's implementation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atts.cli.notices import warn
from atts.cli.streams import in_json
from atts.errors import InputError

if TYPE_CHECKING:
    from atts.grading.regrade import Grading
    from atts.results.reference_layout import ReferenceFolder
    from atts.store.folder import RunFolder
    from atts.types import Chain, Turn

    Folder = RunFolder | ReferenceFolder
    Histories = Iterator[tuple[Chain, list[Turn]]]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(["csv", "parquet", "reference"]), default="csv", show_default=True)
@click.option(
    "--table", type=click.Choice(["chains", "turns"]), default="chains", show_default=True, help="what a row is"
)
@click.option("--grading", "name", metavar="NAME", help="answers and verdicts of that grading [the run's own]")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="new file, or new folder of the reference layout"
)
@click.option("--json", "as_json", is_flag=True, help="print what was written as JSON")
def export(run: Path, layout: str, table: str, name: str | None, out: Path, as_json: bool) -> int:
    """Write the results of RUN in another form; nothing is overwritten.

    RUN is a run folder, or a folder of the reference's problem_*.json files. Chains that have not ended are left out.

    \b
        atts export runs/first --out chains.csv
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
    click.echo(in_json(result) if as_json else f"{out}: {count:,} {_what(layout, table)}")
    return 0


def _open(run: Path) -> Folder:
    """The folder; standard error says what of it cannot be exported."""
    from atts.results.reference_layout import ReferenceFolder
    from atts.store.folder import RunFolder

    if RunFolder.exists(run):
        folder = RunFolder.open(run)
        warn(run, folder.gaps())
        return folder
    if ReferenceFolder.exists(run):
        return ReferenceFolder(run)
    raise InputError(f"{run}: neither a run folder (run.json) nor results of the reference (problem_*.json)")


def _samples(folder: Folder) -> int:
    """Chains a question."""
    from atts.store.folder import RunFolder

    return folder.config.samples if isinstance(folder, RunFolder) else folder.repeats


def _grading(run: Path, name: str | None) -> Grading | None:
    from atts.grading.regrade import read

    return None if name is None else read(run, name)


def _histories(folder: Folder, grading: Grading | None) -> Histories:
    """The chains that ended, each with the answer that the grading found, if there is one."""
    verdicts = grading.verdicts if grading else {}
    known, samples = {problem.id for problem in folder.problems()}, _samples(folder)
    for chain, turns in folder.histories():
        if chain.problem in known and 0 <= chain.sample < samples:  # a damaged line may name another one
            verdict = verdicts.get((chain.problem, chain.sample))
            yield replace(chain, answer=verdict.answer) if verdict else chain, turns


def _write_reference(out: Path, folder: Folder, grading: Grading | None) -> int:
    from atts.results.reference_layout import ReferenceFolder, records, write

    if isinstance(folder, ReferenceFolder):
        answers = {key: verdict.answer for key, verdict in grading.verdicts.items()} if grading else {}
        return write(out, folder.records(answers))
    return write(out, records(folder.problems(), _histories(folder, grading), _samples(folder)))


def _write_table(out: Path, folder: Folder, layout: str, table: str, grading: Grading | None) -> int:
    from atts.results.export import TABLES, write_csv, write_parquet

    verdicts = {key: one.correct for key, one in grading.verdicts.items()} if grading else _own_verdicts(folder)
    return (write_csv if layout == "csv" else write_parquet)(out, TABLES[table](_histories(folder, grading), verdicts))


def _own_verdicts(folder: Folder) -> Mapping[tuple[str, int], bool | None]:
    """What the run itself says of its chains; nothing where it cannot tell, for want of known answers or a grader."""
    from atts.results.loaded import graded
    from atts.store.folder import RunFolder

    if not isinstance(folder, RunFolder):
        return {}
    try:
        return graded(folder.config, folder.problems(), folder.chains())[0]
    except InputError as error:
        warn(folder.path, [f"no verdicts: {error}"])
        return {}


def _what(layout: str, table: str) -> str:
    return "files" if layout == "reference" else table
