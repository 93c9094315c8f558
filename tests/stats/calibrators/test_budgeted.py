"""The bounds of `budgeted` against adversaries, what its horizon is, and its ranks over all turns."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.stats.calibrators import CalibrationScore
from atts.stats.calibrators.budgeted import Budgeted
from atts.stats.settings import CalibratorSettings
from atts.stats.synthetic import World, simulate
from atts.types import Chunk, Decision

B = CalibratorSettings("budgeted", 0.2)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["decide", "decide", "decide", "decide", "end", "plan"]),
        st.integers(0, 11),  # a chain
        st.integers(0, 40),  # a turn, or chains that are planned
        st.one_of(st.none(), st.sampled_from([0.0, 1.0]), st.floats(-9, 9)),
        st.floats(1e-9, 1 - 1e-9),
    ),
    max_size=200,
)


def bounds_hold(calibrator: Budgeted, k: int, t: int, decision: Decision) -> None:
    """-(1 - rate) E - rate <= S <= rate E + 1 - rate, recounted from the decisions alone."""
    rate, e = calibrator.rate, decision.horizon
    assert e is not None and e >= Budgeted.FLOOR
    assert -(1 - rate) * e - rate - 1e-9 <= k - rate * t <= rate * e + 1 - rate + 1e-9


@given(events=EVENTS, rate=st.floats(0, 1), gain=st.floats(0.01, 10), chains=st.integers(0, 3000))
def test_the_bounds_hold_on_any_stream_with_any_horizon(
    events: list[tuple[str, int, int, float | None, float]], rate: float, gain: float, chains: int
) -> None:
    """Scores, lengths, chains that end twice or never began, plans that change: nothing is taken for granted."""
    calibrator = Budgeted(replace(B, rate=rate, gain=gain))
    calibrator.plan(chains)
    k = t = 0
    before = 0.0
    for what, chain, number, score, u in events:
        if what == "plan":
            calibrator.plan(number)
        elif what == "end":
            calibrator.ended(str(chain), 0)
        else:
            decision = calibrator.decide(Chunk(str(chain), 0, number), score, u)
            k, t = k + decision.rejected, t + 1
            assert decision.horizon is not None and decision.horizon >= before - 1
            before = decision.horizon
            bounds_hold(calibrator, k, t, decision)
    if t:
        entry = calibrator.certificate()["all"]
        assert -entry["most_below"] - 1e-9 <= entry["deviation"] <= entry["most_above"] + 1e-9


Adversary = Callable[[int, float, int], float]
ADVERSARIES: dict[str, Adversary] = {
    "strange while it is stingy": lambda step, threshold, total: float(step if threshold < 0.2 else -step),
    "strange while it is generous": lambda step, threshold, total: float(step if threshold >= 0.2 else -step),
    "always stranger": lambda step, threshold, total: float(step),
    "never strange": lambda step, threshold, total: -float(step),
    "strange to the end": lambda step, threshold, total: float(step if step > total * 0.7 else -step),
    "strange at first": lambda step, threshold, total: float(step if step < total * 0.3 else -step),
}


@pytest.mark.parametrize("adversary", ADVERSARIES.values(), ids=ADVERSARIES.keys())
@pytest.mark.parametrize("lengths", ["equal", "wild", "growing"])
@pytest.mark.parametrize("announced", [0.2, 1.0, 4.0])
def test_the_bounds_hold_against_adversaries(adversary: Adversary, lengths: str, announced: float) -> None:
    rng = random.Random(f"{lengths} {announced}")
    chains = 250
    calibrator = Budgeted(B)
    calibrator.plan(int(chains * announced))
    threshold, k, t = 0.2, 0, 0
    for chain in range(chains):
        length = {"equal": 4, "wild": rng.choice([1, 1, 1, 30]), "growing": 1 + chain // 30}[lengths]
        if rng.random() < 0.1:
            calibrator.ended(str(chain), 0)  # cancelled before its first decision
            continue
        for turn in range(length):
            score = adversary(t, threshold, chains * 4)
            decision = calibrator.decide(Chunk(str(chain), 0, turn), score, 0.5)
            k, t, threshold = k + decision.rejected, t + 1, decision.threshold
            bounds_hold(calibrator, k, t, decision)
        calibrator.ended(str(chain), 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "world", [World(), World(drift=(1, 0, -1)), World(shift_at=30, shift=3.0), World(shift_at=20, shift=-3.0)]
)
def test_a_run_whose_end_is_known_ends_at_its_rate(world: World, seed: int) -> None:
    calibrator = Budgeted(B)
    decisions = simulate(world, calibrator, seed)
    assert len(decisions) > 3000
    assert sum(d.rejected for d in decisions) / len(decisions) == pytest.approx(0.2, abs=0.01)


@given(rate=st.sampled_from([0.0, 1.0]), events=EVENTS)
def test_rates_zero_and_one_are_exact(rate: float, events: list[tuple[str, int, int, float | None, float]]) -> None:
    calibrator = Budgeted(replace(B, rate=rate))
    calibrator.plan(50)
    for what, chain, turn, score, u in events:
        if what == "end":
            calibrator.ended(str(chain), 0)
        else:
            assert calibrator.decide(Chunk(str(chain), 0, turn), score, u).rejected == bool(rate)


def test_the_horizon_is_three_quarters_of_what_is_left_of_the_run() -> None:
    calibrator = Budgeted(B)
    calibrator.plan(40)
    horizons = []
    for chain in range(40):
        for turn in range(5):
            horizons.append(calibrator.decide(Chunk(str(chain), 0, turn), float(turn), 0.5).horizon)
        calibrator.ended(str(chain), 0)
    left = [0.75 * (200 - t) for t in range(200)]
    # As soon as chains have ended, it is known to a decision; at the end it stays at the floor.
    assert all(abs((e or 0) - r) <= 1 for e, r in zip(horizons[5:-14], left[5:-14], strict=True))
    assert horizons[-1] == Budgeted.FLOOR


def test_the_horizon_is_capped_and_falls_by_one_at_most() -> None:
    calibrator = Budgeted(B)
    calibrator.plan(10_000)
    first = calibrator.decide(Chunk("a", 0, 0), 1.0, 0.5)
    assert first.horizon == 300
    calibrator.plan(1)
    calibrator.ended("a", 0)
    assert calibrator.decide(Chunk("b", 0, 0), 1.0, 0.5).horizon == 299


def test_a_resumed_calibrator_decides_with_the_horizons_of_the_journal() -> None:
    """Replayed without knowing when chains had ended, it goes on as if it had never stopped."""

    def stream(calibrator: Budgeted, chains: range) -> list[Decision]:
        rng = random.Random(chains.start)
        found = []
        for chain in chains:
            for turn in range(rng.randrange(1, 9)):
                chunk = Chunk(str(chain), 0, turn)
                found.append(calibrator.decide(chunk, rng.gauss(0, 1), rng.random()))
            calibrator.ended(str(chain), 0)
        return found

    whole, resumed = Budgeted(B), Budgeted(B)
    whole.plan(60)
    first = stream(whole, range(30))
    resumed.plan(60)
    for decision in first:
        resumed.replay(decision)
    for chain in reversed(range(30)):
        resumed.ended(str(chain), 0)
    assert json.loads(json.dumps(resumed.state())) == json.loads(json.dumps(whole.state()))
    assert stream(resumed, range(30, 60)) == stream(whole, range(30, 60))


def test_decisions_that_were_lost_widen_the_bounds() -> None:
    calibrator = Budgeted(B)
    calibrator.replay(Decision(0, Chunk("a", 0, 0), 1.0, 0.5, 0.2, False, False, 20.0))
    narrow = calibrator.certificate()["all"]["most_above"]
    calibrator.replay(Decision(3, Chunk("a", 0, 1), 1.0, 0.5, 0.2, False, False, 20.0))
    assert calibrator.certificate()["all"]["most_above"] == pytest.approx(narrow / 2 + 2 * 0.8 / 2)


def test_a_hard_budget_has_no_lower_bound() -> None:
    calibrator = Budgeted(replace(B, hard_budget=True))
    calibrator.decide(Chunk("a", 0, 0), 1.0, 0.1)
    assert "most_below" not in calibrator.certificate()["all"]


def test_early_on_the_first_turns_do_not_stand_for_all() -> None:
    """Ten chains have made their first turn and one its second: both turns weigh by how many chains reach them."""
    calibrator = Budgeted(B)
    for chain in range(10):
        calibrator.decide(Chunk(str(chain), 0, 0), 0.0, 0.5)
    calibrator.decide(Chunk("0", 0, 1), 5.0, 0.5)
    # A score between the turns: half of the run's chunks are above it, though only one of eleven was so far.
    assert calibrator.p_value(Chunk("1", 0, 1), 3.0, 0.5) == pytest.approx((1 / 2 + 0.5 / 2) / 2)
    assert calibrator.p_value(Chunk("1", 0, 0), 3.0, 0.5) == pytest.approx((1 + 0.5 / 11) / 2)


def test_recorded_scores_say_how_many_chains_reach_a_turn() -> None:
    calibrator = Budgeted(B)
    calibrator.warm([CalibrationScore("c", 0, float(i)) for i in range(100)])
    calibrator.warm([CalibrationScore("c", 1, 100.0) for _ in range(20)])
    assert calibrator.p_value(Chunk("a", 0, 0), 99.5, 0.5) == pytest.approx((0.2 + 0.5 / 101) / 1.2)
