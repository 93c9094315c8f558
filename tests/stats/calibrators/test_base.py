from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atts.errors import InputError
from atts.stats.audit import audit
from atts.stats.calibrators import (
    ACI,
    CALIBRATORS,
    CalibrationScore,
    RateCalibrator,
    Tracked,
    describe,
    make_calibrator,
    resolve_settings,
)
from atts.stats.control import round_limit
from atts.stats.settings import CalibratorSettings
from atts.stats.synthetic import World, simulate
from atts.types import Chunk, Decision

R1 = CalibratorSettings()
R3 = replace(R1, scope="question")
RECORDED = [CalibrationScore(str(i % 4), i % 3, i / 10) for i in range(60)]
ALL = [
    *(replace(R1, name=name) for name in CALIBRATORS),
    replace(R1, hard_budget=True),
    R3,
    replace(R3, strength=0.5, hard_budget=True),
    replace(R1, window=5),
    replace(R1, by_turn=False),
    replace(R1, name="static", scope="question"),
    replace(R1, name="static", compat="reference"),
    replace(R1, name="dtaci", hard_budget=True, window=3),
]
SCORES = st.one_of(st.none(), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0, 1.5]), st.floats(-9, 9))
STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 15), st.integers(0, 4), SCORES, st.floats(1e-9, 1 - 1e-9)),
    max_size=120,
)
Steps = list[tuple[str, int, int, float | None, float]]


def made(settings: CalibratorSettings) -> RateCalibrator:
    calibrator = make_calibrator(settings, RECORDED if settings.name == "static" else ())
    assert isinstance(calibrator, RateCalibrator)
    return calibrator


def decided(calibrator: RateCalibrator, steps: Steps) -> list[Decision]:
    return [calibrator.decide(Chunk(q, s, t, s == 15), score, u) for q, s, t, score, u in steps]


def members(decisions: list[Decision], group: str) -> list[Decision]:
    kind, _, name = group.partition(":")
    inside: dict[str, Callable[[Decision], bool]] = {
        "all": lambda d: True,
        "start": lambda d: d.index < Tracked.START,
        "turn": lambda d: str(d.chunk.turn) == name,
        "question": lambda d: d.chunk.problem == name,
    }
    return [decision for decision in decisions if inside[kind](decision)]


def residuals(calibrator: RateCalibrator, decisions: list[Decision]) -> list[float]:
    """|sum(rejected - rate) + theta / eta| of every tracked group, the sum taken from the decisions alone."""
    return [
        abs(math.fsum(d.rejected - calibrator.rate for d in members(decisions, group)) + entry["theta"] / entry["eta"])
        for group, entry in calibrator.certificate().items()
        if "theta" in entry
    ]


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
        assert decision.score == (score if known else None)
        assert (decision.p_value is None) == (not known and settings.name != "coin")
        if decision.p_value is not None:
            assert 0 <= decision.p_value <= 1
            assert decision.p_value > 0 or settings.compat == "reference"
        wanted = decision.threshold > 0 and (decision.p_value is None or decision.p_value <= decision.threshold)
        assert decision.rejected == (wanted and not decision.capped)
        assert settings.hard_budget or not decision.capped


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


@given(steps=STEPS, rate=st.floats(0.01, 0.99))
def test_a_single_integrator_keeps_the_bound_of_classical_aci(steps: Steps, rate: float) -> None:
    calibrator = made(replace(R1, name="aci", rate=rate))
    eta = ACI.STEPS["all"]
    for n, decision in enumerate(decisions := decided(calibrator, steps), start=1):
        bound = max(rate + eta * (1 - rate), 1 - rate + eta * rate) / (eta * n)
        assert abs(sum(d.rejected for d in decisions[:n]) / n - rate) <= bound + 1e-9, decision


@pytest.mark.parametrize("settings", ALL, ids=lambda s: f"{s.name}-{s.scope}-{s.hard_budget}-{s.compat}")
@settings(max_examples=25)
@given(steps=STEPS)
def test_rate_zero_takes_nothing_over_and_rate_one_everything(settings: CalibratorSettings, steps: Steps) -> None:
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


def test_a_first_score_is_decided_by_the_draw_alone() -> None:
    assert made(R1).decide(Chunk("a", 0, 0), 5.0, 0.39).rejected
    assert not made(R1).decide(Chunk("a", 0, 0), 5.0, 0.41).rejected


def test_the_coin_does_not_look_at_the_score() -> None:
    coin, other = made(replace(R1, name="coin")), made(replace(R1, name="coin"))
    for i in range(50):
        u = (i * 0.618034) % 1 or 0.5
        one = coin.decide(Chunk("a", i, 0), float(i), u)
        assert one.rejected == other.decide(Chunk("a", i, 0), -float(i), u).rejected == (u <= 0.4)


def test_the_coin_tosses_for_a_chunk_without_a_score_too() -> None:
    coin = made(replace(R1, name="coin"))
    decisions = [coin.decide(Chunk("a", i, 0), None if i % 2 else 1.0, (i * 0.618034) % 1 or 0.5) for i in range(2000)]
    assert sum(d.rejected for d in decisions) / 2000 == pytest.approx(0.4, abs=0.01)
    assert all(d.rejected == (d.p_value is not None and d.p_value <= d.threshold) for d in decisions)


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


def test_a_state_of_another_calibrator_is_refused() -> None:
    state = made(R1).state()
    for other in (replace(R1, name="online"), replace(R1, hard_budget=True)):
        with pytest.raises(InputError):
            made(other).restore(state)


def test_indices_go_on_after_a_gap() -> None:
    calibrator = made(R1)
    calibrator.replay(Decision(6, Chunk("a", 0, 0), 1.0, 0.5, 0.4, False))
    assert calibrator.decide(Chunk("a", 1, 0), 1.0, 0.5).index == 7


@pytest.mark.parametrize("name", CALIBRATORS)
def test_every_calibrator_says_what_it_is_and_what_it_promises(name: str) -> None:
    assert describe(name).endswith(".")
    text = " ".join((CALIBRATORS[name].__doc__ or "").split())
    assert all(f"{word}: " in text for word in ("Guarantee", "Needs", "Price"))


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
    one_loop = audit(simulate(World(), made(replace(R1, name="aci")), seed), 0.4, 16)
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


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"takeover_rate": 1.1}, "takeover_rate = 1.1 is outside"),
        ({"takeover_rate": math.nan}, "takeover_rate = nan is outside"),
        ({"budget": 17}, "budget = 17 is outside [0, 16]"),
        ({"budget": 4, "takeover_rate": 0.4}, "give one of them"),
        ({"alpha": -0.1}, "alpha"),
        ({"samples": 0}, "samples = 0"),
        ({"calibrator": "nope"}, "no calibrator 'nope'"),
        ({"calibrator": "coin", "scope": "question"}, "no question scope"),
        ({"compat": "reference"}, "belongs to calibrator static"),
        ({"calibrator": "static"}, "needs recorded scores"),
        ({"window": 0}, "window = 0"),
        ({"strength": 2.0}, "strength = 2"),
    ],
)
def test_contradictions_are_refused_in_one_line(given_: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as raised:
        resolve_settings(**given_)  # type: ignore[arg-type]
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given_", "rate"),
    [
        ({}, 0.4),
        ({"takeover_rate": 0.25}, 0.25),
        ({"budget": 4, "samples": 16}, 0.25),
        ({"budget": 16}, 1.0),
        ({"alpha": 0.7}, 0.3),
        ({"budget": 0}, 0.0),
    ],
)
def test_three_words_for_the_rate(given_: dict[str, float], rate: float) -> None:
    assert resolve_settings(**given_).rate == rate  # type: ignore[arg-type]
