"""What decisions came to: realised against promised rate, and whether the strange chunks were the ones taken over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import erf, exp, lgamma, log, log1p, prod, sqrt
from typing import Any

import numpy as np

from atts.stats.arrays import Bools, Floats, Ints
from atts.stats.control import HEADROOM, round_limit
from atts.stats.estimate import Bootstrap, Estimate
from atts.types import Decision

WINDOW = 200  # decisions
ENOUGH = 100  # decisions: a turn with fewer is listed, but no figure rests on it


@dataclass(frozen=True, slots=True)
class TurnRate:
    """Decisions of one turn, and the share of them that were takeovers."""

    turn: int
    n: int
    rate: float


@dataclass(frozen=True, slots=True)
class QuestionRate:
    """Decisions on the chunks of one question, and the share of them that were takeovers."""

    question: str
    n: int
    rate: float


@dataclass(frozen=True, slots=True)
class WindowRate:
    """Consecutive decisions from number `first` on, and the share of them that were takeovers."""

    first: int
    n: int
    rate: float


@dataclass(frozen=True, slots=True)
class Audit:
    """How a sequence of decisions kept its promise. Rates and deviations are fractions, not per cent.

    `rate`: the realised rate; `low`, `high`: its 95 % interval, questions resampled. `worst_turn` and `turn_rms`:
    deviation by turn, of turns with 100 decisions or more (all turns if none has), the root mean square weighted by
    decisions. `question_rms`: unweighted, over questions. `by_window`: windows of 200 decisions side by side, the last
    one what is left; `window_low`, `window_high`, `window_rms`: over all windows of 200 consecutive decisions.
    `window_excess`: the most by which the takeovers of any window of any length exceeded `1.05 * rate * n`.
    `overflow`: share of full rounds (all samples of a question at one turn) with more than K takeovers; `rounds_over`:
    rounds, full or not, with more than K. `selectivity`: mean rank of the taken-over chunks minus that of the others,
    ranks in [0, 1] within the turn; `question_selectivity`: within the question. A perfect choice gives 0.5, a coin 0.
    """

    promised: float
    n: int
    rate: float
    low: float
    high: float
    by_turn: tuple[TurnRate, ...]
    by_question: tuple[QuestionRate, ...]
    by_window: tuple[WindowRate, ...]
    worst_turn: float
    turn_rms: float
    question_low: float
    question_high: float
    question_rms: float
    window_low: float
    window_high: float
    window_rms: float
    window_excess: float
    overflow: float
    rounds_over: int
    selectivity: float
    question_selectivity: float
    start_64: float
    start_256: float

    def plain(self) -> dict[str, Any]:
        """As data for JSON; NaN becomes None."""
        return {key: None if value != value else value for key, value in asdict(self).items()}


def audit(decisions: Sequence[Decision], promised: float, samples: int, *, slack: int = 1) -> Audit:
    """Audit decisions given in the order in which they were taken. Raises ValueError if there are none."""
    if not decisions:
        raise ValueError("there are no decisions to audit")
    rejected = np.array([decision.rejected for decision in decisions], dtype=np.float64)
    turns = np.array([decision.chunk.turn for decision in decisions], dtype=np.int64)
    names, questions = _numbered([decision.chunk.problem for decision in decisions])
    by_turn = tuple(TurnRate(int(t), *_rate(rejected[turns == t])) for t in np.unique(turns))
    judged = _judged(by_turn)
    interval = _interval(rejected, questions)
    decided = np.bincount(questions)
    by_question = np.bincount(questions, rejected) / decided
    windows = _windows(rejected, WINDOW)
    full, over = _rounds(rejected, turns, questions, samples, round_limit(promised, samples, slack))
    scores = np.array([np.nan if d.score is None else d.score for d in decisions])
    return Audit(
        promised=promised,
        n=len(decisions),
        rate=float(rejected.mean()),
        low=interval.low,
        high=interval.high,
        by_turn=by_turn,
        by_question=tuple(map(QuestionRate, names, decided.tolist(), by_question.tolist())),
        by_window=tuple(
            WindowRate(first, *_rate(rejected[first : first + WINDOW])) for first in range(0, len(rejected), WINDOW)
        ),
        worst_turn=max(abs(turn.rate - promised) for turn in judged),
        turn_rms=_rms(np.array([t.rate - promised for t in judged]), np.array([t.n for t in judged])),
        question_low=float(by_question.min()),
        question_high=float(by_question.max()),
        question_rms=_rms(by_question - promised),
        window_low=float(windows.min()),
        window_high=float(windows.max()),
        window_rms=_rms(windows - promised),
        window_excess=_excess(rejected, promised * HEADROOM),
        overflow=float(over[full].mean()) if full.any() else float("nan"),
        rounds_over=int(over.sum()),
        selectivity=_selectivity(scores, rejected, turns),
        question_selectivity=_selectivity(scores, rejected, questions),
        start_64=float(rejected[:64].mean() - promised),
        start_256=float(rejected[:256].mean() - promised),
    )


def averaged(audits: Sequence[Audit]) -> Audit:
    """The mean over several orders of the same decisions; of the deviations at the start the root mean square, and of
    what must never happen (`window_excess`, `rounds_over`) the worst.
    """
    first = audits[0]

    def column(name: str) -> Floats:
        return np.array([getattr(one, name) for one in audits], dtype=np.float64)

    values: dict[str, Any] = {name: float(column(name).mean()) for name in _FIGURES}
    values |= {name: _rms(column(name)) for name in ("start_64", "start_256")}
    values["window_excess"] = float(column("window_excess").max())
    values["rounds_over"] = int(column("rounds_over").max())
    for name in ("by_turn", "by_question", "by_window"):
        rates = np.array([[group.rate for group in getattr(one, name)] for one in audits]).mean(axis=0)
        groups = zip(getattr(first, name), rates.tolist(), strict=True)
        values[name] = tuple(replace(group, rate=rate) for group, rate in groups)
    return replace(first, **values)


def coin_floor(n: int, rate: float) -> float:
    """Standard deviation of the rate of `n` decisions of a coin: what cannot be told from keeping the promise."""
    return float(np.sqrt(rate * (1 - rate) / n)) if n else float("nan")


def noise_floor(found: Audit, samples: int, *, slack: int = 1) -> dict[str, float]:
    """What a coin of the promised rate is expected to show on the same decisions, by the names of `Audit`'s figures.

    Of the rate and the root mean squares the standard deviation, of the worst turn the mean of the largest deviation
    (normal approximation), of `overflow` the binomial tail beyond K; a coin has no selectivity.
    """
    rate = found.promised
    turns = np.array([coin_floor(turn.n, rate) for turn in _judged(found.by_turn)])
    questions = np.array([coin_floor(question.n, rate) for question in found.by_question])
    return {
        "rate": coin_floor(found.n, rate),
        "worst_turn": _expected_largest(turns),
        "turn_rms": _rms(turns, np.array([turn.n for turn in _judged(found.by_turn)])),
        "question_rms": _rms(questions),
        "window_rms": coin_floor(min(WINDOW, found.n), rate),
        "overflow": _binomial_tail(samples, rate, round_limit(rate, samples, slack)),
        "selectivity": 0.0,
        "question_selectivity": 0.0,
    }


def _binomial_tail(n: int, rate: float, limit: int) -> float:
    """The probability of more than `limit` takeovers among `n` independent decisions."""
    if not 0 < rate < 1:
        return 0.0
    return sum(
        exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(rate) + (n - k) * log1p(-rate))
        for k in range(limit + 1, n + 1)
    )


def _expected_largest(deviations: Floats) -> float:
    """The mean of the largest absolute value among independent normal variables of these standard deviations."""
    steps = np.linspace(0, 6 * deviations.max(), 601)
    within = [prod(erf(step / (sqrt(2) * deviation)) for deviation in deviations if deviation) for step in steps]
    return float((1 - np.array(within)).mean() * steps[-1])


_FIGURES = tuple(field.name for field in fields(Audit) if field.type == "float")


def _rate(rejected: Floats) -> tuple[int, float]:
    return len(rejected), float(rejected.mean())


def _judged(by_turn: Sequence[TurnRate]) -> list[TurnRate]:
    return [turn for turn in by_turn if turn.n >= ENOUGH] or list(by_turn)


def _numbered(names: Sequence[str]) -> tuple[list[str], Ints]:
    distinct, number = np.unique(np.asarray(names), return_inverse=True)
    return distinct.tolist(), np.asarray(number, dtype=np.int64)


def _rms(values: Floats, weights: Ints | None = None) -> float:
    return float(np.sqrt(np.average(np.square(values), weights=weights)))


def _interval(rejected: Floats, questions: Ints) -> Estimate:
    decided = np.bincount(questions)
    return Bootstrap(len(decided)).ratio(np.bincount(questions, rejected), decided)


def _windows(rejected: Floats, width: int) -> Floats:
    width = min(width, len(rejected))
    sums = np.concatenate([[0.0], np.cumsum(rejected)])
    return np.asarray((sums[width:] - sums[:-width]) / width)


def _excess(rejected: Floats, allowed: float) -> float:
    """The largest sum of `rejected - allowed` over consecutive decisions: one pass, as for the best subarray."""
    sums = np.concatenate([[0.0], np.cumsum(rejected - allowed)])
    return float((sums - np.minimum.accumulate(sums)).max())


def _rounds(rejected: Floats, turns: Ints, questions: Ints, samples: int, limit: int) -> tuple[Bools, Bools]:
    """For every round: whether all its samples were decided, and whether more than `limit` were taken over."""
    _, turn = np.unique(turns, return_inverse=True)
    _, number = np.unique(questions * (int(turn.max()) + 1) + turn, return_inverse=True)
    return np.bincount(number) >= samples, np.bincount(number, rejected) > limit


def _selectivity(scores: Floats, rejected: Floats, groups: Ints) -> float:
    ranks = np.full(len(scores), np.nan)
    known = np.isfinite(scores)
    for group in np.unique(groups):
        inside = known & (groups == group)
        ranks[inside] = _ranks(scores[inside])
    taken, left = ranks[known & (rejected == 1)], ranks[known & (rejected == 0)]
    return float(taken.mean() - left.mean()) if len(taken) and len(left) else float("nan")


def _ranks(scores: Floats) -> Floats:
    """Mid-ranks in [0, 1]."""
    ordered = np.sort(scores)
    below, upto = np.searchsorted(ordered, scores, "left"), np.searchsorted(ordered, scores, "right")
    return np.asarray((below + upto) / (2 * max(1, len(scores))))
