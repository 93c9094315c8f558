"""`atts report` and `atts compare`, as a shell calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from atts.cli import main
from atts.cli.calibrate import calibrate
from atts.cli.compare import compare
from atts.cli.report import report
from atts.report.page import render
from atts.results.loaded import load_run
from tests.results.test_loaded import execute


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("runs")
    return [str(execute(folder / name, strategy=name)) for name in ("atts", "draft-only")]


def test_report_writes_into_the_run_folder(runs: list[str]) -> None:
    pytest.importorskip("matplotlib")
    done = CliRunner().invoke(report, runs[:1])
    assert done.exit_code == 0, done.output
    assert (Path(runs[0]) / "report.html").stat().st_size > 50_000
    assert done.stdout == ""


def test_a_run_with_a_fixed_threshold_is_reported_and_compared(runs: list[str], tmp_path: Path) -> None:
    """Its certificate is counted from the decisions alone, without the calibration file."""
    pytest.importorskip("matplotlib")
    engines = ["--draft", "scripted:5", "--target", "scripted:5"]
    recorded = tmp_path / "c.json"
    done = CliRunner().invoke(
        calibrate,
        ["--preset", "bundled", *engines, "--limit", "3", "--samples", "2", "--out", str(recorded), "--quiet"],
    )
    assert done.exit_code == 0, done.output
    run = execute(tmp_path / "static", calibrator="static", calibration=str(recorded))
    recorded.unlink()
    written = json.loads((run / "summary.json").read_text())
    assert load_run(run).summary["takeover"] == written["takeover"]
    assert CliRunner().invoke(report, [str(run)]).exit_code == 0
    assert CliRunner().invoke(compare, [str(run), runs[0]]).exit_code == 0


def test_timeline(runs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "trace.json"
    assert CliRunner().invoke(report, [runs[0], "--timeline", str(out)]).exit_code == 0
    assert json.loads(out.read_text())["traceEvents"]


def test_compare_prints_only_json(runs: list[str]) -> None:
    done = CliRunner().invoke(compare, [*runs, "--json"])
    found = json.loads(done.stdout)
    assert [one["strategy"] for one in found] == ["atts", "draft-only"]
    assert found[1]["difference"]["maj@k"]["questions"] == 3


def test_compare_fits_eighty_columns_and_draws(runs: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "frontier.svg"
    done = CliRunner().invoke(compare, [*runs, "--plot", str(plot)], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "draft-only" in done.stdout and plot.read_text().lstrip().startswith("<?xml")


def test_a_run_beside_itself_says_what_its_interval_means(runs: list[str]) -> None:
    sentence = "there the interval is how far other questions could still part them, not a difference that was seen"
    pytest.importorskip("matplotlib")
    assert sentence in CliRunner().invoke(compare, [runs[0], runs[0]]).stdout
    assert sentence in render([load_run(Path(runs[0]))] * 2)


def test_runs_without_a_star_are_named(runs: list[str], tmp_path: Path) -> None:
    fewer = str(execute(tmp_path / "fewer[bold]", limit=2))
    done = CliRunner().invoke(compare, [*runs, fewer])
    assert done.exit_code == 0, done.output
    [line] = [line for line in done.stdout.splitlines() if line.startswith("no star")]
    assert line.endswith("run has the same questions: fewer[bold]")
    assert "no star" not in CliRunner().invoke(compare, runs).stdout


@pytest.mark.parametrize("command", ["compare", "timeline"])
def test_damaged_lines_are_named(command: str, tmp_path: Path) -> None:
    path = execute(tmp_path / "r")
    lines = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[4] = b"[" * 200_000 + b"\n"
    (path / "journal.jsonl").write_bytes(b"".join(lines))
    timeline = [str(path), "--timeline", str(tmp_path / "trace.json")]
    done = CliRunner().invoke(*((compare, [str(path)]) if command == "compare" else (report, timeline)))
    assert done.exit_code == 0, done.output
    assert f"warning: {path}: Damaged lines of the journal were left out: 5.\n" in done.stderr
    assert "could not be used" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "{none}"], "no run there"),
        (["report", "{run}", "--timeline", "{none}/x.json"], "cannot write there"),
        (["report", "{run}", "{run}", "--timeline", "x.json"], "one RUN"),
        (["compare", "{none}"], "no run there"),
        (["compare", "{run}", "--plot", "{none}/x.svg"], "cannot be drawn"),
        (["report"], "Missing argument"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], says: str, runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [argument.format(run=runs[0], none=tmp_path / "none") for argument in arguments]
    with pytest.raises(SystemExit) as stopped:
        main(filled)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
