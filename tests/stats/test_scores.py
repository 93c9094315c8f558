from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.errors import InputError, ScoreError
from atts.stats.scores import SCORES, WINDOW, raw_scores, score_chunk

LOGS = st.lists(st.floats(-50, 0), min_size=1, max_size=100)


@given(LOGS)
def test_log_perplexity_is_the_mean_negative_log_probability(logs: list[float]) -> None:
    score = score_chunk(SCORES["log_perplexity"], logs)
    assert score == pytest.approx(-sum(logs) / len(logs))
    assert raw_scores(logs)["perplexity"] == pytest.approx(math.exp(score))


@given(st.lists(st.tuples(st.floats(-50, 0), st.floats(-50, 0)), min_size=1))
def test_the_likelihood_ratio_is_large_where_the_draft_was_surer(pairs: list[tuple[float, float]]) -> None:
    target, draft = [p for p, _ in pairs], [q for _, q in pairs]
    ratio = score_chunk(SCORES["log_likelihood_ratio"], target, draft)
    assert ratio == pytest.approx(sum(q - p for p, q in pairs) / len(pairs))


@given(LOGS)
def test_the_worst_window_is_that_of_a_scan(logs: list[float]) -> None:
    width = min(WINDOW, len(logs))
    scan = max(-sum(logs[i : i + width]) / width for i in range(len(logs) - width + 1))
    assert score_chunk(SCORES["worst_window"], logs) == pytest.approx(scan, rel=1e-8, abs=1e-8)


def test_the_worst_window_sees_what_the_mean_washes_out() -> None:
    even, local = [-1.0] * 320, [-0.6] * 288 + [-4.6] * 32
    assert score_chunk(SCORES["log_perplexity"], even) == pytest.approx(score_chunk(SCORES["log_perplexity"], local))
    assert score_chunk(SCORES["worst_window"], local) == pytest.approx(4.6)


def test_nats_per_character() -> None:
    assert score_chunk(SCORES["nats_per_character"], [-2.0, -4.0], characters=12) == pytest.approx(0.5)
    with pytest.raises(ScoreError):
        score_chunk(SCORES["nats_per_character"], [-2.0], characters=0)


@pytest.mark.parametrize("bad", [[], [None], [-1.0, None], [math.nan], [-math.inf, -1.0]])
def test_no_score_is_invented(bad: list[float]) -> None:
    for score in SCORES.builtin.values():
        with pytest.raises(ScoreError):
            score_chunk(score, bad, bad, 10)
    with pytest.raises(ScoreError):
        raw_scores(bad)


def test_log_probabilities_of_other_tokens_are_no_evidence() -> None:
    with pytest.raises(ScoreError, match="misaligned"):
        score_chunk(SCORES["log_likelihood_ratio"], [-1.0, -2.0], [-1.0])
    with pytest.raises(ScoreError, match="draft"):
        score_chunk(SCORES["log_likelihood_ratio"], [-1.0])


def test_raw_scores_leave_out_what_cannot_be_known() -> None:
    assert set(raw_scores([-1.0])) == {"log_perplexity", "worst_window", "perplexity"}
    assert set(raw_scores([-1.0], [-0.5], 3)) == {*SCORES.builtin, "perplexity"}
    assert "perplexity" not in raw_scores([-800.0])  # beyond what a float holds


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(InputError, match="log_perplexity"):
        SCORES["nope"]
