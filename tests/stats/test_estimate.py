"""Estimates against brute force over all subsets, and their intervals against what they promise."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from atts.stats.estimate import (
    Bootstrap,
    Outcomes,
    accuracy,
    alike,
    by_samples,
    by_turns,
    classes,
    majority,
    passes,
    vote,
)

samples = st.integers(1, 8)


@st.composite
def tables(draw: st.DrawFn) -> Outcomes:
    """Small tables: some samples without verdict, some without answer, verdicts that may differ within one answer."""
    shape = (draw(st.integers(1, 4)), draw(samples))
    correct = draw(arrays(float, shape, elements=st.sampled_from([0.0, 1.0, np.nan])))
    votes = draw(arrays(np.int64, shape, elements=st.integers(-1, 3)))
    return Outcomes.of(correct, votes)


def winners(votes: list[int], weights: list[float]) -> list[int]:
    total: dict[int, float] = {}
    for name, weight in zip(votes, weights, strict=True):
        if name >= 0:
            total[name] = total.get(name, 0.0) + weight
    best = max(total.values(), default=0.0)
    return [name for name, weight in total.items() if weight == best and best > 0]


def voted(table: Outcomes, question: int, chosen: tuple[int, ...], known: list[int]) -> float:
    """The chance that the vote of the chosen samples is right, straight from the definition."""
    votes, correct, weights = table.votes[question], table.correct[question], table.weights[question]
    top = winners([int(votes[i]) for i in chosen], [float(weights[i]) for i in chosen])
    credit = [np.mean([correct[i] for i in known if votes[i] == name]) for name in top]
    return float(np.mean(credit)) if credit else 0.0


def known_samples(table: Outcomes, question: int) -> list[int]:
    return [i for i, x in enumerate(table.correct[question]) if not np.isnan(x)]


@given(tables())
def test_majority_is_the_mean_over_all_subsets(table: Outcomes) -> None:
    found = majority(table)
    for question in range(len(table.correct)):
        known = known_samples(table, question)
        for k in range(1, table.correct.shape[1] + 1):
            values = [voted(table, question, chosen, known) for chosen in combinations(known, k)]
            expected = np.mean(values) if values else np.nan
            assert found[question, k - 1] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(tables())
def test_pass_at_k_is_the_mean_over_all_subsets(table: Outcomes) -> None:
    found = passes(table)
    for question in range(len(table.correct)):
        known = known_samples(table, question)
        for k in range(1, table.correct.shape[1] + 1):
            values = [max(table.correct[question, i] for i in chosen) for chosen in combinations(known, k)]
            expected = np.mean(values) if values else np.nan
            assert found[question, k - 1] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(tables(), st.data())
def test_weighted_vote_of_all_samples_is_its_definition(table: Outcomes, data: st.DataObject) -> None:
    whole = arrays(float, table.correct.shape, elements=st.integers(0, 3).map(float))
    table = Outcomes.of(table.correct, table.votes, weights=data.draw(whole))
    found = vote(table)
    for question in range(len(table.correct)):
        known = known_samples(table, question)
        expected = voted(table, question, tuple(known), known) if known else np.nan
        assert found[question] == pytest.approx(expected, nan_ok=True)


def test_weighted_vote_of_k_samples_approaches_the_mean_over_all_subsets() -> None:
    table = Outcomes.of([[1, 1, 0, 0, 0]], [[0, 0, 1, 1, -1]], weights=[[3, 1, 2, 1.5, 1]])
    known = list(range(5))
    expected = np.mean([voted(table, 0, chosen, known) for chosen in combinations(known, 3)])
    assert vote(table, 3, draws=4000, seed=1)[0] == pytest.approx(expected, abs=0.03)
    assert vote(table, 3, seed=1) == vote(table, 3, seed=1)


def test_equal_weights_are_the_plain_majority() -> None:
    rng = np.random.default_rng(0)
    table = Outcomes.of(rng.integers(0, 2, (50, 7)), rng.integers(-1, 4, (50, 7)))
    assert vote(table) == pytest.approx(majority(table)[:, -1])


def test_pass_at_k_by_the_published_formula() -> None:
    table = Outcomes.of([[1] * 30 + [0] * 70])
    expected = [1 - comb(70, k) / comb(100, k) for k in range(1, 101)]
    assert passes(table)[0] == pytest.approx(expected)


def test_ties_share() -> None:
    table = Outcomes.of([[1, 0]], [[0, 1]])
    assert majority(table)[0] == pytest.approx([0.5, 0.5])
    assert vote(table)[0] == pytest.approx(0.5)


def test_samples_without_answer_do_not_vote_and_nothing_at_all_is_wrong() -> None:
    assert majority(Outcomes.of([[1, 0, 0, 0]], [[0, -1, -1, -1]]))[0, 3] == 1
    assert majority(Outcomes.of([[0, 0]], [[-1, -1]]))[0] == pytest.approx([0, 0])


def test_samples_without_verdict_are_left_out_everywhere() -> None:
    rows = [[1.0, 0.0, np.nan, np.nan], [np.nan] * 4]
    found = accuracy(Outcomes.of(rows, [[0, 1, 2, 2], [0, 1, 2, 3]]), 2)
    assert {name: found[name].questions for name in found} == dict.fromkeys(found, 1)
    assert found["pass@1"].value == 0.5
    assert found["pass@k"].value == 1
    assert found["maj@k"].value == 0.5


@given(tables())
def test_order_of_samples_and_names_of_answers_do_not_matter(table: Outcomes) -> None:
    rng = np.random.default_rng(len(table.correct))
    order = rng.permutation(table.correct.shape[1])
    names = rng.permutation(4)
    renamed = np.where(table.votes < 0, -1, names[np.maximum(table.votes, 0)])
    other = Outcomes.of(table.correct[:, order], renamed[:, order])
    assert majority(other) == pytest.approx(majority(table), nan_ok=True)
    assert passes(other) == pytest.approx(passes(table), nan_ok=True)


def test_many_samples_stay_exact() -> None:
    """Two answers, 120 against 80: a majority of an odd number k is a hypergeometric tail, known in closed form."""
    votes = [0] * 120 + [1] * 80
    found = majority(Outcomes.of([[1 - name for name in votes]], [votes]))
    k = 51
    expected = sum(comb(120, i) * comb(80, k - i) for i in range(26, k + 1)) / comb(200, k)
    assert found[0, k - 1] == pytest.approx(expected, rel=1e-9)


def test_classes_number_answers_by_first_appearance() -> None:
    rows = classes([["7", None, "8", "7"], ["1"], []])
    assert rows.tolist() == [[0, -1, 1, 0], [0, -1, -1, -1], [-1, -1, -1, -1]]


def test_after_some_turns_longer_chains_have_no_answer_yet() -> None:
    table = Outcomes.of([[1, 1, 0, np.nan]], [[0, 0, 1, 0]], turns=[[1, 3, 2, 1]])
    early = table.after(2)
    assert early.correct.tolist()[0][:3] == [1, 0, 0]
    assert np.isnan(early.correct[0, 3])
    assert early.votes.tolist() == [[0, -1, 1, 0]]


def test_curves_end_where_the_run_ended_and_grow_with_turns() -> None:
    rng = np.random.default_rng(3)
    table = Outcomes.of(rng.integers(0, 2, (40, 6)), rng.integers(0, 3, (40, 6)), turns=rng.integers(1, 5, (40, 6)))
    whole, samples, turns = accuracy(table), by_samples(table), by_turns(table)
    assert samples.at == (1, 2, 3, 4, 5, 6)
    assert samples.metrics["maj@k"][-1] == pytest.approx(whole["maj@k"])
    assert turns.at == (1, 2, 3, 4)
    assert turns.metrics["pass@1"][-1] == whole["pass@1"]
    values = [estimate.value for estimate in turns.metrics["pass@k"]]
    assert values == sorted(values)


def test_the_interval_holds_the_value_and_narrows_with_questions() -> None:
    rng = np.random.default_rng(5)
    widths = []
    for questions in (10, 100, 1000):
        found = Bootstrap(questions, seed=1).estimate(rng.random(questions))
        assert 0 <= found.low <= found.value <= found.high <= 1
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_all_right_is_not_certainty() -> None:
    found = Bootstrap(20).estimate(np.ones(20))
    assert found.value == found.high == 1
    assert 0.8 < found.low < 0.95


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(7)
    base = rng.random(60)
    paired = Bootstrap(60).difference(base * 0.9 + 0.05, base * 0.9)
    alone = Bootstrap(60).estimate(base)
    assert paired.value == pytest.approx(0.05)
    assert paired.high - paired.low < alone.high - alone.low
    assert Bootstrap(3).difference([1, 0, np.nan], [0, 0, 1]).questions == 2


def test_equal_differences_are_not_certainty() -> None:
    found = Bootstrap(20).difference(np.full(20, 0.55), np.full(20, 0.5))
    assert found.low < 0 < found.value < found.high
    none = Bootstrap(20).difference(np.ones(20), np.ones(20))
    assert none.low < -0.05 and none.high > 0.05
    one = Bootstrap(20).difference(np.eye(20)[0], np.zeros(20))  # one vote that flipped
    assert one.low < 0 < one.value < one.high


@pytest.mark.parametrize(("questions", "samples"), [(20, 16), (50, 16), (30, 1)])
def test_differences_cover_and_are_not_much_too_wide(questions: int, samples: int) -> None:
    """Against Student's interval, the textbook's for a paired mean: as often right, and at most a fifth wider."""
    rng, runs, true = np.random.default_rng(13), 300, 0.1
    bootstrap, covered, widths, textbook = Bootstrap(questions, draws=800), 0, [], []
    for _ in range(runs):
        rates = true + (1 - true) * rng.beta(2, 1, questions)
        ours = (rng.random((questions, samples)) < rates[:, None]).mean(axis=1)
        theirs = (rng.random((questions, samples)) < rates[:, None] - true).mean(axis=1)
        found = bootstrap.difference(ours, theirs)
        covered += found.low <= true <= found.high
        widths.append(found.high - found.low)
        textbook.append(2 * 2.05 * (ours - theirs).std(ddof=1) / questions**0.5)
    assert 0.93 <= covered / runs <= 0.99
    assert np.mean(widths) < 1.2 * np.mean(textbook)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("share", "loss"), [(0.03, 0.99), (0.05, 0.5), (0.1, 0.3)])
@pytest.mark.parametrize("questions", [10, 20, 50, 100])
def test_differences_cover_where_a_run_fails_on_few_questions(
    questions: int, share: float, loss: float, mirrored: bool
) -> None:
    """Most draws meet none of the questions that fail, and the bootstrap alone covers .5 to .9."""
    rng, runs, covered = np.random.default_rng(17), 100, 0
    bootstrap, true = Bootstrap(questions, draws=400), share * loss * (1 if mirrored else -1)
    for _ in range(runs):
        rates = 0.99 - loss * (rng.random(questions) < share)
        ours, theirs = rng.binomial(16, rates) / 16, rng.binomial(16, 0.99, questions) / 16
        found = bootstrap.difference(theirs, ours) if mirrored else bootstrap.difference(ours, theirs)
        covered += found.low <= true <= found.high
    assert covered / runs >= 0.93


def test_the_reach_into_questions_not_met_is_clopper_and_pearsons_and_shrinks_with_noise() -> None:
    """Of twenty questions without a loss: (1 − share)²⁰ = .05. Where samples disagree anyway nothing is hidden."""
    certain = Bootstrap(20).difference(np.ones(20), np.ones(20))
    assert (1 + certain.low) ** 20 == pytest.approx(0.05) and certain.high == -certain.low
    noisy = np.tile([0.25, 0.75], 10)
    alone = Bootstrap(20).estimate(noisy - noisy[::-1], limits=(-0.5, 0.5))
    assert Bootstrap(20).difference(noisy, noisy[::-1]) == alone


def test_alike_means_no_difference_where_both_are_known() -> None:
    assert alike([1, 0.3, np.nan], [1, 0.3, 0]) and not alike([1, 0.3], [1, 0.2])
    assert not alike([np.nan], [1])


def test_a_ratio_weighs_questions_by_their_size() -> None:
    found = Bootstrap(2).ratio([1, 9], [10, 10])
    assert found.value == 0.5
    assert Bootstrap(2).ratio([0, 5], [0, 10]).questions == 1
    assert np.isnan(Bootstrap(1).ratio([0], [0]).value)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(1).random(30)
    assert Bootstrap(30, seed=4).estimate(values) == Bootstrap(30, seed=4).estimate(values)
    assert Bootstrap(30, seed=4).estimate(values) != Bootstrap(30, seed=5).estimate(values)


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 2.0), (4.0, 1.0), (0.4, 4.0)])
def test_intervals_cover_though_samples_of_a_question_are_correlated(alpha: float, beta: float) -> None:
    """Difficulty varies by question: an interval over samples would cover about half as often."""
    rng, questions, runs = np.random.default_rng(11), 40, 300
    bootstrap, covered = Bootstrap(questions, draws=800), 0
    for _ in range(runs):
        rates = rng.beta(alpha, beta, questions)
        found = bootstrap.estimate((rng.random((questions, 16)) < rates[:, None]).mean(axis=1))
        covered += found.low <= alpha / (alpha + beta) <= found.high
    assert 0.915 <= covered / runs <= 0.995


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        Outcomes.of([1, 0])
    with pytest.raises(ValueError, match="votes has the shape"):
        Outcomes.of([[1, 0]], [[0]])
    with pytest.raises(ValueError, match="between 0 and 1"):
        Outcomes.of([[2]])
    with pytest.raises(ValueError, match="weights"):
        Outcomes.of([[1]], weights=[[-1]])
    with pytest.raises(ValueError, match="k = 3"):
        accuracy(Outcomes.of([[1, 0]]), 3)
    with pytest.raises(ValueError, match="samples"):
        Outcomes.of(np.ones((1, 1001)))
    with pytest.raises(ValueError, match="shape"):
        Bootstrap(3).estimate([1, 2])


def test_no_usable_question_gives_no_number() -> None:
    found = Bootstrap(2).estimate([np.nan, np.nan])
    assert found.questions == 0
    assert found.plain() == {"value": None, "low": None, "high": None, "questions": 0}


@pytest.mark.parametrize("seed", range(8))
def test_an_interval_holds_its_value_however_few_draws_make_it(seed: int) -> None:
    """A single draw has both of its quantiles on one side of the mean."""
    found = Bootstrap(4, draws=1, seed=seed).estimate([0.1, 0.9, 0.4, 0.2])
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(0.4)
    assert found.low < found.high


def test_the_half_question_more_stands_at_the_ends_of_the_scale() -> None:
    """On a scale from 2 to 4 nothing below 2 or above 4 is thought possible."""
    found = Bootstrap(5).estimate([3.0, 3.0, 3.0, 3.0, 3.0], limits=(2.0, 4.0))
    assert 2 < found.low < 3 < found.high < 4
    assert Bootstrap(5).estimate([3.0] * 5, limits=(3.0, 3.0)).low == pytest.approx(3)


def test_a_ratio_of_nothing_is_not_known() -> None:
    nothing = Bootstrap(2).ratio([0.0, 0.0], [0.0, 0.0])
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all() and nothing.questions == 0
