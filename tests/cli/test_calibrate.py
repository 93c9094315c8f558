from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from atts.cli import cli
from atts.errors import InputError
from atts.evals.calibration import read_calibration

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
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="target was 'another', is"):
        invoke("run", *SMALL, "--calibration", file, "--out", tmp_path / "run", "--quiet")


def test_scores_of_the_reference_are_adopted(tmp_path: Path) -> None:
    np.save(tmp_path / "ref.npy", np.linspace(1.1, 3.0, 32))
    out = tmp_path / "c.json"
    assert invoke("calibrate", "--from", tmp_path / "ref.npy", *SMALL, "--out", out).exit_code == 0
    assert len(read_calibration(out).scores) == 32
    done = invoke("run", *SMALL, "--calibration", out, "--out", tmp_path / "run", "--quiet")
    assert done.exit_code == 0
    with pytest.raises(InputError, match="does not say what it was recorded with"):
        invoke("run", *SMALL, "--calibration", tmp_path / "ref.npy", "--out", tmp_path / "other", "--quiet")


@pytest.mark.parametrize("arguments", [[], ["--out", "c.txt"]])
def test_a_file_to_write_has_to_be_named(arguments: list[str]) -> None:
    with pytest.raises(InputError, match=r"ending in \.json"):
        invoke("calibrate", *SMALL, *arguments)
