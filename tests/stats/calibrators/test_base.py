from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atts.errors import InputError
from atts.stats.conformal import kept
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk, Decision
from tests.stats.calibrators.streams import ALL, R1, R3, STEPS, Steps, decided, made


@pytest.mark.parametrize("settings", ALL, ids=lambda s: f"{s.name}-{s.scope}-{s.hard_budget}-{s.compat}")
@settings(max_examples=25)
@given(steps=STEPS, cut=st.integers(0, 120))
def test_state_and_replay_go_on_identically(settings: CalibratorSettings, steps: Steps, cut: int) -> None:
    whole = made(settings)
    first = decided(whole, steps[:cut])
    saved = json.loads(json.dumps(whole.state()))
    rest = decided(whole, steps[cut:])

    restored, replayed = made(settings), made(settings)
    restored.restore(saved)
    for decision in first:
        replayed.replay(decision)
    assert restored.state() == replayed.state() == saved
    assert decided(restored, steps[cut:]) == decided(replayed, steps[cut:]) == rest
    assert restored.state() == replayed.state() == whole.state()


@pytest.mark.parametrize("settings", ALL, ids=lambda s: f"{s.name}-{s.scope}-{s.hard_budget}-{s.compat}")
@settings(max_examples=25)
@given(steps=STEPS)
def test_what_every_decision_says(settings: CalibratorSettings, steps: Steps) -> None:
    calibrator = made(settings)
    for index, (decision, step) in enumerate(zip(decided(calibrator, steps), steps, strict=True)):
        score = step[3]
        known = score is not None and math.isfinite(score)
        assert decision.index == index
        assert decision.score == (kept(score) if score is not None and known else None)
        assert (decision.p_value is None) == (not known and settings.name != "coin")
        if decision.p_value is not None:
            assert 0 <= decision.p_value <= 1
            assert decision.p_value > 0 or settings.compat == "reference"
        wanted = decision.threshold > 0 and (decision.p_value is None or decision.p_value <= decision.threshold)
        assert decision.rejected == (wanted and not decision.capped)
        assert settings.hard_budget or not decision.capped


@pytest.mark.parametrize("settings", ALL, ids=lambda s: f"{s.name}-{s.scope}-{s.hard_budget}-{s.compat}")
@settings(max_examples=25)
@given(steps=STEPS)
def test_rate_zero_takes_nothing_over_and_rate_one_everything(settings: CalibratorSettings, steps: Steps) -> None:
    if settings.name == "fixed":
        return  # it promises no rate
    assert not any(d.rejected for d in decided(made(replace(settings, rate=0.0)), steps))
    everything = made(replace(settings, rate=1.0, hard_budget=False))
    assert all(d.rejected for d in decided(everything, steps))


def test_chunks_without_a_score_are_taken_over_while_the_budget_allows() -> None:
    calibrator = made(R1)
    decisions = [calibrator.decide(Chunk(str(i), 0, 0), None, 0.5) for i in range(1000)]
    assert decisions[0].rejected
    assert sum(d.rejected for d in decisions) / 1000 == pytest.approx(0.4, abs=0.02)
    assert calibrator.state()["banks"] == {"all": [], "banks": {}}
    fixed = made(replace(R1, name="static"))
    assert all(fixed.decide(Chunk(str(i), 0, 0), math.nan, 0.5).rejected for i in range(50))
    capped = made(replace(R1, name="static", hard_budget=True))
    outcomes = [capped.decide(Chunk(str(i), 0, 0), math.nan, 0.5) for i in range(50)]
    assert any(d.capped for d in outcomes)


@pytest.mark.parametrize("settings", [R1, R3, replace(R1, name="aci"), replace(R1, name="online")])
def test_equal_scores_are_broken_by_the_draw(settings: CalibratorSettings) -> None:
    calibrator = made(settings)
    decisions = [calibrator.decide(Chunk(str(i % 7), i % 16, i % 3), 1.0, (i * 0.618034) % 1) for i in range(1, 1500)]
    assert sum(d.rejected for d in decisions) / 1499 == pytest.approx(0.4, abs=0.02)


def test_a_state_of_another_calibrator_is_refused() -> None:
    state = made(R1).state()
    for other in (replace(R1, name="online"), replace(R1, hard_budget=True)):
        with pytest.raises(InputError):
            made(other).restore(state)


def test_indices_go_on_after_a_gap() -> None:
    calibrator = made(R1)
    calibrator.replay(Decision(6, Chunk("a", 0, 0), 1.0, 0.5, 0.4, False))
    assert calibrator.decide(Chunk("a", 1, 0), 1.0, 0.5).index == 7
