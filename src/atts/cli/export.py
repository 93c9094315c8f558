"""`atts export`: results as CSV or Parquet, or in the layout of the paper's implementation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atts import atomic
from atts.cli.notices import warn
from atts.cli.streams import data_output, in_json, is_standard_output
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
@click.option(
    "--layout", type=click.Choice(["csv", "parquet", "reference"]), help="[what the suffix of --out says, or csv]"
)
@click.option("--table", type=click.Choice(["chains", "turns"]), help="what a row is [chains]")
@click.option("--grading", "name", metavar="NAME", help="answers and verdicts of that grading [the run's own]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="new .csv or .parquet file, - for standard output, or new folder of the reference layout",
)
@click.option("--json", "as_json", is_flag=True, help="print what was written as JSON")
def export(run: Path, layout: str | None, table: str | None, name: str | None, out: Path, as_json: bool) -> int:
    """Write the results of RUN in another form; nothing is overwritten.

    RUN is a run folder, or a folder of the reference's problem_*.json files. Chains that have not ended are left out.

    \b
        atts export runs/first --out chains.csv
        atts export runs/first --grading boxed-math --out chains.csv
        atts export runs/first --table turns --out turns.parquet
        atts export runs/first --out - | head
        atts export runs/first --layout reference --out results/
    """
    layout = _layout(layout, out)
    if layout == "reference" and (table is not None or is_standard_output(out)):
        raise InputError("the reference layout is a folder of files: name a folder with --out, and no --table")
    if as_json and is_standard_output(out):
        raise InputError(f"--out {out}: standard output holds the table; leave out --json")
    table = table or "chains"
    folder = _open(run)
    grading = _grading(run, name)
    try:
        if layout == "reference":
            count = _write_reference(out, folder, grading)
        else:
            count = _write_table(out, folder, layout, table, grading)
    except BrokenPipeError:
        raise
    except FileExistsError as error:
        raise InputError(f"{out} stands already; choose another --out") from error
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
    result = {"run": str(run), "layout": layout, "out": str(out), "count": count}
    said = f"{out}: {count:,} {_what(layout, table)}"
    click.echo(in_json(result) if as_json else said, err=is_standard_output(out))
    return 0


def _layout(asked: str | None, out: Path) -> str:
    """What is to be written: what was asked for, or what the file's name says; refused where the two contradict."""
    from atts.results.export import FORMATS

    told = out.suffix.lower().removeprefix(".")
    known = "" if is_standard_output(out) else told if told in FORMATS else ""
    if asked in FORMATS and known not in ("", asked):
        raise InputError(f"--layout {asked} --out {out}: the suffix says {known}; leave one of them out")
    if asked or known or is_standard_output(out) or (out.exists() and not out.is_file() and not out.is_dir()):
        return asked or known or "csv"  # a device or a pipe has no suffix
    suffixes = " or ".join(f".{name}" for name in FORMATS)
    raise InputError(f"--out {out}: let the name end in {suffixes}, or say what to write with --layout")


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
    from atts.results.export import FORMATS, TABLES

    verdicts = {key: one.correct for key, one in grading.verdicts.items()} if grading else _own_verdicts(folder)
    rows = TABLES[table](_histories(folder, grading), verdicts)
    if is_standard_output(out):
        return FORMATS[layout](data_output(binary=layout != "csv"), rows)
    with atomic.whole(out, new=True) as file:
        return FORMATS[layout](file, rows)


def _own_verdicts(folder: Folder) -> Mapping[tuple[str, int], bool | None]:
    """What the run itself says of its chains; nothing where it cannot tell, for want of known answers or a grader."""
    from atts.results.loaded import graded
    from atts.store.folder import RunFolder

    if not isinstance(folder, RunFolder):
        return {}
    try:
        return graded(folder, folder.problems(), folder.chains()).verdicts
    except InputError as error:
        warn(folder.path, [f"no verdicts: {error}"])
        return {}


def _what(layout: str, table: str) -> str:
    return "files" if layout == "reference" else table
