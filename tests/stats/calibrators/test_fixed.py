from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.errors import InputError
from atts.stats.calibrators import make_calibrator, resolve_settings
from atts.types import Chunk


@given(scores=st.lists(st.floats(-1e9, 1e9), max_size=50), threshold=st.floats(-100, 100))
def test_what_scores_the_threshold_or_more_is_taken_over(scores: list[float], threshold: float) -> None:
    calibrator = make_calibrator(resolve_settings(calibrator="fixed", threshold=threshold))
    for i, score in enumerate(scores):
        decision = calibrator.decide(Chunk("a", i, 0), score, 0.5)
        if abs(score - threshold) > 1e-6 * max(1, abs(score)):
            assert decision.rejected == (score >= threshold)
    assert calibrator.decide(Chunk("b", 0, 0), None, 0.5).rejected
    assert calibrator.certificate() == {} and not calibrator.promises


def test_it_needs_a_threshold_and_no_other_takes_one() -> None:
    with pytest.raises(InputError, match="fixed needs a threshold"):
        resolve_settings(calibrator="fixed")
    with pytest.raises(InputError, match="threshold = 1 belongs to calibrator fixed"):
        resolve_settings(calibrator="tracked", threshold=1.0)
