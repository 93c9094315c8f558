from __future__ import annotations

import math
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.stats.control import (
    BURST,
    HEADROOM,
    ExpertMixture,
    GroupTrackers,
    HardBudget,
    QuestionEffects,
    Tally,
    max_turn_deviation,
    question_step,
    round_limit,
)
from atts.types import Chunk

RATES = st.floats(0, 1)


@given(RATES, st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=300))
def test_theta_is_what_the_recursion_would_have_accumulated(rate: float, steps: list[tuple[int, bool]]) -> None:
    trackers, tally = GroupTrackers(rate, {"all": 0.02, "turn": 0.05}), Tally()
    theta = dict.fromkeys(["all", "turn:0", "turn:1", "turn:2", "turn:3"], 0.0)
    for turn, rejected in steps:
        groups = ("all", f"turn:{turn}")
        assert trackers.threshold(groups, tally) == pytest.approx(rate + sum(theta[g] for g in groups), abs=1e-9)
        tally.add(groups, rejected)
        for group in groups:
            theta[group] += trackers.step(group) * (rate - rejected)
    for group, value in theta.items():
        assert trackers.theta(group, tally) == pytest.approx(value, abs=1e-9)


def test_a_group_that_is_not_tracked_does_not_move_the_threshold() -> None:
    trackers, tally = GroupTrackers(0.4, {"all": 0.02}), Tally()
    tally.add(("turn:1",), True)
    assert trackers.threshold(("turn:1",), tally) == 0.4


@given(
    rate=RATES,
    samples=st.integers(1, 20),
    wishes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans()), max_size=200),
)
def test_no_window_and_no_round_breaks_its_cap(rate: float, samples: int, wishes: list[tuple[int, int, bool]]) -> None:
    budget = HardBudget(rate, samples)
    taken = []
    rounds: dict[tuple[int, int], int] = {}
    for problem, turn, wish in wishes:
        chunk = Chunk(str(problem), 0, turn)
        rejected = wish and budget.allows(chunk)
        budget.count(chunk, rejected)
        taken.append(rejected)
        rounds[problem, turn] = rounds.get((problem, turn), 0) + rejected
    for start in range(len(taken)):
        total = 0
        for n, rejected in enumerate(taken[start:], start=1):
            total += rejected
            assert total <= 1.05 * rate * n + 8
    assert max(rounds.values(), default=0) <= round_limit(rate, samples)


def test_the_bucket_is_used_up_to_its_bound() -> None:
    budget = HardBudget(0.4, 100)
    taken = 0
    for sample in range(1000):
        chunk = Chunk(str(sample), 0, 0)
        rejected = budget.allows(chunk)
        budget.count(chunk, rejected)
        taken += rejected
    assert 0.42 * 1000 + 7 <= taken <= 0.42 * 1000 + 8


@pytest.mark.parametrize(
    ("rate", "samples", "limit"),
    [(0.4, 16, 8), (0.375, 16, 7), (0.0, 16, 0), (1.0, 16, 16), (0.1, 30, 4), (0.5, 1, 1), (0.01, 4, 2)],
)
def test_the_limit_of_a_round(rate: float, samples: int, limit: int) -> None:
    assert round_limit(rate, samples) == limit


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.floats(-5, 5)), max_size=60))
def test_question_effects_are_the_shrunk_mean_deviation(seen: list[tuple[str, int, float]]) -> None:
    effects = QuestionEffects(0.5)
    deviations: dict[str, list[float]] = {"a": [], "b": []}
    by_turn: dict[int, list[float]] = {}
    for problem, turn, score in seen:
        effects.add(Chunk(problem, 0, turn), score)
        by_turn.setdefault(turn, []).append(score)
        deviations[problem].append(score - sum(by_turn[turn]) / len(by_turn[turn]))
    for problem, past in deviations.items():
        expected = 0.5 * sum(past) / (len(past) + 1)
        assert effects.shift(Chunk(problem, 1, 0)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("strength", "step"), [(1.0, 0.03), (0.5, 0.01), (0.0, 0.0)])
def test_the_question_step_meets_the_measured_pairs(strength: float, step: float) -> None:
    assert question_step(strength) == pytest.approx(step)


def test_the_mixture_finds_the_quantile_of_its_p_values() -> None:
    """p-values on [0, 0.5] instead of [0, 1]: a rate of 0.4 needs a threshold near 0.2."""
    mixture = ExpertMixture(0.4)
    rejected = 0
    for i in range(3000):
        p_value = (i * 0.6180339887) % 1 / 2
        rejected += p_value <= mixture.threshold()
        mixture.update(p_value)
    assert mixture.threshold() == pytest.approx(0.2, abs=0.04)
    assert rejected / 3000 == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_mixture_has_nothing_to_learn_at_the_ends(rate: float) -> None:
    mixture = ExpertMixture(rate)
    for p_value in (0.3, 0.9, 0.5):
        mixture.update(p_value)
        assert math.isfinite(mixture.threshold())


@given(st.lists(st.floats(0, 1), max_size=50))
def test_the_weights_of_the_experts_stay_a_distribution(p_values: list[float]) -> None:
    mixture = ExpertMixture(0.3)
    for p_value in p_values:
        mixture.update(p_value)
    weights = mixture.state()["weights"]
    assert sum(weights) == pytest.approx(1)
    assert min(weights) > 0


def test_the_largest_deviation_is_sought_among_turns_with_enough_decisions() -> None:
    entries = {
        "all": {"n": 900.0, "deviation": 0.9},
        "turn:0": {"n": 500.0, "deviation": -0.02},
        "turn:1": {"n": 100.0, "deviation": 0.01},
        "turn:2": {"n": 99.0, "deviation": 0.5},
    }
    assert max_turn_deviation(entries) == 0.02
    assert max_turn_deviation({"turn:0": {"n": 4.0, "deviation": 0.1}, "turn:1": {"n": 2.0, "deviation": 0.5}}) == 0.1
    assert max_turn_deviation({}) is None


def test_a_full_bucket_holds_no_more_however_long_the_stream_was_quiet() -> None:
    """Quiet for 10,000 decisions and then greedy for 600: as many takeovers as a new bucket gives."""
    budget = HardBudget(0.3, 1000)
    taken = []
    for number in range(10_600):
        chunk = Chunk(str(number), 0, 0)
        rejected = number >= 10_000 and budget.allows(chunk)
        budget.count(chunk, rejected)
        taken.append(rejected)
    bound = floor(0.3 * HEADROOM * 600) + BURST
    assert bound == 197 and bound - 1 <= sum(taken) <= bound
    assert taken[10_000 : 10_000 + BURST] == [True] * BURST


def test_a_bucket_that_is_empty_refuses_and_refills() -> None:
    budget = HardBudget(0.5, 1000, headroom=1.0, burst=2)
    outcomes = []
    for number in range(12):
        chunk = Chunk(str(number), 0, 0)
        outcomes.append(budget.allows(chunk))
        budget.count(chunk, outcomes[-1])
    # Two and a half are there for the first, one and a half less a decision; then every other one.
    assert outcomes == [True, True, True, False, True, False, True, False, True, False, True, False]


def test_a_round_is_a_question_at_a_turn() -> None:
    budget = HardBudget(0.5, 2, burst=100)  # two a round
    for chunk in (Chunk("q", 0, 0), Chunk("q", 1, 0)):
        assert budget.allows(chunk)
        budget.count(chunk, True)
    assert not budget.allows(Chunk("q", 2, 0))
    assert budget.allows(Chunk("q", 2, 1)) and budget.allows(Chunk("other", 2, 0))
    budget.count(Chunk("q", 2, 0), False)  # what is left to the draft counts for no round
    assert budget.state()["rounds"] == [["q", [[0, 2]]]]
    budget.forget("q")  # its memory goes with the question
    assert budget.state()["rounds"] == [] and budget.allows(Chunk("q", 2, 0))


def test_one_step_of_the_mixture_by_hand() -> None:
    """Algorithm 2 of Gibbs & Candès (2024): weights by the pinball loss, a share for all, then each expert's step."""
    rate, p_value = 0.4, 0.1
    mixture = ExpertMixture(rate)
    mixture.restore({"thresholds": [0.05 * n for n in range(8)], "weights": [0.125] * 8})
    eta = math.sqrt(3 / 500 * (math.log(8 * 500) + 2) / ((1 - rate) ** 2 * rate**3 + rate**2 * (1 - rate) ** 3))
    thresholds = [0.05 * n for n in range(8)]
    losses = [rate * (p_value - t) if p_value >= t else (rate - 1) * (p_value - t) for t in thresholds]
    weights = [0.125 * math.exp(-eta * loss) for loss in losses]
    mixture.update(p_value)
    found = mixture.state()
    assert found["weights"] == pytest.approx([(1 - 1 / 1000) * w / sum(weights) + 1 / 8000 for w in weights])
    steps = [g * (rate - (p_value <= t)) for g, t in zip(ExpertMixture.GAMMAS, thresholds, strict=True)]
    assert found["thresholds"] == pytest.approx([t + step for t, step in zip(thresholds, steps, strict=True)])
    assert mixture.threshold() == pytest.approx(
        sum(w * t for w, t in zip(found["weights"], found["thresholds"], strict=True))
    )


def test_the_excess_and_the_certificate_of_a_tally_by_hand() -> None:
    tally = Tally()
    for rejected in (True, True, False, False, False):
        tally.add(("all",), rejected)
    assert tally.excess("all", 0.3) == pytest.approx(2 - 0.3 * 5)
    assert tally.excess("turn:9", 0.3) == 0.0
    assert tally.certificate(0.3)["all"] == {"n": 5, "taken_over": 2, "deviation": pytest.approx((2 - 1.5) / 5)}


def test_the_bound_of_a_tracked_group_by_hand() -> None:
    """docs/guarantees.md: a constant for one group alone, else sqrt(c T / eta)."""
    assert GroupTrackers(0.3, {"all": 0.05}).most(0.05, 1e9) == pytest.approx((0.7 + 0.05 * 0.3) / 0.05)
    assert GroupTrackers(0.8, {"all": 0.05}).most(0.05, 1e9) == pytest.approx((0.8 + 0.05 * 0.2) / 0.05)
    two = GroupTrackers(0.3, {"all": 0.02, "turn": 0.05})
    assert two.most(0.05, 100) == pytest.approx(math.sqrt((2 * 0.3 * 0.7 + 0.07 * 0.7**2) * 100 / 0.05))
    high = GroupTrackers(0.8, {"all": 0.02, "turn": 0.05})
    assert high.most(0.02, 50) == pytest.approx(math.sqrt((2 * 0.8 * 0.2 + 0.07 * 0.8**2) * 50 / 0.02))


@pytest.mark.parametrize("steps", [{"all": 0.05}, {"all": 0.02, "turn": 0.05}])
def test_no_group_is_ever_off_by_more_than_its_bound(steps: dict[str, float]) -> None:
    trackers, tally = GroupTrackers(0.3, steps), Tally()
    for number in range(3000):
        groups = ("all", f"turn:{number % 7}")
        p_value = 0.999 if number < 1500 else 0.001  # as unlike as can be, then the reverse
        tally.add(groups, p_value <= trackers.threshold(groups, tally))
        for group in groups:
            if step := trackers.step(group):
                assert abs(tally.excess(group, 0.3)) <= trackers.most(step, number + 1) + 1e-9


def test_closed_groups_are_told_apart_up_to_a_number_and_then_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "KEPT", 2)
    tally = Tally()
    for name in "abcd":
        tally.add((name,), True)
        tally.add((name,), name == "a")
    for name in ("a", "b", "c", "never"):
        tally.close(name)
    assert tally.state() == {"b": [2, 1], "c": [2, 1], "d": [2, 1], "closed": [2, 2]}
    tally.close("d")
    assert tally.state() == {"c": [2, 1], "d": [2, 1], "closed": [4, 3]}
