"""What is no log-probability never becomes a score."""

from __future__ import annotations

import math
from typing import Any

import pytest

from atts.engines.log_probabilities import finite, told
from atts.errors import ScoreError

NONE = [None, "-1.5", "-Infinity", "NaN", math.nan, math.inf, True, [], {}, 0.5, 1]
STAND_FOR_INFINITY = [-math.inf, -9999.0, -9999, -1000.0, -200.1, -3.4e38]


@pytest.mark.parametrize("wrong", [*NONE, *STAND_FOR_INFINITY])
def test_one_that_cannot_be_spoils_the_score(wrong: Any) -> None:
    with pytest.raises(ScoreError) as caught:
        finite([-1.0, wrong, -2.0], "http://h")
    assert caught.value.retryable and "http://h" in str(caught.value)


def test_what_can_be_is_kept() -> None:
    values = [0, -0.0, 0.004, -1e-9, -39.5, -150.0, -200.0]
    assert finite(values, "h") == tuple(map(float, values))
    assert finite([], "h") == ()


@pytest.mark.parametrize("wrong", STAND_FOR_INFINITY)
def test_an_author_that_could_not_have_written_its_token_tells_nothing(wrong: float) -> None:
    assert told([-1.0, wrong], "h") is None
    assert told([-1.0, -2], "h") == (-1.0, -2.0)


@pytest.mark.parametrize("wrong", NONE)
def test_who_draws_from_what_is_no_number_is_not_believed(wrong: Any) -> None:
    with pytest.raises(ScoreError):
        told([-1.0, wrong], "h")
