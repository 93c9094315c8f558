from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from atts.cli import cli
from atts.errors import InputError
from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.stats.synthetic import World, simulate

SCRIPTED = ["--preset", "bundled", "--draft", "scripted:5", "--target", "scripted:5", "--limit", "3", "--samples", "4"]


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """A generated run with decisions that are recorded as a fixed threshold would have taken them."""
    decisions = simulate(World(questions=12, samples=4), make_calibrator(CalibratorSettings("online")), 3)
    path = tmp_path / "scores.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("problem", "sample", "turn", "ppl", "chars", "taken_over"))
        for d in decisions:
            ppl = math.exp(d.score or 0)
            writer.writerow((d.chunk.problem, d.chunk.sample, d.chunk.turn, repr(ppl), 800, int(ppl > 1.5)))
    return path


def invoke(*arguments: str | Path) -> Result:
    return CliRunner(catch_exceptions=False).invoke(cli, ["replay", *map(str, arguments)])


def test_the_tables_show_promise_and_coin_and_fit_a_screen(scores: Path) -> None:
    shown = invoke(scores, "--score", "ppl", "--calibrator", "tracked", "--calibrator", "aci", "--calibrator", "dtaci")
    assert shown.exit_code == 0
    assert "promised rate 0.200" in shown.output
    for word in ("tracked", "aci", "dtaci", "coin", "realised rate", "selectivity in turn", "noise"):
        assert word in shown.output
    assert max(map(len, shown.output.splitlines())) <= 80


def test_json_alone_is_on_standard_output(scores: Path) -> None:
    found = json.loads(invoke(scores, "--score", "ppl", "--json", "--orders", "3", "--budget", "1").stdout)
    assert found["promised"] == 0.25
    assert found["seeds"] == [0, 1, 2]
    first, coin = found["calibrators"]
    assert (first["settings"]["name"], coin["settings"]["name"]) == ("budgeted", "coin")
    assert len(first["rates"]) == 3
    assert first["certificate"]["all"]["n"] == found["decisions"]
    assert sum(turn["n"] for turn in first["by_turn"]) == found["decisions"]


def test_rates_by_question_and_by_window_and_what_a_coin_would_show(scores: Path) -> None:
    found = json.loads(invoke(scores, "--score", "ppl", "--json", "--orders", "2").stdout)
    assert {"rate", "turn_rms", "question_rms", "window_rms", "overflow", "selectivity"} <= found["noise_floor"].keys()
    for one in found["calibrators"]:
        for groups, count in (("by_question", 12), ("by_window", -(-found["decisions"] // 200))):
            assert len(one[groups]) == count
            assert sum(group["n"] for group in one[groups]) == found["decisions"]
            taken = sum(group["n"] * group["rate"] for group in one[groups])
            assert taken / found["decisions"] == pytest.approx(one["rate"])


def test_an_option_of_one_calibrator_is_not_for_the_others(scores: Path) -> None:
    recorded = ("--score", "ppl", "--json", "--orders", "1", "--calibration", scores)
    asked = invoke(scores, *recorded, "--calibrator", "static", "--calibrator", "tracked", "--compat", "reference")
    static, tracked, _ = (one["settings"] for one in json.loads(asked.stdout)["calibrators"])
    assert (static["compat"], tracked["compat"]) == ("reference", "none")
    asked = invoke(scores, *recorded, "--calibrator", "aci", "--calibrator", "tracked", "--scope", "question")
    aci, tracked, _ = (one["settings"] for one in json.loads(asked.stdout)["calibrators"])
    assert (aci["scope"], tracked["scope"]) == ("run", "question")
    for names in (["aci", "dtaci"], ["coin"]):
        with pytest.raises(InputError, match="has no question scope"):
            invoke(scores, *recorded, *(f"--calibrator={name}" for name in names), "--scope", "question")


def test_the_decisions_are_written_in_the_order_of_the_file(scores: Path, tmp_path: Path) -> None:
    values = [1.5, 1.5, 1.5, 9.0, 9.0]
    lines = [f"0,{sample},{value}" for sample, value in enumerate(values)]
    (tmp_path / "calibration.csv").write_text("\n".join(["question,sample,ppl", *lines]))
    out = tmp_path / "decisions.csv"
    rule = ("--calibrator", "static", "--compat", "reference", "--calibration", tmp_path / "calibration.csv")
    shown = invoke(scores, "--score", "ppl", *rule, "--takeover-rate", "0.4", "--decisions", out)
    assert "100.00 %" in shown.output  # ppl > 1.5 means three of five below
    given, written = (list(csv.DictReader(path.read_text().splitlines())) for path in (scores, out))
    keys = ("problem", "sample", "turn", "taken_over")
    assert [[row[key] for key in keys] for row in written] == [[row[key] for key in keys] for row in given]
    assert math.exp(float(written[0]["score"])) == pytest.approx(float(given[0]["ppl"]))
    assert sorted(int(row["index"]) for row in written) == list(range(len(given)))


@pytest.mark.parametrize("calibrator", ["tracked", "budgeted"])
def test_a_finished_run_is_repeated_and_asked_what_if(tmp_path: Path, calibrator: str) -> None:
    """To the decision: also where thresholds depend on which chains had ended at the time."""
    runner = CliRunner(catch_exceptions=False)
    run = tmp_path / "run"
    chosen = ["--calibrator", calibrator]
    assert runner.invoke(cli, ["run", *SCRIPTED, *chosen, "--out", str(run), "--quiet"]).exit_code == 0
    [own, _] = json.loads(invoke(run, "--json").stdout)["calibrators"]
    assert own["as_recorded"] == 1.0
    asked = json.loads(invoke(run, "--json", "--takeover-rate", "0.7", "--score", "worst_window").stdout)
    assert asked["promised"] == 0.7
    with pytest.raises(InputError, match="no score 'nope'; they have"):
        invoke(run, "--score", "nope")


@pytest.fixture
def warm(tmp_path: Path) -> Path:
    """A run that began with the scores in `c.json`."""
    runner = CliRunner(catch_exceptions=False)
    recorded, run = tmp_path / "c.json", tmp_path / "warm"
    assert runner.invoke(cli, ["calibrate", *SCRIPTED, "--out", str(recorded), "--quiet"]).exit_code == 0
    done = runner.invoke(cli, ["run", *SCRIPTED, "--calibration", str(recorded), "--out", str(run), "--quiet"])
    assert done.exit_code == 0
    return run


def test_a_run_is_repeated_from_the_scores_that_it_began_with(warm: Path, tmp_path: Path) -> None:
    found = json.loads(invoke(warm, "--json").stdout)
    assert found["calibrators"][0]["as_recorded"] == 1.0
    assert found["recorded_before"] > 0
    assert "begun with" in invoke(warm, "--calibrator", "static").output
    assert json.loads(invoke(warm, "--json", "--score", "worst_window").stdout)["recorded_before"] == 0
    (tmp_path / "c.json").rename(tmp_path / "moved.json")
    with pytest.raises(InputError, match=r"began with .*c\.json, which is not there"):
        invoke(warm)
    moved = json.loads(invoke(warm, "--json", "--calibration", tmp_path / "moved.json").stdout)
    assert moved["calibrators"][0]["as_recorded"] == 1.0


@pytest.mark.parametrize(("key", "value"), [("draft_tokens", 7), ("target", "another"), ("score", "worst_window")])
def test_a_run_is_not_repeated_from_scores_that_it_would_refuse(
    warm: Path, tmp_path: Path, key: str, value: object
) -> None:
    content = json.loads((tmp_path / "c.json").read_text())
    content["fingerprint"][key] = value
    (tmp_path / "other.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"{key} was {value!r}"):
        invoke(warm, "--calibration", tmp_path / "other.json")


def test_a_plot(scores: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert invoke(scores, "--score", "ppl", "--orders", "1", "--plot", tmp_path / "p.svg").exit_code == 0
    assert "<svg" in (tmp_path / "p.svg").read_text()
    with pytest.raises(InputError, match="cannot be drawn"):
        invoke(scores, "--score", "ppl", "--orders", "1", "--plot", tmp_path / "p.nope")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--score"),
        (["--score", "ppl", "--takeover-rate", "2"], "takeover_rate = 2"),
        (["--score", "ppl", "--budget", "5"], r"budget = 5 is outside \[0, 4\]"),
        (["--score", "ppl", "--budget", "1", "--alpha", "0.5"], "give one of them"),
        (["--score", "ppl", "--order", "lifo"], "arrival order"),
        (["--score", "ppl", "--samples", "3"], "--samples 3: there are 4 recorded of one problem"),
        (["--score", "ppl", "--calibrator", "static"], "recorded scores"),
        (["--score", "ppl", "--calibration", "nowhere.npy"], "no calibration file"),
        (["--score", "ppl", "--decisions", "no/where.csv"], "cannot write there"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(scores: Path, options: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        invoke(scores, *options)


def test_a_question_has_a_sample_at_least(scores: Path) -> None:
    with pytest.raises(click.BadParameter, match="0 is not in the range"):
        CliRunner(catch_exceptions=False).invoke(cli, ["replay", str(scores), "--samples", "0"], standalone_mode=False)


@pytest.mark.parametrize("asked", [["tracked", "online"], ["tracked", "coin"], ["coin"], ["online", "online"], []])
def test_the_decisions_of_every_calibrator_that_was_asked_for_are_written(
    scores: Path, tmp_path: Path, asked: list[str]
) -> None:
    out = tmp_path / "decisions.csv"
    options = [part for name in asked for part in ("--calibrator", name)]
    assert invoke(scores, "--score", "ppl", *options, "--decisions", out).exit_code == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    chunks = len(scores.read_text().splitlines()) - 1
    assert Counter(row["calibrator"] for row in rows) == dict.fromkeys(asked or ["budgeted"], chunks)
    with pytest.raises(InputError, match="name a file"):
        invoke(scores, "--score", "ppl", "--decisions", "-")


@pytest.mark.parametrize("name", ["nofile.csv", "none/nofile.jsonl", "nofile.parquet", "nofolder"])
def test_a_file_that_is_not_there_is_not_asked_for_its_columns(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / name}: no such file")):
        invoke(tmp_path / name)


def test_an_option_that_no_calibrator_has_is_refused(scores: Path) -> None:
    recorded = ("--score", "ppl")
    assert not invoke(scores, *recorded, "--calibrator", "coin", "--calibrator", "online", "--window", "9").exit_code
    with pytest.raises(InputError, match="window = 9: calibrator coin has no such option"):
        invoke(scores, *recorded, "--calibrator", "coin", "--window", "9")


def test_options_of_one_calibrator_alone(scores: Path) -> None:
    """They are given to those that have them; what none has is refused."""
    recorded = ("--score", "ppl", "--calibrator", "tracked")
    given = ("--calibrator-options", "by=0.1")
    own = "tests.stats.calibrators.test_own_options:Biased"
    assert invoke(scores, *recorded, "--calibrator", own, *given).exit_code == 0
    with pytest.raises(InputError, match="no option 'by' of calibrator tracked"):
        invoke(scores, *recorded, *given)
    with pytest.raises(InputError, match=r"calibrator_options\.by = 2"):
        invoke(scores, *recorded, "--calibrator", own, "--calibrator-options", "by=2")
