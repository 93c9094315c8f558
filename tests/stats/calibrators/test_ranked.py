"""Rank within rounds: exactly the promised share of each round, whatever the order in which it is decided."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.stats.calibrators.ranked import Ranked
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk, Decision


def decided(calibrator: Ranked, scores: list[float | None], turn: int = 0, problem: str = "p") -> list[Decision]:
    """One round: everybody's score is known before the first decision, which is the last sample's."""
    chunks = [Chunk(problem, sample, turn) for sample in range(len(scores))]
    for chunk, score in zip(chunks, scores, strict=True):
        calibrator.announce(chunk, score)
    return [calibrator.decide(chunks[s], scores[s], 0.5) for s in reversed(range(len(scores)))][::-1]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.integers(0, 20))
def test_the_worst_of_a_round_are_taken_over(scores: list[float], worst: int) -> None:
    worst = min(worst, len(scores))
    decisions = decided(Ranked(CalibratorSettings("ranked", worst / len(scores))), list(scores))
    rejected = [score for score, decision in zip(scores, decisions, strict=True) if decision.rejected]
    assert len(rejected) == worst
    assert sorted(rejected, reverse=True) == sorted(scores, reverse=True)[:worst]


def test_fractions_are_right_on_average() -> None:
    calibrator = Ranked(CalibratorSettings("ranked", 0.3))
    counts = [sum(d.rejected for d in decided(calibrator, [1.0, 2.0, 3.0, 4.0, 5.0], turn)) for turn in range(400)]
    assert set(counts) == {1, 2}
    assert sum(counts) / 400 == pytest.approx(1.5, abs=0.08)


def test_an_unscored_chunk_is_not_ranked() -> None:
    decisions = decided(Ranked(CalibratorSettings("ranked", 0.5)), [1.0, None, 3.0, float("nan"), 2.0, 4.0])
    assert [d.rejected for d in decisions] == [False, True, True, True, False, True]
    assert decisions[1].p_value is None


def test_a_round_that_was_interrupted_is_ranked_as_a_whole() -> None:
    scores: list[float | None] = [1.0, 5.0, 3.0, 4.0]
    settings = CalibratorSettings("ranked", 0.5)
    whole = decided(Ranked(settings), scores)
    replayed, restored = Ranked(settings), Ranked(settings)
    for decision in whole[2:]:  # two were taken and journalled, the others were lost
        replayed.replay(decision)
    restored.restore(json.loads(json.dumps(replayed.state())))
    for calibrator in (replayed, restored):
        again = decided(calibrator, scores[:2])
        assert [d.rejected for d in again] == [d.rejected for d in whole[:2]]
        assert calibrator.certificate()["all"]["n"] == 4
