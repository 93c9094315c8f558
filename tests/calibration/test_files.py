from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from atts.calibration.files import Calibration, read_calibration, write_calibration
from atts.errors import InputError
from atts.stats.calibrators import CalibrationScore

SCORES = [CalibrationScore("a", 0, 0.25), CalibrationScore("b", 3, -1.5, True)]
FINGERPRINT = {"draft": "small", "target": "large", "draft_tokens": 500}


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    write_calibration(path, Calibration(SCORES, FINGERPRINT))
    assert read_calibration(path) == Calibration(SCORES, FINGERPRINT)
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


def test_another_fingerprint_is_refused_and_the_keys_are_named() -> None:
    calibration = Calibration(SCORES, FINGERPRINT)
    calibration.require(FINGERPRINT, "c.json")
    with pytest.raises(InputError, match="draft_tokens was 500, is 100") as raised:
        calibration.require(FINGERPRINT | {"draft_tokens": 100}, "c.json")
    assert "target" not in str(raised.value)
    with pytest.raises(InputError, match="does not say"):
        Calibration(SCORES).require(FINGERPRINT, "c.json")


def test_problems_that_were_calibrated_on_are_refused() -> None:
    Calibration(SCORES).require_disjoint(["c", "d"], "c.json")
    with pytest.raises(InputError, match=r"1 of the run's problems .* \(b\)"):
        Calibration(SCORES).require_disjoint(["b", "c"], "c.json")


def test_the_references_array_has_sixteen_scores_a_question(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.array([2.0] * 16 + [3.0, math.inf, 0.0]))
    scores = read_calibration(tmp_path / "r.npy").scores
    assert [score.problem for score in scores] == ["0"] * 16 + ["1"]
    assert scores[-1].score == pytest.approx(math.log(3))


def test_the_references_dictionary(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", {"0": [2.0, 4.0], 1: np.array([8.0])})  # type: ignore[arg-type]
    scores = read_calibration(tmp_path / "r.npy").scores
    assert [(score.problem, round(math.exp(score.score))) for score in scores] == [("0", 2), ("0", 4), ("1", 8)]


def test_a_table_of_perplexities(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("question,sample,ppl\n7,0,2.0\n7,1,1.0\n")
    assert read_calibration(tmp_path / "c.csv", "ppl").scores == [
        CalibrationScore("7", 0, math.log(2.0)),
        CalibrationScore("7", 0, 0.0),
    ]


def damaged(tmp_path: Path) -> dict[str, Path]:
    np.save(tmp_path / "two.npy", np.ones((2, 2)))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "nested.npy", {"q": {"r": 1.0}})  # type: ignore[arg-type]
    np.save(tmp_path / "code.npy", np.array([print], dtype=object))
    np.save(tmp_path / "empty.npy", np.array([math.nan]))
    (tmp_path / "torn.json").write_text('{"format": "atts cal')
    (tmp_path / "other.json").write_text('{"format": "something", "scores": []}')
    (tmp_path / "list.json").write_text("[1, 2]")
    content = {"format": "atts calibration 1", "fingerprint": {}, "scores": [["a", 0, math.nan, False]]}
    (tmp_path / "nan.json").write_text(json.dumps(content))
    return {path.name: path for path in tmp_path.iterdir()} | {"absent.json": tmp_path / "absent.json"}


@pytest.mark.parametrize(
    "name",
    [
        "two.npy",
        "words.npy",
        "nested.npy",
        "code.npy",
        "empty.npy",
        "torn.json",
        "other.json",
        "list.json",
        "nan.json",
        "absent.json",
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as raised:
        read_calibration(damaged(tmp_path)[name])
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        write_calibration(tmp_path / "no" / "c.json", Calibration(SCORES))
