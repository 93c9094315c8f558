"""`atts export`: the tables agree with the summary and with `load_run`, whatever became of the run."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import atts
from atts.cli.export import export
from atts.engines.scripted import ScriptedEngine
from atts.errors import EngineError, InputError
from tests.results.test_loaded import execute

Rows = list[dict[str, str]]


def broken(call: str, count: int) -> EngineError | None:
    """A server that fails a third of its scores."""
    return EngineError("down") if call == "score" and count % 3 == 0 else None


@pytest.fixture
def resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose chains failed after some turns and that was resumed with servers that work."""
    path = tmp_path / "resumed"
    make = ScriptedEngine.__init__

    def failing(self: ScriptedEngine, *args: object, **kwargs: object) -> None:
        make(self, *args, **kwargs)  # type: ignore[arg-type]
        self.script = replace(self.script, fail=broken)

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedEngine, "__init__", failing)
        execute(path)
    assert atts.load_run(path).summary["status"] == "failed"
    return execute(path)


def exported(run: Path, out: Path, *options: str) -> tuple[Rows, Result]:
    done = CliRunner().invoke(export, [str(run), *options, "--out", str(out)])
    assert done.exit_code == 0, done.output
    with out.open(newline="") as file:
        return list(csv.DictReader(file)), done


def test_a_run_resumed_after_failures_has_every_chain_once_and_every_turn(resumed: Path, tmp_path: Path) -> None:
    run = atts.load_run(resumed)
    chains, done = exported(resumed, tmp_path / "chains.csv")
    assert done.stderr == ""
    assert sorted((row["problem"], int(row["sample"])) for row in chains) == sorted(run.chains)
    assert {row["status"] for row in chains} == {"done"}
    turns, _ = exported(resumed, tmp_path / "turns.csv", "--table", "turns")
    assert len(turns) == sum(map(len, run.turns.values()))
    reference = tmp_path / "reference"
    assert CliRunner().invoke(export, [str(resumed), "--layout", "reference", "--out", str(reference)]).exit_code == 0
    histories = [json.loads(file.read_bytes())["full_history"] for file in reference.iterdir()]
    assert len(histories) == len(run.chains) and all(histories)


def test_verdicts_are_the_runs_own_unless_a_grading_is_named(tmp_path: Path) -> None:
    path = execute(tmp_path / "r")
    run = atts.load_run(path)
    chains, _ = exported(path, tmp_path / "chains.csv")
    found = {(row["problem"], int(row["sample"])): row["correct"] for row in chains}
    assert found == {key: "" if verdict is None else str(verdict) for key, verdict in run.verdicts.items()}
    assert set(found.values()) & {"True", "False"}


@pytest.mark.parametrize("strategy", ["atts", "target-only", "draft-only", "specreason", "atts-self"])
def test_tables_frames_and_summary_count_alike(strategy: str, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    path = execute(tmp_path / "r", strategy=strategy)
    run = atts.load_run(path)
    tokens, takeover = run.summary["tokens"], run.summary["takeover"]
    for name, frame in (("chains", run.frame()), ("turns", run.turn_frame())):
        rows, _ = exported(path, tmp_path / f"{name}.csv", "--table", name)
        shared = set(rows[0]) & set(frame.columns)
        assert shared == set(rows[0])
        sums = {column: sum(int(row[column]) for row in rows) for column in rows[0] if "_tokens" in column}
        sums |= {column: sum(int(row[column]) for row in rows) for column in rows[0] if "_written" in column}
        assert sums == {column: frame[column].sum() for column in sums}
        assert (sums["draft_written"], sums["target_written"]) == (tokens["draft"], tokens["target"])
        assert sums["draft_tokens"] + sums["target_tokens"] == tokens["kept"]
    taken = takeover["rate"]["value"] * takeover["decisions"] if takeover else 0
    assert run.frame()["takeovers"].sum() == pytest.approx(taken)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    path = execute(tmp_path / "r")
    lines = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[4] = b"\x00{garbage\n"
    ends = [place for place, line in enumerate(lines) if line.startswith(b'{"kind":"chain"')]
    (path / "journal.jsonl").write_bytes(b"".join(lines[: ends[-1]]))
    _, done = exported(path, tmp_path / "chains.csv")
    assert "Damaged lines of the journal were left out: 5." in done.stderr
    assert "further turn" in done.stderr
    assert "1 of 12 chains have not ended." in done.stderr


def test_an_empty_run_has_its_columns_and_their_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = execute(tmp_path / "r")
    (path / "journal.jsonl").write_bytes(b"")
    rows, _ = exported(path, tmp_path / "chains.csv")
    assert rows == [] and (tmp_path / "chains.csv").read_text().startswith("problem,sample,status")
    out = tmp_path / "chains.parquet"
    assert CliRunner().invoke(export, [str(path), "--layout", "parquet", "--out", str(out)]).exit_code == 0
    types = {field.name: str(field.type) for field in parquet.read_schema(out)}
    assert (types["correct"], types["answer"], types["seconds"]) == ("bool", "string", "double")


def test_without_known_answers_there_are_no_verdicts(tmp_path: Path) -> None:
    source = tmp_path / "reference"
    path = execute(tmp_path / "r")
    assert CliRunner().invoke(export, [str(path), "--layout", "reference", "--out", str(source)]).exit_code == 0
    rows, _ = exported(source, tmp_path / "chains.csv")
    assert len(rows) == 12 and {row["correct"] for row in rows} == {""}
    assert sum(int(row["takeovers"]) for row in rows) == atts.load_run(path).frame()["takeovers"].sum()


def test_the_suffix_says_what_is_written(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = execute(tmp_path / "r")
    for name in ("chains.parquet", "CHAINS.PARQUET", "turns.parquet"):
        options = ["--table", "turns"] if name.startswith("turns") else []
        done = CliRunner().invoke(export, [str(path), *options, "--out", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        assert parquet.read_table(tmp_path / name).num_rows >= 12
    rows, _ = exported(path, tmp_path / "named.txt", "--layout", "csv")
    assert len(rows) == 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "chains.xlsx"], "--out chains.xlsx: let the name end in .csv or .parquet"),
        (["--out", "chains.csv.gz"], "let the name end in"),
        (["--out", "chains"], "let the name end in"),
        (["--out", "c.parquet", "--layout", "csv"], "the suffix says parquet"),
        (["--out", "c.csv", "--layout", "parquet"], "the suffix says csv"),
        (["--out", "-", "--layout", "reference"], "a folder of files"),
        (["--out", "folder", "--layout", "reference", "--table", "turns"], "no --table"),
        (["--out", "-", "--json"], "standard output holds the table"),
        (["--out", "none/chains.csv"], "none/chains.csv: cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    path = execute(tmp_path / "r")
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    with pytest.raises(InputError, match=re.escape(said)):
        CliRunner().invoke(export, [str(path), *options], catch_exceptions=False)
    assert set(tmp_path.iterdir()) == before


def test_tables_go_to_standard_output_and_to_pipes(tmp_path: Path) -> None:
    path = execute(tmp_path / "r")
    expected = exported(path, tmp_path / "chains.csv")[0]
    command = [sys.executable, "-m", "atts", "export", str(path), "--out"]
    for out in ("-", "/dev/stdout"):
        done = subprocess.run([*command, out], capture_output=True, text=True, check=True, timeout=300)
        assert list(csv.DictReader(done.stdout.splitlines())) == expected
        assert done.stderr == f"{out}: 12 chains\n"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        assert CliRunner().invoke(export, [str(path), "--out", str(pipe)]).exit_code == 0
        assert list(csv.DictReader(reader.communicate(timeout=60)[0].splitlines())) == expected
    with Path("/dev/full").open("wb") as full:
        failed = subprocess.run([*command, "-"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (failed.returncode, failed.stderr) == (2, "error: -: cannot be written: No space left on device\n")


def test_parquet_is_not_shown_on_a_terminal(tmp_path: Path) -> None:
    path = execute(tmp_path / "r")
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "atts", "export", str(path), "--layout", "parquet", "--out", "-"]
    try:
        done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, text=True, check=False, timeout=300)
    finally:
        os.close(terminal)
        os.close(screen)
    assert done.returncode == 2 and "no text for a terminal" in done.stderr and done.stderr.count("\n") == 1
