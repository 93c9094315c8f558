from __future__ import annotations

from dataclasses import replace

import pytest

from atts.types import Chunk
from tests.stats.calibrators.streams import R1, made


def test_a_question_without_calibration_scores_is_ranked_among_all() -> None:
    calibrator = made(replace(R1, name="static", scope="question"))
    own = calibrator.decide(Chunk("0", 0, 0), 5.55, 0.5).p_value
    other = calibrator.decide(Chunk("new", 0, 0), 5.55, 0.5).p_value
    assert own == pytest.approx((1 + 0.5) / 16)  # of question 0 only 5.6 is greater
    assert other == pytest.approx((4 + 0.5) / 61)


def test_a_fixed_bank_learns_nothing() -> None:
    calibrator = made(replace(R1, name="static"))
    before = calibrator.state()["banks"]
    calibrator.decide(Chunk("a", 0, 0), 3.0, 0.5)
    assert calibrator.state()["banks"] == before
