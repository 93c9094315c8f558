from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.stats.audit import audit, averaged, coin_floor, noise_floor
from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.stats.synthetic import World, simulate
from atts.types import Chunk, Decision


def decision(index: int, problem: str, sample: int, turn: int, score: float | None, rejected: bool) -> Decision:
    return Decision(index, Chunk(problem, sample, turn), score, None, 0.4, rejected)


def one_round(rejected: list[bool]) -> list[Decision]:
    return [decision(i, "q", i, 0, float(i), taken) for i, taken in enumerate(rejected)]


def test_a_perfect_choice_has_selectivity_one_half() -> None:
    found = audit(one_round([False] * 6 + [True] * 4), 0.4, 10)
    assert found.selectivity == pytest.approx(0.5)
    assert found.question_selectivity == pytest.approx(0.5)
    assert found.rate == 0.4
    assert found.worst_turn == pytest.approx(0)


def test_rounds_are_full_when_every_sample_was_decided() -> None:
    full = one_round([True] * 6 + [False] * 4)
    part = [decision(10 + i, "r", i, 0, 1.0, True) for i in range(7)]
    found = audit(full + part, 0.4, 10)
    assert found.overflow == 1.0  # K is 5, the only full round has 6
    assert found.rounds_over == 2


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_the_window_excess_is_that_of_every_window(taken: list[bool], rate: float) -> None:
    found = audit(one_round(taken), rate, 100)
    every = [sum(taken[i:j]) - 1.05 * rate * (j - i) for i in range(len(taken)) for j in range(i, len(taken) + 1)]
    assert found.window_excess == pytest.approx(max(every), abs=1e-9)


def test_turns_with_few_decisions_are_listed_but_not_judged() -> None:
    many = [decision(i, "q", i, 0, None, i % 5 < 2) for i in range(100)]
    few = [decision(100 + i, "q", i, 1, None, True) for i in range(99)]
    found = audit([*many, *few], 0.4, 100)
    assert [(turn.turn, turn.n) for turn in found.by_turn] == [(0, 100), (1, 99)]
    assert found.worst_turn == pytest.approx(0)
    assert math.isnan(found.selectivity)
    assert found.plain()["selectivity"] is None


def test_the_interval_grows_with_the_likeness_of_a_questions_samples() -> None:
    """The same rate from 1,000 decisions: of 1,000 questions, or of 10 questions that are all or nothing."""
    alike = [decision(i, str(i // 100), i % 100, 0, None, i // 100 % 2 == 0) for i in range(1000)]
    apart = [decision(i, str(i), 0, 0, None, i % 2 == 0) for i in range(1000)]
    width = [found.high - found.low for found in (audit(alike, 0.5, 100), audit(apart, 0.5, 1))]
    assert width[0] > 5 * width[1]


def test_there_is_nothing_to_say_of_nothing() -> None:
    with pytest.raises(ValueError, match="no decisions"):
        audit([], 0.4, 16)
    assert math.isnan(coin_floor(0, 0.4))


def test_the_noise_of_a_coin_is_what_coins_show() -> None:
    world = World(questions=30, samples=8, turns=1)
    rates = [
        audit(simulate(world, make_calibrator(CalibratorSettings("coin", rate=0.4, samples=8)), seed), 0.4, 8).rate
        for seed in range(200)
    ]
    spread = math.sqrt(sum((rate - 0.4) ** 2 for rate in rates) / len(rates))
    assert spread == pytest.approx(coin_floor(240, 0.4), rel=0.15)


def test_the_noise_floor_is_what_coins_show_in_every_figure() -> None:
    world = World(questions=30, samples=8, turns=3)
    found = [
        audit(simulate(world, make_calibrator(CalibratorSettings("coin", rate=0.4, samples=8)), seed), 0.4, 8)
        for seed in range(100)
    ]
    floor = noise_floor(found[0], 8)
    for name in ("worst_turn", "turn_rms", "question_rms", "window_rms"):
        shown = [getattr(one, name) for one in found]
        assert math.sqrt(sum(value**2 for value in shown) / 100) == pytest.approx(floor[name], rel=0.25), name
    for name in ("overflow", "selectivity", "question_selectivity"):
        assert sum(getattr(one, name) for one in found) / 100 == pytest.approx(floor[name], abs=0.02), name


@pytest.mark.parametrize("rate", [0.0, 1.0, 0.3])
def test_the_noise_floor_of_any_rate_and_many_samples(rate: float) -> None:
    floor = noise_floor(audit(one_round([True, False]), rate, 5000), 5000)
    assert all(math.isfinite(value) for value in floor.values())
    assert rate == 0.3 or not any(floor.values())


def test_rates_by_question_and_by_window() -> None:
    taken = [index % 5 < 2 for index in range(450)]
    found = audit([decision(i, "ab"[i % 2], i, 0, None, took) for i, took in enumerate(taken)], 0.4, 450)
    assert [(one.question, one.n) for one in found.by_question] == [("a", 225), ("b", 225)]
    assert found.by_question[0].rate == pytest.approx(sum(taken[::2]) / 225)
    assert [(one.first, one.n, one.rate) for one in found.by_window] == [(0, 200, 0.4), (200, 200, 0.4), (400, 50, 0.4)]
    assert found.window_low == pytest.approx(found.window_high) == pytest.approx(0.4)


def test_an_average_is_one_of_means_and_worsts() -> None:
    first = audit(one_round([True, False]), 0.4, 2)
    second = replace(first, rate=0.7, window_excess=9.0, rounds_over=3, start_64=-first.start_64)
    mean = averaged([first, second])
    assert mean.rate == pytest.approx(0.6)
    assert (mean.window_excess, mean.rounds_over) == (9.0, 3)
    assert mean.start_64 == pytest.approx(abs(first.start_64))


def test_figures_of_a_small_audit_by_hand() -> None:
    """Two questions, two turns, ten decisions: every figure as its definition says."""
    taken = [True, False, True, False, False, True, True, True, False, False]
    places = [("q", 0, 0), ("q", 1, 0), ("q", 2, 0), ("r", 0, 0), ("r", 1, 0), ("r", 2, 0)]
    places += [("q", 0, 1), ("q", 1, 1), ("r", 0, 1), ("r", 1, 1)]
    scores = [3.0, 1.0, 2.0, 1.0, None, 5.0, 2.0, 2.0, 1.0, float("inf")]
    found = audit(
        [decision(i, *at, score, took) for i, (at, score, took) in enumerate(zip(places, scores, taken, strict=True))],
        0.4,
        3,
        slack=0,
    )
    assert (found.n, found.rate) == (10, 0.5)
    assert [(turn.turn, turn.n, turn.rate) for turn in found.by_turn] == [(0, 6, 0.5), (1, 4, 0.5)]
    assert found.worst_turn == found.turn_rms == pytest.approx(0.1)
    assert (found.question_low, found.question_high) == (0.2, 0.8)
    assert found.question_rms == pytest.approx(math.sqrt((0.4**2 + 0.2**2) / 2))
    assert (found.window_low, found.window_high, found.window_rms) == (0.5, 0.5, pytest.approx(0.1))
    assert (found.rounds_over, found.overflow) == (0, 0.0)  # K is 2: two of three are within it
    # Middles of ranks within the turn: of 1, 1, 2, 3, 5 and of 1, 2, 2; what has no finite score has none.
    turn_0 = {3.0: 0.7, 1.0: 0.2, 2.0: 0.5, 5.0: 0.9}
    turn_1 = {2.0: 4 / 6, 1.0: 1 / 6}
    over = [turn_0[3.0], turn_0[2.0], turn_0[5.0], turn_1[2.0], turn_1[2.0]]
    left = [turn_0[1.0], turn_0[1.0], turn_1[1.0]]
    assert found.selectivity == pytest.approx(sum(over) / 5 - sum(left) / 3)
    assert found.start_64 == found.start_256 == pytest.approx(0.1)


def test_a_start_is_of_its_first_decisions() -> None:
    found = audit(one_round([True] * 64 + [False] * 192 + [True] * 44), 0.2, 300)
    assert (found.start_64, found.start_256) == (pytest.approx(0.8), pytest.approx(0.05))


def test_the_root_mean_square_of_turns_weighs_their_decisions() -> None:
    many = [decision(i, "q", i, 0, None, i % 2 == 0) for i in range(300)]
    few = [decision(300 + i, "q", i, 1, None, True) for i in range(100)]
    found = audit([*many, *few], 0.5, 400)
    assert found.turn_rms == pytest.approx(math.sqrt((300 * 0.0 + 100 * 0.25) / 400))
    assert found.worst_turn == pytest.approx(0.5)


def test_the_noise_floor_by_hand() -> None:
    """One turn of two decisions: the mean of |N(0, s)| is s sqrt(2 / pi); the tail beyond K is the binomial one."""
    floor = noise_floor(audit(one_round([True, False]), 0.3, 5), 5)
    spread = math.sqrt(0.3 * 0.7 / 2)
    for name in ("rate", "turn_rms", "question_rms", "window_rms"):
        assert floor[name] == pytest.approx(spread), name
    assert floor["worst_turn"] == pytest.approx(spread * math.sqrt(2 / math.pi), rel=0.01)
    assert floor["overflow"] == pytest.approx(5 * 0.3**4 * 0.7 + 0.3**5)  # K is 3
