from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from atts.calibration.files import read_calibration
from atts.cli import cli
from atts.errors import InputError

SMALL = ["--preset", "bundled", "--draft", "scripted:5", "--target", "scripted:5", "--limit", "3", "--samples", "2"]


def invoke(command: str, *arguments: str | Path) -> Result:
    return CliRunner(catch_exceptions=False).invoke(cli, [command, *map(str, arguments)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c.json"
    assert invoke("calibrate", *SMALL, "--out", path, "--quiet").exit_code == 0
    return path


def test_scores_of_the_calibration_split_with_their_fingerprint(file: Path) -> None:
    calibration = read_calibration(file)
    assert {score.problem.split("-")[0] for score in calibration.scores} == {"calibration"}
    assert len({score.problem for score in calibration.scores}) == 3
    assert len({score.turn for score in calibration.scores}) > 1
    assert calibration.fingerprint["draft"] == calibration.fingerprint["target"]
    assert calibration.fingerprint["score"] == "log_perplexity"


def test_the_file_is_described(file: Path) -> None:
    shown = invoke("calibrate", "--describe", file)
    assert "6 scores" not in shown.output and "of 3 problems" in shown.output and "recorded with" in shown.output
    found = json.loads(invoke("calibrate", "--describe", file, "--json").stdout)
    assert found["problems"] == 3
    assert found["scores"] == sum(turn["n"] for turn in found["by_turn"])


def test_the_same_command_goes_on_and_writes_the_same(file: Path) -> None:
    before = file.read_bytes()
    assert invoke("calibrate", *SMALL, "--out", file, "--quiet").exit_code == 0
    assert file.read_bytes() == before


def test_a_run_begins_with_it(file: Path, tmp_path: Path) -> None:
    asked = [*SMALL, "--calibrator", "static", "--calibration", file, "--out", tmp_path / "run", "--quiet", "--json"]
    summary = json.loads(invoke("run", *asked).stdout)
    assert summary["status"] == "complete"
    assert summary["takeover"]["certificate"]["all"]["n"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--draft-tokens", "7"], "draft_tokens was 64, is 7"),
        (["--score", "worst_window"], "score was 'log_perplexity', is 'worst_window'"),
        (["--prompt", "plain"], "prompt was"),
        (["--split", "calibration"], "problems were calibrated on"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything_is_written(
    file: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        invoke("run", *SMALL, "--calibration", file, "--out", tmp_path / "run", "--quiet", *options)
    assert not (tmp_path / "run").exists()


def test_other_models_are_refused(file: Path, tmp_path: Path) -> None:
    content = json.loads(file.read_text())
    content["fingerprint"]["target"] = "another"
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(content))
    with pytest.raises(InputError, match="target was 'another', is"):
        invoke("run", *SMALL, "--calibration", changed, "--out", tmp_path / "run", "--quiet")
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_begun_is_left_as_it_is_where_other_models_are_refused(file: Path, tmp_path: Path) -> None:
    asked = [*SMALL, "--calibration", file, "--out", tmp_path / "run", "--quiet"]
    assert invoke("run", *asked).exit_code == 0
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:5]))
    before = contents(tmp_path / "run")
    file.write_text(file.read_text().replace('"target": "', '"target": "not '))
    with pytest.raises(InputError, match="target was"):
        invoke("run", *asked)
    assert contents(tmp_path / "run") == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_threshold_by_question_has_to_know_the_questions(file: Path, tmp_path: Path) -> None:
    asked = [*SMALL, "--calibrator", "static", "--scope", "question", "--quiet", "--json"]
    with pytest.raises(InputError, match="no scores of the run's problems"):
        invoke("run", *asked, "--calibration", file, "--out", tmp_path / "other")
    own = tmp_path / "own.json"
    assert invoke("calibrate", *SMALL, "--split", "test", "--out", own, "--quiet").exit_code == 0
    known = json.loads(invoke("run", *asked, "--calibration", own, "--out", tmp_path / "known").stdout)
    assert known["warnings"] == []
    more = json.loads(invoke("run", *asked, "--limit", "5", "--calibration", own, "--out", tmp_path / "more").stdout)
    assert more["warnings"] == ["2 of 5 problems have no recorded scores: ranked among all"]


def test_scores_of_the_reference_are_adopted(tmp_path: Path) -> None:
    np.save(tmp_path / "ref.npy", np.linspace(1.1, 3.0, 32))
    out = tmp_path / "c.json"
    assert invoke("calibrate", "--from", tmp_path / "ref.npy", *SMALL, "--out", out).exit_code == 0
    assert len(read_calibration(out).scores) == 32
    done = invoke("run", *SMALL, "--calibration", out, "--out", tmp_path / "run", "--quiet")
    assert done.exit_code == 0
    with pytest.raises(InputError, match="does not say what it was recorded with"):
        invoke("run", *SMALL, "--calibration", tmp_path / "ref.npy", "--out", tmp_path / "other", "--quiet")


def test_what_scores_were_recorded_with_is_never_made_up(file: Path, tmp_path: Path) -> None:
    """A run and a calibration file say it themselves, whatever is named beside them."""
    before, out = read_calibration(file), tmp_path / "out.json"
    named = ["--draft", "scripted:9", "--target", "scripted:9", "--draft-tokens", "7", "--draft-temperature", "0.1"]
    for source in (file, file.with_suffix(".run")):
        assert invoke("calibrate", "--from", source, *named, "--out", out).exit_code == 0
        assert read_calibration(out) == before
    assert (
        invoke("calibrate", "--from", file.with_suffix(".run"), "--score", "worst_window", "--out", out).exit_code == 0
    )
    assert read_calibration(out).fingerprint == {**before.fingerprint, "score": "worst_window"}
    with pytest.raises(InputError, match="score was 'log_perplexity', is 'worst_window'"):
        invoke("calibrate", "--from", file, "--score", "worst_window", "--out", tmp_path / "no.json")
    (file.with_suffix(".run") / "sessions.jsonl").unlink()
    with pytest.raises(InputError, match="does not say which models"):
        invoke("calibrate", "--from", file.with_suffix(".run"), "--out", tmp_path / "no.json")
    assert not (tmp_path / "no.json").exists()


@pytest.mark.parametrize("column", ["ppl", "perplexity"])
def test_a_table_of_perplexities_is_adopted(tmp_path: Path, column: str) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "c.json"
    table.write_text(f"problem,sample,turn,{column}\na,0,0,2.0\na,0,1,1.0\nb,0,0,4.0\n")
    assert invoke("calibrate", "--from", table, *SMALL, "--out", out).exit_code == 0
    assert [score.score for score in read_calibration(out).scores] == pytest.approx(np.log([2.0, 1.0, 4.0]))
    assert invoke("run", *SMALL, "--calibration", out, "--out", tmp_path / "run", "--quiet").exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--score", "worst_window"], "perplexities, which are of score log_perplexity, not worst_window"),
        (["--score", "ppl"], "there is no score 'ppl'"),
    ],
)
def test_perplexities_of_the_reference_are_of_one_score_only(tmp_path: Path, options: list[str], message: str) -> None:
    np.save(tmp_path / "ref.npy", np.linspace(1.1, 3.0, 32))
    with pytest.raises(InputError, match=message):
        invoke("calibrate", "--from", tmp_path / "ref.npy", *SMALL, *options, "--out", tmp_path / "c.json")


def test_questions_of_the_reference_are_the_problems_in_their_order(tmp_path: Path) -> None:
    np.save(tmp_path / "ref.npy", {0: [2.0, 3.0], 1: [1.5], 2: [1.2]})  # type: ignore[arg-type]
    out = tmp_path / "c.json"
    assert invoke("calibrate", "--from", tmp_path / "ref.npy", *SMALL, "--out", out).exit_code == 0
    asked = [*SMALL, "--calibrator", "static", "--scope", "question", "--calibration", out, "--quiet", "--json"]
    summary = json.loads(invoke("run", *asked, "--out", tmp_path / "run").stdout)
    assert summary["status"] == "complete" and summary["warnings"] == []
    with pytest.raises(InputError, match="it has question 2, and there are 2 problems"):
        invoke("calibrate", "--from", tmp_path / "ref.npy", *SMALL, "--limit", "2", "--out", out)


def test_quartiles_of_small_scores_have_digits(tmp_path: Path) -> None:
    np.save(tmp_path / "ref.npy", np.exp([0.00012, 0.00034, 0.00056]))
    assert "0.00034" in invoke("calibrate", "--describe", tmp_path / "ref.npy").output


@pytest.mark.parametrize("arguments", [[], ["--out", "c.txt"]])
def test_a_file_to_write_has_to_be_named(arguments: list[str]) -> None:
    with pytest.raises(InputError, match=r"ending in \.json"):
        invoke("calibrate", *SMALL, *arguments)


@pytest.mark.parametrize("strategy", ["specreason", "atts-self", "lockstep"])
def test_scores_for_a_method_with_options_of_its_own(tmp_path: Path, strategy: str) -> None:
    asked = invoke("calibrate", *SMALL, "--set", f"strategy={strategy}", "--out", tmp_path / "c.json", "--quiet")
    assert asked.exit_code == 0
    assert read_calibration(tmp_path / "c.json").scores
