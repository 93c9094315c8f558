from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.stats.audit import audit
from atts.stats.calibrators import CalibrationScore
from atts.stats.control import round_limit
from atts.stats.settings import CalibratorSettings
from atts.stats.synthetic import World, simulate
from atts.types import Chunk, Decision
from tests.stats.calibrators.streams import R1, R3, STEPS, Steps, decided, made, residuals


@given(steps=STEPS, rate=st.floats(0, 1), hard_budget=st.booleans(), scope=st.sampled_from(["run", "question"]))
def test_the_identity_holds_on_any_stream(steps: Steps, rate: float, hard_budget: bool, scope: str) -> None:
    calibrator = made(replace(R1, rate=rate, hard_budget=hard_budget, scope=scope))
    assert max(residuals(calibrator, decided(calibrator, steps)), default=0) <= 1e-9


@pytest.mark.parametrize("settings", [R1, R3, replace(R1, hard_budget=True), replace(R3, hard_budget=True)])
def test_the_identity_and_the_caps_hold_against_an_adversary(settings: CalibratorSettings) -> None:
    """Scores chosen with the thresholds in view: always strange when the calibrator is stingy, and the reverse."""
    calibrator = made(replace(settings, samples=8))
    decisions: list[Decision] = []
    threshold = 0.4
    for step in range(4000):
        chunk = Chunk(str(step // 40), step % 8, step // 8 % 5)
        score = float(step) if threshold < 0.4 else -float(step)
        decision = calibrator.decide(chunk, score, 0.5)
        decisions.append(decision)
        threshold = decision.threshold
    assert max(residuals(calibrator, decisions)) <= 1e-9
    found = audit(decisions, 0.4, 8)
    if settings.hard_budget:
        assert found.window_excess <= 8 + 1e-9
        assert found.rounds_over == 0
    else:
        assert abs(found.rate - 0.4) <= 0.02


@given(data=st.data(), rate=st.floats(0.05, 0.95), scope=st.sampled_from(["run", "question"]))
def test_every_group_keeps_the_bound_against_an_adversary(data: st.DataObject, rate: float, scope: str) -> None:
    """Scores chosen so that the decision hurts: strange while the threshold is below the rate, and the reverse."""
    calibrator = made(replace(R1, rate=rate, scope=scope))
    groups = data.draw(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), min_size=50, max_size=400))
    threshold = rate
    for step, (problem, turn) in enumerate(groups):
        decision = calibrator.decide(Chunk(problem, 0, turn), float(step if threshold < rate else -step), 0.5)
        threshold = decision.threshold
    c = 2 * rate * (1 - rate) + 0.15 * max(rate, 1 - rate) ** 2
    for group, entry in calibrator.certificate().items():
        bound = math.sqrt(c * len(groups) / entry["eta"])
        assert abs(entry["taken_over"] - rate * entry["n"]) <= bound + 1e-9, group


def test_a_first_score_is_decided_by_the_draw_alone() -> None:
    assert made(R1).decide(Chunk("a", 0, 0), 5.0, 0.39).rejected
    assert not made(R1).decide(Chunk("a", 0, 0), 5.0, 0.41).rejected


@pytest.mark.parametrize("settings", [R1, R3], ids=["run", "question"])
@pytest.mark.parametrize("seed", range(3))
def test_the_rate_holds_under_drift_question_effects_and_feedback(settings: CalibratorSettings, seed: int) -> None:
    found = audit(simulate(World(), made(settings), seed), 0.4, 16)
    assert found.rate == pytest.approx(0.4, abs=0.005)
    assert found.worst_turn <= 0.045
    assert found.turn_rms <= 0.012
    assert found.window_rms <= 0.03
    if settings.scope == "question":
        assert found.question_rms <= 0.06
        assert found.question_selectivity >= 0.35
    else:
        assert found.selectivity >= 0.35


@pytest.mark.parametrize("seed", range(3))
def test_what_the_tracked_calibrator_repairs(seed: int) -> None:
    """The same worlds break the promise without feedback, so the test above tests something."""
    online = audit(simulate(World(), made(replace(R1, name="online")), seed), 0.4, 16)
    assert online.turn_rms > 0.02
    assert online.question_rms > 0.15
    one_loop = audit(simulate(World(), made(replace(R1, name="aci", by_turn=None)), seed), 0.4, 16)
    assert abs(one_loop.rate - 0.4) < 0.003
    assert one_loop.worst_turn > 0.06


@pytest.mark.parametrize("scope", ["run", "question"])
@given(seed=st.integers(0, 2**31), rate=st.sampled_from([0.05, 0.3, 0.5, 0.8]), digits=st.sampled_from([None, 0]))
def test_caps_hold_in_any_world(scope: str, seed: int, rate: float, digits: int | None) -> None:
    world = World(questions=6, samples=8, digits=digits)
    settings = replace(R1, rate=rate, scope=scope, samples=8, hard_budget=True)
    found = audit(simulate(world, made(settings), seed, in_flight=10), rate, 8)
    assert found.window_excess <= 8 + 1e-9
    assert found.rounds_over == 0
    assert round_limit(rate, 8) <= 8


def test_a_score_is_relieved_of_what_was_known_of_its_question_before_it() -> None:
    """Banked as it was ranked: a score that had told of its own question first would rank below itself."""
    calibrator = made(replace(R3, by_turn=False))
    calibrator.decide(Chunk("a", 0, 0), 1.0, 0.5)
    calibrator.decide(Chunk("b", 0, 0), 5.0, 0.5)  # 2 above the mean of the turn by then, so b's effect is 2 / (1 + 1)
    calibrator.decide(Chunk("b", 1, 0), 5.0, 0.5)
    assert sorted(calibrator.state()["banks"]["all"]) == [1.0, 4.0, 5.0]


def test_recorded_scores_are_relieved_in_the_same_order() -> None:
    calibrator = made(R3)
    calibrator.warm([CalibrationScore("a", 0, 1.0), CalibrationScore("b", 0, 5.0), CalibrationScore("b", 0, 5.0)])
    assert sorted(calibrator.state()["banks"]["all"]) == [1.0, 4.0, 5.0]


def test_the_start_of_a_run_is_a_group_of_its_own() -> None:
    calibrator = made(R1)
    assert calibrator.groups(Chunk("a", 0, 2), 255) == ("all", "turn:2", "start")
    assert calibrator.groups(Chunk("a", 0, 2), 256) == ("all", "turn:2")
    assert made(R3).groups(Chunk("a", 0, 2), 0) == ("all", "turn:2", "start", "question:a")


@pytest.mark.parametrize(("by_turn", "tracked"), [(None, False), (True, True), (False, False)])
def test_turns_have_a_rate_of_their_own_unless_they_are_ranked_together(by_turn: bool | None, tracked: bool) -> None:
    calibrator = made(replace(R1, by_turn=by_turn, gain=0.5))
    calibrator.decide(Chunk("a", 0, 3), 1.0, 0.1)
    found = calibrator.certificate()
    assert found["all"]["eta"] == 0.01 and found["start"]["eta"] == 0.025
    assert found["turn:3"].get("eta") == (0.025 if tracked else None)


def test_recorded_scores_are_what_a_first_chunk_is_ranked_among() -> None:
    calibrator = made(replace(R1, by_turn=False))
    calibrator.warm([CalibrationScore("x", 0, float(n)) for n in range(9)])
    assert calibrator.decide(Chunk("a", 0, 0), 7.5, 0.5).p_value == pytest.approx((1 + 0.5) / 10)
