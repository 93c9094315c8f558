"""Rate control: tallies by group, trackers that feed them back, hard budgets, and the certificate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, exp, floor, log, sqrt
from typing import Any

from atts.types import Chunk

HEADROOM = 1.05  # what the bucket of a hard budget gains a decision, in units of the rate
BURST = 8  # takeovers that it holds when full

_UNIT = 1 << 40  # a takeover, in the integer units of the bucket: integers make its bound exact


class Tally:
    """Decisions and takeovers by group. A group is "all", a turn ("turn:3"), a question ("question:id"), …."""

    KEPT = 100_000
    """Closed groups that are told apart: the latest ones. Earlier ones are counted together, as "closed"."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._closed: dict[str, None] = {}  # in the order in which they were closed

    def add(self, groups: Iterable[str], rejected: bool) -> None:
        """Count one decision in each of its groups."""
        for group in groups:
            count = self._counts.get(group)
            if count is None:
                count = self._counts[group] = [0, 0]
            count[0] += 1
            count[1] += rejected

    def close(self, group: str) -> None:
        """No decision of this group is to come."""
        if group in self._counts:
            self._closed[group] = None
        if len(self._closed) > self.KEPT:
            oldest = next(iter(self._closed))
            del self._closed[oldest]
            count = self._counts.setdefault("closed", [0, 0])
            for place, number in enumerate(self._counts.pop(oldest)):
                count[place] += number

    def excess(self, group: str, rate: float) -> float:
        """The sum of `rejected - rate` over the group's decisions; 0 for a group that has none."""
        count = self._counts.get(group)
        return count[1] - rate * count[0] if count else 0.0

    def certificate(self, rate: float) -> dict[str, dict[str, float]]:
        """By group: `n`, `taken_over`, and `deviation` of the realised rate from `rate`."""
        return {
            group: {"n": n, "taken_over": taken, "deviation": (taken - rate * n) / n}
            for group, (n, taken) in self._counts.items()
        }

    def state(self) -> dict[str, list[int]]:
        """The counts `[decisions, takeovers]` by group."""
        return {group: list(count) for group, count in self._counts.items()}

    def restore(self, state: Mapping[str, Sequence[int]]) -> None:
        """Go on from saved counts."""
        self._counts = {group: list(count) for group, count in state.items()}


class GroupTrackers:
    """Group-conditional adaptive conformal inference on p-values: one integrator a group.

    `threshold = rate + sum of theta_g over the decision's groups`, and after a decision
    `theta_g += eta_g (rate - rejected)`, never clipped (Gibbs & Candès 2021; groups: Ramalingam, Kiyani & Roth 2025).
    Summed up, `theta_g = -eta_g * (sum of rejected - rate over g)` for any sequence and any feedback. So theta is
    not stored: it is computed from the tally, and no rounding error can build up between the two.
    """

    def __init__(self, rate: float, steps: Mapping[str, float]) -> None:
        self.rate = rate
        self.steps = dict(steps)  # eta by kind of group: "all", "turn", …

    def step(self, group: str) -> float:
        """Eta of a group, 0 if its kind is not tracked."""
        return self.steps.get(group.partition(":")[0], 0.0)

    def theta(self, group: str, tally: Tally) -> float:
        """The state of a group's integrator."""
        return -self.step(group) * tally.excess(group, self.rate)

    def most(self, step: float, decisions: float) -> float:
        """The most by which takeovers can be off `rate` times decisions in a group of that step, after so many
        decisions in all (docs/guarantees.md): `sqrt(c T / eta)`; with one group alone a constant.
        """
        rate, high = self.rate, max(self.rate, 1 - self.rate)
        if len(self.steps) == 1:
            return max(rate + step * (1 - rate), 1 - rate + step * rate) / step
        return sqrt((2 * rate * (1 - rate) + sum(self.steps.values()) * high**2) * decisions / step)

    def threshold(self, groups: Iterable[str], tally: Tally) -> float:
        """What a p-value of a chunk in these groups is compared with; may lie outside [0, 1]."""
        return self.rate + sum(self.theta(group, tally) for group in groups)


class QuestionEffects:
    """What a question adds to its scores, estimated as the stream goes and shrunk towards nothing.

    `shift = strength * S / (n + kappa)` with S the sum and n the number of the question's past deviations from the
    running mean of their turn (short last chunks: of their kind). With one past score half of its deviation counts,
    with many nearly all of it.
    """

    KAPPA = 1.0

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength
        self._means: dict[str, tuple[int, float]] = {}  # kind of chunk -> number of scores, sum
        self._questions: dict[str, tuple[int, float]] = {}  # problem -> number of deviations, sum

    def shift(self, chunk: Chunk) -> float:
        """What to take off the score of a chunk of this question; 0 for a new question."""
        n, deviation = self._questions.get(chunk.problem, (0, 0.0))
        return self.strength * deviation / (n + self.KAPPA)

    def forget(self, problem: str) -> None:
        """No score of this question is to come."""
        self._questions.pop(problem, None)

    def add(self, chunk: Chunk, score: float) -> None:
        """Learn from a finite score."""
        kind = "short" if chunk.short else str(chunk.turn)
        n, total = self._means.get(kind, (0, 0.0))
        n, total = n + 1, total + score
        self._means[kind] = (n, total)
        seen, deviation = self._questions.get(chunk.problem, (0, 0.0))
        self._questions[chunk.problem] = (seen + 1, deviation + score - total / n)

    def state(self) -> dict[str, Any]:
        """Sums and counts, as plain data."""
        return {
            "means": {kind: list(entry) for kind, entry in self._means.items()},
            "questions": {problem: list(entry) for problem, entry in self._questions.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._means = {kind: (n, total) for kind, (n, total) in state["means"].items()}
        self._questions = {problem: (n, total) for problem, (n, total) in state["questions"].items()}


def question_step(strength: float) -> float:
    """Eta of the question trackers: the line through (1, 0.03) and (0.5, 0.01), the two pairs that were measured."""
    return max(0.0, 0.04 * strength - 0.01)


class HardBudget:
    """Caps that no stream can break: a leaky bucket over all decisions, and K takeovers a question and turn.

    The bucket holds at most `burst` takeovers, gains `rate * headroom` a decision and loses one a takeover. Before
    any n consecutive decisions it holds at most `burst` and in them it gains at most `n * rate * headroom`, so they
    contain at most `rate * headroom * n + burst` takeovers, whatever the scores are. The contents are integers
    (2**-40 of a takeover, the gain rounded down), so the bound is exact and not one up to rounding.
    """

    def __init__(
        self, rate: float, samples: int, *, headroom: float = HEADROOM, burst: int = BURST, slack: int = 1
    ) -> None:
        self.round_limit = round_limit(rate, samples, slack)
        self._gain = floor(min(1.0, rate * headroom) * _UNIT)
        self._burst = burst * _UNIT
        self._level = self._burst
        self._rounds: dict[str, dict[int, int]] = {}  # problem -> turn -> takeovers

    def allows(self, chunk: Chunk) -> bool:
        """Whether a takeover of this chunk keeps both caps."""
        return self._filled() >= _UNIT and self._taken(chunk) < self.round_limit

    def count(self, chunk: Chunk, rejected: bool) -> None:
        """Count a decision."""
        self._level = self._filled() - _UNIT * rejected
        if rejected:
            self._rounds.setdefault(chunk.problem, {})[chunk.turn] = self._taken(chunk) + 1

    def forget(self, problem: str) -> None:
        """No chunk of this problem is to come."""
        self._rounds.pop(problem, None)

    def state(self) -> dict[str, Any]:
        """The bucket's level and the takeovers of each round, as plain data."""
        rounds = [[problem, [list(pair) for pair in turns.items()]] for problem, turns in self._rounds.items()]
        return {"level": self._level, "rounds": rounds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._level = state["level"]
        self._rounds = {problem: dict(turns) for problem, turns in state["rounds"]}

    def _taken(self, chunk: Chunk) -> int:
        """Takeovers so far among the samples of the question at this turn."""
        return self._rounds.get(chunk.problem, {}).get(chunk.turn, 0)

    def _filled(self) -> int:
        return min(self._burst, self._level + self._gain)


def round_limit(rate: float, samples: int, slack: int = 1) -> int:
    """K, the most takeovers among the samples of a question at one turn: the budget `rate * samples` rounded up, and
    `slack` more; at most `samples`, and 0 at rate 0.
    """
    budget = ceil(rate * samples - 1e-9)  # 0.1 * 30 is 3, not 4
    return min(samples, budget + slack) if rate > 0 else 0


class ExpertMixture:
    """DtACI: adaptive conformal inference with eight step sizes, mixed by exponential weights.

    Gibbs & Candès, Conformal inference for online prediction with arbitrary distribution shifts (JMLR 2024),
    algorithm 2, with its settings for an interval of 500 decisions. The threshold is the weighted mean of the experts'.
    """

    GAMMAS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128)
    INTERVAL = 500

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._thresholds = [rate] * len(self.GAMMAS)
        self._weights = [1.0 / len(self.GAMMAS)] * len(self.GAMMAS)
        self._sharing = 1.0 / (2 * self.INTERVAL)
        # At rate 0 and 1 nothing can be learned, and the paper's step would be infinite.
        spread = (1 - rate) ** 2 * rate**3 + rate**2 * (1 - rate) ** 3
        experts = len(self.GAMMAS)
        scale = log(experts * self.INTERVAL) + 2
        self._temperature = sqrt(3 / self.INTERVAL * scale / spread) if spread > 0 else 0.0

    def threshold(self) -> float:
        """The experts' thresholds, averaged with their weights."""
        return sum(w * t for w, t in zip(self._weights, self._thresholds, strict=True))

    def update(self, p_value: float) -> None:
        """Score every expert on a p-value (pinball loss at `rate`) and let each adapt to what it would have done."""
        weights = [
            weight * exp(-self._temperature * self._loss(p_value - threshold))
            for weight, threshold in zip(self._weights, self._thresholds, strict=True)
        ]
        total = sum(weights)
        share = self._sharing / len(weights)
        self._weights = [(1 - self._sharing) * weight / total + share for weight in weights]
        self._thresholds = [
            threshold + gamma * (self.rate - (p_value <= threshold))
            for gamma, threshold in zip(self.GAMMAS, self._thresholds, strict=True)
        ]

    def state(self) -> dict[str, list[float]]:
        """Thresholds and weights of the experts."""
        return {"thresholds": list(self._thresholds), "weights": list(self._weights)}

    def restore(self, state: Mapping[str, Sequence[float]]) -> None:
        """Go on from a saved state."""
        self._thresholds, self._weights = list(state["thresholds"]), list(state["weights"])

    def _loss(self, gap: float) -> float:
        return self.rate * gap - min(0.0, gap)


def max_turn_deviation(certificate: Mapping[str, Mapping[str, float]], minimum: int = 100) -> float | None:
    """The largest deviation from the promised rate, in absolute value, among turns with `minimum` decisions or more.

    If no turn has as many, the most visited turns count. None if there is no turn at all.
    """
    turns = [entry for group, entry in certificate.items() if group.startswith("turn:")]
    if not turns:
        return None
    enough = min(minimum, max(entry["n"] for entry in turns))
    return max(abs(entry["deviation"]) for entry in turns if entry["n"] >= enough)
