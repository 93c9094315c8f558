"""Accuracy from verdicts: pass@1, pass@k, votes, and intervals whose unit is the question.

Every metric is first a column of values, one a question (`passes`, `majority`, `vote`); a `Bootstrap` over questions
then turns columns into estimates. Samples of one question share its difficulty, so they are never resampled as if they
were independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from atts.stats.arrays import Bools, Floats, Ints

MOST_SAMPLES = 1000  # binomial coefficients beyond this leave the range of a double
_SAME = 1e-12  # differences closer than this are one, but for rounding
_BLOCK = 256  # questions handled at once by the exact majority, so that memory stays flat


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its interval, and the number of questions it rests on. All NaN where no question could be used."""

    value: float
    low: float
    high: float
    questions: int

    def plain(self) -> dict[str, Any]:
        """As data for JSON; NaN becomes None."""
        keys = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if np.isnan(x) else float(x) for name, x in keys.items()} | {"questions": self.questions}


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of every sample of every question; arrays of shape [question, sample].

    `correct` is 1, 0, or NaN where there is no verdict (sample missing, cancelled or ungraded): such samples are left
    out of every metric, never counted as wrong. A sample without an answer is 0. `votes` numbers the distinct answers
    of a question from 0; −1 is no answer and does not vote. `turns` is the number of turns a sample took. `weights`
    (≥ 0) are the votes' weights in `vote`.
    """

    correct: Floats
    votes: Ints
    turns: Ints
    weights: Floats

    @classmethod
    def of(
        cls,
        correct: ArrayLike,
        votes: ArrayLike | None = None,
        turns: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> Outcomes:
        """Checked arrays. Without votes, every right answer is one class and every wrong sample one of its own.

        Raises ValueError where shapes differ, a verdict lies outside [0, 1], or a weight is negative or not finite.
        """
        verdicts = np.asarray(correct, dtype=float)
        if verdicts.ndim != 2:
            raise ValueError(f"verdicts must have the shape [question, sample], not {verdicts.shape}")
        if verdicts.shape[1] > MOST_SAMPLES:
            raise ValueError(f"{verdicts.shape[1]} samples a question; at most {MOST_SAMPLES} are supported")
        apart = np.where(verdicts == 1, 0, 1 + np.arange(verdicts.shape[1]))
        table = cls(
            verdicts,
            np.asarray(apart if votes is None else votes, dtype=np.int64),
            np.asarray(np.ones(verdicts.shape) if turns is None else turns, dtype=np.int64),
            np.asarray(np.ones(verdicts.shape) if weights is None else weights, dtype=float),
        )
        table._check()
        return table

    def _check(self) -> None:
        for name in ("votes", "turns", "weights"):
            if getattr(self, name).shape != self.correct.shape:
                raise ValueError(f"{name} has the shape {getattr(self, name).shape}, verdicts {self.correct.shape}")
        known = self.correct[~np.isnan(self.correct)]
        if ((known < 0) | (known > 1)).any():
            raise ValueError("verdicts must lie between 0 and 1, or be NaN where there is none")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise ValueError("weights must be finite and not negative")

    @property
    def graded(self) -> Ints:
        """Samples with a verdict, by question."""
        return np.asarray((~np.isnan(self.correct)).sum(axis=1), dtype=np.int64)

    def after(self, turns: int) -> Outcomes:
        """As if every chain had been stopped after that many turns: a longer chain has no answer yet."""
        late = self.turns > turns
        wrong = np.where(np.isnan(self.correct), np.nan, 0.0)
        return replace(
            self,
            correct=np.where(late, wrong, self.correct),
            votes=np.where(late, -1, self.votes),
            turns=np.minimum(self.turns, turns),
        )


def classes(answers: Sequence[Sequence[str | None]]) -> Ints:
    """Numbers the distinct answers of each question by first appearance; None and absent samples are −1.

    Rows may differ in length; the result has the shape [question, longest row].
    """
    out = np.full((len(answers), max(map(len, answers), default=0)), -1, dtype=np.int64)
    for row, texts in enumerate(answers):
        seen: dict[str, int] = {}
        for column, text in enumerate(texts):
            if text is not None:
                out[row, column] = seen.setdefault(text, len(seen))
    return out


def passes(table: Outcomes) -> Floats:
    """Unbiased pass@k for k = 1 … samples, shape [question, k]: 1 − C(n−c, k) / C(n, k).

    The chance that at least one of k samples drawn without replacement is right (Chen et al. 2021, arXiv 2107.03374);
    column 0 is pass@1, the last one "any of all". NaN where a question has fewer than k verdicts.
    """
    n = table.graded[:, None].astype(float)
    wrong = n - np.nansum(table.correct, axis=1)[:, None]
    drawn = np.arange(table.correct.shape[1])
    left = n - drawn
    still_wrong = np.clip(wrong - drawn, 0, None) / np.where(left > 0, left, 1)
    return np.asarray(np.where(left > 0, 1 - np.cumprod(still_wrong, axis=1), np.nan))


def majority(table: Outcomes) -> Floats:
    """Unbiased maj@k for k = 1 … samples, shape [question, k]: the mean over all subsets of k samples, exactly.

    The answer with most votes wins; t answers that tie for it win with chance 1/t each. Samples without an answer do
    not vote; a subset without any vote is wrong. If verdicts differ within one answer, it counts by their mean.

    Counted, not sampled: the subsets in which an answer wins with v votes are a coefficient of the product of the other
    answers' polynomials Σ C(n_j, i) xⁱ, i ≤ v; the chance 1/t of a tie is the integral of z^(t−1) over [0, 1], which a
    Gauss–Legendre rule gives exactly. NaN where a question has fewer than k verdicts.
    """
    samples = table.correct.shape[1]
    out = np.full(table.correct.shape, np.nan)
    if not out.size:
        return out
    tallies, credit, silent = _tallies(table)
    kinds, where = np.unique(np.hstack([silent[:, None], tallies, credit]), axis=0, return_inverse=True)
    values = np.vstack([_won(kinds[i : i + _BLOCK], samples) for i in range(0, len(kinds), _BLOCK)])
    enough = table.graded[:, None] >= np.arange(1, samples + 1)
    return np.where(enough, values[where.ravel()], out)


def _tallies(table: Outcomes) -> tuple[Floats, Floats, Floats]:
    """Votes and mean verdict of each answer, most votes first [question, class], and samples that do not vote."""
    graded = ~np.isnan(table.correct)
    votes = np.where(graded, table.votes, -2)
    names = np.arange(max(1, int(votes.max()) + 1))
    mine = votes[:, :, None] == names
    tallies = mine.sum(axis=1).astype(float)
    right = (mine * np.nan_to_num(table.correct)[:, :, None]).sum(axis=1)
    credit = np.divide(right, tallies, out=np.zeros_like(right), where=tallies > 0)
    order = np.lexsort((-credit, -tallies), axis=1)
    silent = (votes == -1).sum(axis=1).astype(float)
    return np.take_along_axis(tallies, order, 1), np.take_along_axis(credit, order, 1), silent


def _won(kinds: Floats, most: int) -> Floats:
    """maj@k, k = 1 … most, of questions given as rows (samples without vote, votes by answer…, credit by answer…)."""
    width = (kinds.shape[1] - 1) // 2
    silent, tallies = kinds[:, 0].astype(int), kinds[:, 1 : 1 + width].astype(int)
    credit = kinds[:, 1 + width :]
    choose = _binomials(most)
    won = np.zeros((len(kinds), most + 1))
    for top in range(1, most + 1):
        able = ((tallies >= top) & (credit > 0)).any(axis=1)
        if not able.any():
            break
        won[able] += _won_with(top, choose[silent[able]], tallies[able], credit[able], choose)
    total = choose[silent + tallies.sum(axis=1)]
    share = np.divide(won, total, out=np.zeros_like(won), where=total > 0)
    return np.asarray(np.clip(share[:, 1:], 0, 1))


def _won_with(top: int, silent: Floats, tallies: Ints, credit: Floats, choose: Floats) -> Floats:
    """Subsets of each size [question, size] in which an answer wins with exactly `top` votes, weighted by its credit.

    `every` is the polynomial of all answers so far, `credited` its part in which one winner has been picked out.
    """
    size = silent.shape[1]
    ties = min(tallies.shape[1], max(1, (size - 1) // top))
    nodes, weights = np.polynomial.legendre.leggauss((ties + 1) // 2)
    z, weights = ((nodes + 1) / 2)[:, None], weights / 2
    every = np.repeat(silent[:, None, :], len(weights), axis=1)
    credited = np.zeros_like(every)
    for column in range(tallies.shape[1]):
        ways = choose[tallies[:, column]]
        if not tallies[:, column].any():
            break
        tie = _shifted(every, top) * (ways[:, top] * credit[:, column])[:, None, None]
        credited = _times(credited, ways, top, z) + tie
        every = _times(every, ways, top, z)
    return np.asarray(np.einsum("qls,l->qs", credited, weights))


def _times(polynomial: Floats, ways: Floats, top: int, z: Floats) -> Floats:
    """The polynomial times Σ_{i<top} C(n, i) xⁱ + z C(n, top) x^top."""
    out = polynomial.copy()
    for votes in range(1, top + 1):
        if not ways[:, votes].any():
            break
        term = _shifted(polynomial, votes) * ways[:, votes][:, None, None]
        out += term * z if votes == top else term
    return out


def _shifted(polynomial: Floats, by: int) -> Floats:
    out = np.zeros_like(polynomial)
    out[..., by:] = polynomial[..., : polynomial.shape[-1] - by]
    return out


def _binomials(most: int) -> Floats:
    """Pascal's triangle [n, k] for n, k = 0 … most."""
    table = np.zeros((most + 1, most + 1))
    table[:, 0] = 1
    for n in range(1, most + 1):
        table[n, 1:] = table[n - 1, 1:] + table[n - 1, :-1]
    return table


def vote(table: Outcomes, k: int | None = None, *, draws: int = 200, seed: int = 0) -> Floats:
    """The weighted vote, one value a question: the answer whose samples weigh most wins; ties share as in `majority`.

    With all samples (`k` None) it is exact; with k of them it is the mean over `draws` random subsets, since weights
    that all differ leave nothing to count. An answer of no weight cannot win. NaN where fewer than k have a verdict.
    """
    graded = ~np.isnan(table.correct)
    if k is None:
        return _weighed(table, graded)
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    rng = np.random.default_rng(seed)
    total = np.zeros(len(graded))
    for _ in range(draws):
        order = np.where(graded, rng.random(graded.shape), 2.0)
        total += np.nan_to_num(_weighed(table, graded & (order.argsort(axis=1).argsort(axis=1) < k)))
    return np.where(table.graded >= k, total / draws, np.nan)


def _weighed(table: Outcomes, used: Bools) -> Floats:
    votes = np.where(used, table.votes, -1)
    mine = votes[:, :, None] == np.arange(max(1, int(votes.max(initial=0)) + 1))
    weight = (mine * table.weights[:, :, None]).sum(axis=1)
    right = (mine * np.nan_to_num(table.correct)[:, :, None]).sum(axis=1)
    credit = right / np.maximum(mine.sum(axis=1), 1)
    best = weight.max(axis=1, keepdims=True)
    winners = (weight > 0) & np.isclose(weight, best, rtol=1e-9, atol=0)
    value = (winners * credit).sum(axis=1) / np.maximum(winners.sum(axis=1), 1)
    return np.where(used.any(axis=1), value, np.nan)


class Bootstrap:
    """Weighs questions at random; one set of draws serves every column, so that differences are paired by construction.

    The Bayesian bootstrap (Rubin 1981, doi 10.1214/aos/1176345338), an exponential weight a question, with half a
    question more at the end of the scale: at its bottom for the lower limit, at its top for the upper one. So twenty
    questions out of twenty are not certainty. (A whole question more would give Clopper and Pearson's interval on 0/1
    values, a half is close to Jeffreys's.) The plain percentile bootstrap collapses to a point there; docs/grading.md
    has the coverage of both.
    """

    def __init__(self, questions: int, *, draws: int = 2000, level: float = 0.95, seed: int = 0) -> None:
        """`level` in (0, 1); memory is 8 · draws · questions bytes. Raises ValueError where a value is out of range."""
        if questions < 0 or draws < 1 or not 0 < level < 1:
            raise ValueError(f"cannot draw {draws} times from {questions} questions at level {level}")
        self.questions, self.level = questions, level
        rng = np.random.default_rng(seed)
        self._weights = rng.standard_exponential((draws, questions))
        self._half = rng.standard_gamma(0.5, size=(draws, 1))

    def estimate(self, values: ArrayLike, *, limits: tuple[float, float] = (0.0, 1.0)) -> Estimate:
        """The mean of a column [question] with its interval; questions that are NaN are left out.

        `limits` are the ends of the values' scale.
        """
        return self.estimates(np.asarray(values, dtype=float)[:, None], limits=limits)[0]

    def estimates(self, values: ArrayLike, *, limits: tuple[float, float] = (0.0, 1.0)) -> list[Estimate]:
        """One estimate a column of [question, column]."""
        table = np.asarray(values, dtype=float)
        used = ~np.isnan(table)
        return self._ratios(np.where(used, table, 0.0), used.astype(float), limits)

    def ratio(self, parts: ArrayLike, wholes: ArrayLike, *, limits: tuple[float, float] = (0.0, 1.0)) -> Estimate:
        """Σ parts / Σ wholes, both [question]: chunks taken over of chunks decided; the unit stays the question."""
        part, whole = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
        return self._ratios(part[:, None], whole[:, None], limits)[0]

    def difference(self, ours: ArrayLike, theirs: ArrayLike) -> Estimate:
        """The mean of ours − theirs, shares in [0, 1], over the questions that both have, paired by question.

        The half question more stands at the largest difference that was seen, for us and against us: ±1 would be far
        out where samples make differences small. Where all differences are equal they tell nothing of the scale, and
        it is ±1.

        A kind of question that was not met may differ by more. n questions without one rule out, at the level asked,
        that such are more than a share of 1 − (1 − level)^(1/n): the rule of three (Hanley and Lippman-Hand 1983, doi
        10.1001/jama.1983.03330370053031), Clopper and Pearson's limit for none of n. The interval reaches at least as
        far, either way, as that share moves the mean if everything that could change unnoticed does (`_hidden`). It is
        much where samples agree, ±1 where all are right or all wrong, and little where they differ anyway.
        """
        our, their = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
        values = our - their
        known = ~np.isnan(values)
        if not known.any():
            return self.estimate(values)
        scale = float(np.abs(values[known]).max()) if np.ptp(values[known]) > _SAME else 1.0
        found = self.estimate(values, limits=(-scale, scale))
        unseen = 1 - (1 - self.level) ** (1 / found.questions)
        reach = unseen * float(_hidden(our[known], their[known]).mean())
        return replace(found, low=min(found.low, found.value - reach), high=max(found.high, found.value + reach))

    def _ratios(self, parts: Floats, wholes: Floats, limits: tuple[float, float]) -> list[Estimate]:
        if parts.ndim != 2 or parts.shape != wholes.shape or len(parts) != self.questions:
            raise ValueError(f"values have the shapes {parts.shape} and {wholes.shape}, not [{self.questions}, column]")
        counts = (wholes > 0).sum(axis=0)
        total = wholes.sum(axis=0)
        known = total > 0
        extra = self._half * (total / np.maximum(counts, 1))
        part, whole = self._weights @ parts, np.where(known, self._weights @ wholes + extra, 1.0)
        value = np.where(known, parts.sum(axis=0) / np.where(known, total, 1.0), np.nan)
        tail = (1 - self.level) / 2
        low = np.where(known, np.quantile((part + extra * limits[0]) / whole, tail, axis=0), np.nan)
        high = np.where(known, np.quantile((part + extra * limits[1]) / whole, 1 - tail, axis=0), np.nan)
        low, high = np.minimum(low, value), np.maximum(high, value)
        columns = zip(value, low, high, counts, strict=True)
        return [Estimate(float(mean), float(least), float(most), int(n)) for mean, least, most, n in columns]


def alike(ours: ArrayLike, theirs: ArrayLike) -> bool:
    """Whether two columns, [question], are the same wherever both are known, and both are known somewhere."""
    values = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    known = values[~np.isnan(values)]
    return bool(known.size and (np.abs(known) <= _SAME).all())


def _hidden(ours: Floats, theirs: Floats) -> Floats:
    """By how much more each question could differ than it does: the chance that a sample of ours and one of theirs are
    both right, or both wrong, whichever is more, less the difference that was seen."""
    agree = np.maximum(ours * theirs, (1 - ours) * (1 - theirs))
    return np.asarray(np.clip(agree - np.abs(ours - theirs), 0, None))


def accuracy(
    table: Outcomes, k: int | None = None, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> dict[str, Estimate]:
    """`pass@1`, `pass@k`, `maj@k`, `vote` (weighted) and `any` (of all samples), each with its interval.

    `k` is by default the number of samples. A question with fewer than k verdicts is left out of the metrics at k; see
    `Estimate.questions`. Raises ValueError where k is out of range.
    """
    questions, samples = table.correct.shape
    k = samples if k is None else k
    if not questions or not 1 <= k <= samples:
        raise ValueError(f"k = {k} of {samples} samples of {questions} questions")
    passed = passes(table)
    chosen = vote(table) if k == samples else vote(table, k, seed=seed)
    some = np.where(table.graded > 0, (np.nan_to_num(table.correct) > 0).any(axis=1), np.nan)
    columns = [passed[:, 0], passed[:, k - 1], majority(table)[:, k - 1], chosen, some]
    found = Bootstrap(questions, draws=draws, level=level, seed=seed).estimates(np.stack(columns, axis=1))
    return dict(zip(("pass@1", "pass@k", "maj@k", "vote", "any"), found, strict=True))


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy against a resource: `at[i]` samples or turns give each metric's `i`-th estimate."""

    at: tuple[int, ...]
    metrics: dict[str, tuple[Estimate, ...]]


def by_samples(table: Outcomes, *, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Curve:
    """What 1, 2, … samples a question would have given (`pass@k`, `maj@k`), from one run: the parallel axis."""
    columns = {"pass@k": passes(table), "maj@k": majority(table)}
    bootstrap = Bootstrap(len(table.correct), draws=draws, level=level, seed=seed)
    metrics = {name: tuple(bootstrap.estimates(values)) for name, values in columns.items()}
    return Curve(tuple(range(1, table.correct.shape[1] + 1)), metrics)


def by_turns(table: Outcomes, k: int | None = None, *, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Curve:
    """What 1, 2, … turns a chain would have given (`pass@1`, `pass@k`, `maj@k`), from one run: the sequential axis."""
    at = tuple(range(1, int(table.turns.max(initial=0)) + 1))
    found = [accuracy(table.after(turns), k, level=level, draws=draws, seed=seed) for turns in at]
    return Curve(at, {name: tuple(row[name] for row in found) for name in ("pass@1", "pass@k", "maj@k")})
