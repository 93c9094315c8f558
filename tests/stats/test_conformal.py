from __future__ import annotations

import itertools
import json
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.stats.conformal import (
    KEPT,
    MondrianBanks,
    ScoreBank,
    TurnBanks,
    kept,
    reference_p_value,
    smoothed_p_value,
    usable,
)
from atts.types import Chunk

COARSE = st.integers(-4, 4).map(float)  # many ties
SCORES = st.one_of(COARSE, st.floats(-1e6, 1e6))
U = st.floats(2**-54, 1, exclude_max=True)  # what seeds.uniform can give


def scan(scores: list[float], score: float) -> tuple[int, int]:
    return sum(s > score for s in scores), sum(s == score for s in scores)


@given(st.lists(SCORES), st.lists(SCORES), SCORES)
def test_counts_are_those_of_a_scan(first: list[float], later: list[float], score: float) -> None:
    bank = ScoreBank(first)
    for value in later:
        bank.add(value)
    assert bank.counts(score) == scan(first + later, score)
    assert len(bank) == len(first) + len(later)


@pytest.mark.parametrize("window", [None, 1, 7, 150])
def test_counts_stay_right_through_rebuilds_and_a_sliding_window(window: int | None) -> None:
    rng = random.Random(0)
    seen: list[float] = []
    bank = ScoreBank(window=window)
    for step in range(3000):
        score = round(rng.gauss(0, 1), 1)
        kept = seen if window is None else seen[-window:]
        if step % 5 == 0:
            assert bank.counts(score) == scan(kept, score)
            assert len(bank) == len(kept)
        bank.add(score)
        seen.append(score)
    kept = seen if window is None else seen[-window:]
    assert Counter(bank.values()) == Counter(kept)


@given(st.lists(COARSE, min_size=1), st.lists(COARSE), st.integers(1, 9), COARSE)
def test_a_bank_made_from_saved_values_goes_on_alike(
    first: list[float], later: list[float], window: int, score: float
) -> None:
    bank = ScoreBank(first, window)
    again = ScoreBank(bank.values(), window)
    for value in later:
        bank.add(value)
        again.add(value)
        assert bank.counts(score) == again.counts(score)


@given(st.lists(SCORES), SCORES, U)
def test_p_values_lie_in_the_half_open_unit_interval(scores: list[float], score: float, u: float) -> None:
    assert 0 < smoothed_p_value(ScoreBank(scores), score, u) <= 1


@given(st.lists(SCORES), SCORES, SCORES, U)
def test_a_stranger_score_has_no_larger_p_value(scores: list[float], a: float, b: float, u: float) -> None:
    bank = ScoreBank(scores)
    low, high = sorted((a, b))
    assert smoothed_p_value(bank, high, u) <= smoothed_p_value(bank, low, u)
    assert reference_p_value(bank, high) <= reference_p_value(bank, low)


@given(st.lists(SCORES).flatmap(lambda scores: st.tuples(st.just(scores), st.permutations(scores))), SCORES, U)
def test_the_order_of_the_bank_does_not_matter(pair: tuple[list[float], list[float]], score: float, u: float) -> None:
    scores, permuted = pair
    bank, other = ScoreBank(), ScoreBank()
    for one, two in zip(scores, permuted, strict=True):
        bank.add(one)
        other.add(two)
    assert smoothed_p_value(bank, score, u) == smoothed_p_value(other, score, u)


@given(st.lists(COARSE, max_size=12), COARSE)
def test_smoothed_p_values_are_exactly_uniform_with_ties(scores: list[float], last: float) -> None:
    """Averaged over which of the n + 1 values came last, P(p <= t) = t: checked as intervals that tile (0, 1]."""
    values = [*scores, last]
    tiles = []
    for place, score in enumerate(values):
        bank = ScoreBank(values[:place] + values[place + 1 :])
        low, high = smoothed_p_value(bank, score, 0.0), smoothed_p_value(bank, score, 1.0)
        tiles.append((low, high))
    # A tie group of k values covers its interval k times, each with density 1/k of a uniform on k/(n+1).
    edges = sorted({edge for tile in tiles for edge in tile})
    assert edges[0] == 0
    assert edges[-1] == 1
    for low, high in itertools.pairwise(edges):
        share = sum((high - low) / (b - a) for a, b in tiles if a <= low and high <= b) / len(values)
        assert share == pytest.approx(high - low)


def test_the_reference_rule_is_unsafe_in_small_banks_and_the_smoothed_one_is_not() -> None:
    rng = np.random.default_rng(0)
    trials, rate = 20_000, 0.4
    draws = rng.normal(size=(trials, 17))
    reference = smoothed = 0
    for row, u in zip(draws.tolist(), rng.uniform(size=trials).tolist(), strict=True):
        bank = ScoreBank(row[:16])
        reference += reference_p_value(bank, row[16]) <= rate
        smoothed += smoothed_p_value(bank, row[16], u) <= rate
    assert reference / trials == pytest.approx(7 / 17, abs=0.012)
    assert smoothed / trials == pytest.approx(rate, abs=0.012)


def test_an_empty_bank_says_nothing() -> None:
    assert smoothed_p_value(ScoreBank(), 3.0, 0.25) == 0.25
    assert reference_p_value(ScoreBank(), 3.0) == 1.0


@pytest.mark.parametrize(("score", "known"), [(None, False), (float("nan"), False), (float("inf"), False), (0.0, True)])
def test_what_is_no_finite_number_is_no_score(score: float | None, known: bool) -> None:
    assert usable(score) is known


def filled(by: str, counts: dict[tuple[str, int], int]) -> MondrianBanks:
    banks = MondrianBanks(by)  # type: ignore[arg-type]
    for (problem, turn), count in counts.items():
        for _ in range(count):
            banks.add(Chunk(problem, 0, turn), float(turn))
    return banks


def test_a_turn_with_few_scores_borrows_from_the_nearest_earlier_turn_that_has_enough() -> None:
    banks = filled("turn", {("a", 0): 30, ("a", 1): 25, ("a", 2): 19})
    assert len(banks.bank(Chunk("b", 0, 0))) == 30
    assert len(banks.bank(Chunk("b", 0, 2))) == 25
    assert len(banks.bank(Chunk("b", 0, 9))) == 25
    banks.add(Chunk("a", 0, 2), 2.0)
    assert len(banks.bank(Chunk("b", 0, 2))) == 20


def test_between_far_turns_only_those_that_have_a_bank_are_looked_at() -> None:
    banks = MondrianBanks()
    for turn, values in ((10**11, [7.0]), (3, [0.0] * 20), (1, [1.0] * 20)):
        for value in values:
            banks.add(Chunk("q", 0, turn), value)
    again = MondrianBanks()
    again.restore(banks.state())
    for one in (banks, again):
        assert one.bank(Chunk("q", 0, 10**12)).values() == [0.0] * 20
        assert one.bank(Chunk("q", 0, 2)).values() == [1.0] * 20


def test_without_an_earlier_turn_all_scores_are_borrowed() -> None:
    banks = filled("turn", {("a", 0): 5, ("a", 3): 30})
    assert len(banks.bank(Chunk("b", 0, 0))) == 35


def test_short_last_chunks_are_a_category_of_their_own() -> None:
    banks = filled("turn", {("a", 0): 30})
    for _ in range(20):
        banks.add(Chunk("a", 0, 0, short=True), 9.0)
    assert banks.bank(Chunk("b", 0, 0)).counts(8.0) == (0, 0)
    assert banks.bank(Chunk("b", 0, 4, short=True)).counts(8.0) == (20, 0)


@given(st.lists(COARSE, min_size=1, max_size=30), st.lists(COARSE, min_size=1, max_size=10), st.integers(0, 2**31))
def test_against_crepes(calibration: list[float], test: list[float], seed: int) -> None:
    base = pytest.importorskip("crepes.base")
    theirs = base.p_values_batch(np.array(calibration), np.array(test), smoothing=True, seed=seed)
    draws = np.random.RandomState(seed).rand(len(test))
    bank = ScoreBank(calibration)
    ours = [smoothed_p_value(bank, score, u) for score, u in zip(test, draws.tolist(), strict=True)]
    assert ours == pytest.approx(theirs.tolist())


@given(st.integers(0, 2**31), st.integers(20, 40), st.integers(20, 40))
def test_categories_against_crepes(seed: int, first: int, second: int) -> None:
    base = pytest.importorskip("crepes.base")
    rng = np.random.default_rng(seed)
    bins = np.array([0] * first + [1] * second)
    scores = np.round(rng.normal(size=len(bins)), 1)
    test, places = np.round(rng.normal(size=8), 1), rng.integers(0, 2, size=8)
    theirs = base.p_values_batch(scores, test, bins_cal=bins, bins_test=places, smoothing=False)
    banks = MondrianBanks("turn")
    for score, turn in zip(scores.tolist(), bins.tolist(), strict=True):
        banks.add(Chunk("a", 0, turn), score)
    # Not smoothed is the limit u = 1.
    ours = [
        smoothed_p_value(banks.bank(Chunk("b", 0, turn)), score, 1.0)
        for score, turn in zip(test.tolist(), places.tolist(), strict=True)
    ]
    assert ours == pytest.approx(theirs.tolist())


def test_a_bank_keeps_its_latest_scores_and_no_more() -> None:
    bank = ScoreBank(window=None)
    for number in range(KEPT + 5_000):
        bank.add(float(number))
    assert len(bank) == KEPT == len(bank.values())
    assert bank.values()[0] == 5_000.0
    assert bank.counts(-1.0) == (KEPT, 0)
    assert bank.counts(5_000.0) == (KEPT - 1, 1) and bank.counts(4_999.0) == (KEPT, 0)


@given(
    turns=st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.5]), max_size=6), max_size=4),
    weights=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    turn=st.integers(0, 4),
    score=st.sampled_from([0.0, 1.0, 1.5, 3.5, 9.0]),
    u=st.floats(1e-9, 1 - 1e-9),
)
def test_a_mixture_of_turns_weighs_every_score(
    turns: list[list[float]], weights: list[float], turn: int, score: float, u: float
) -> None:
    """The definition, score by score: each has its turn's weight over the scores of that turn, the asking one too."""
    banks = TurnBanks()
    for number, scores in enumerate(turns):
        for value in scores:
            banks.add(number, value)
    masses = [(score, weights[turn] / (len(turns[turn]) + 1 if turn < len(turns) else 1))]
    for number, scores in enumerate(turns):
        masses += [(value, weights[number] / (len(scores) + (number == turn))) for value in scores]
    total = sum(mass for _, mass in masses)
    wanted = sum(mass * (1.0 if value > score else u if value == score else 0.0) for value, mass in masses)
    expected = min(1.0, wanted / total) if total else u
    assert banks.p_value(turn, score, u, weights) == pytest.approx(expected, abs=1e-12)


@given(scores=st.lists(st.integers(0, 5).map(float), max_size=60), window=st.integers(1, 9))
def test_turn_banks_forget_the_oldest(scores: list[float], window: int) -> None:
    banks, latest = TurnBanks(window), TurnBanks()
    for value in scores:
        banks.add(0, value)
    for value in scores[-window:]:
        latest.add(0, value)
    restored = TurnBanks(window)
    restored.restore(json.loads(json.dumps(banks.state())))
    assert banks.state() == latest.state() == restored.state()
    assert banks.p_value(0, 2.0, 0.3, [1.0]) == latest.p_value(0, 2.0, 0.3, [1.0])


def test_scores_are_kept_to_nine_digits() -> None:
    assert kept(0.1234567891234) == 0.123456789
    assert kept(-123456.7891234) == -123456.789
    assert kept(kept(2 / 3)) == kept(2 / 3)
