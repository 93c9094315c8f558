"""What is left of the budget, spread over what is left of the run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from atts.stats.calibrators.base import CalibrationScore, RateCalibrator
from atts.stats.conformal import TurnBanks, kept
from atts.stats.progress import Progress
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk, Decision


class Budgeted(RateCalibrator):
    """Ranks over all turns, and a threshold that spends what is left of the budget over what is left of the run.

    Before a decision, with k takeovers among t decisions, S = k - rate t and R decisions still to come:
    `E = max(10, E_before - 1, min(3/4 R, 300 + t/4))`, `threshold = rate - S / E`. E falls by at most 1 a decision, so
    a quarter of R is kept in hand for a run that turns out shorter than expected.

    Guarantee: `-(1 - rate) E - rate <= S <= rate E + 1 - rate` after every decision, for any scores, feedback and
    order, and however wrong R is (docs/guarantees.md); a run that ends when expected has E = 10. Needs: to be told how
    many chains there are (`plan`) and which have ended; where no end is known, use tracked. Price: no turn, question or
    window has a rate of its own, and hard stretches get what their scores ask for, up to `rate (300 + t/4)` takeovers.

    The p-value is that of a mixture of the turns: each weighs as the share of chains that reach it, so that early on
    the first turns, which come first, do not stand for all. `gain` divides 300 and 1/4.
    """

    has = (*RateCalibrator.has, "window", "gain")

    FLOOR, CREDIT, SHARE, REST = 10.0, 300.0, 0.25, 0.75

    def __init__(self, settings: CalibratorSettings) -> None:
        super().__init__(settings)
        self.banks = TurnBanks(settings.window)
        self._progress = Progress()
        self._last = 0.0  # E of the last decision
        self._coming: float | None = None  # E of the next one, once it is known
        self._lost = 0  # decisions that an interrupted run took and did not save

    def plan(self, chains: int) -> None:
        """The run has so many chains, ended ones included."""
        self._progress.plan(chains)
        self._coming = None

    def ended(self, problem: str, sample: int) -> None:
        """A chain takes no further decision."""
        self._progress.end(problem, sample)
        self._coming = None

    def horizon(self) -> float:
        """E of the next decision: what is left of the run, capped, and at most one less than the last one."""
        if self._coming is None:
            cap = (self.CREDIT + self.SHARE * self._next) / self.settings.gain
            self._coming = max(
                self.FLOOR, self._last - 1, min(self.REST * self._progress.to_come(cap / self.REST), cap)
            )
        return self._coming

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """Smoothed p-value in the mixture of the turns."""
        turns = max(min(chunk.turn, self.banks.LAST) + 1, len(self.banks))
        return self.banks.p_value(chunk.turn, score, u, self._progress.shares(turns, self.banks.LAST))

    def threshold(self, groups: Iterable[str]) -> float:
        """What is left of the budget over what is left of the run."""
        return self.rate - self.tally.excess("all", self.rate) / self.horizon()

    def replay(self, decision: Decision) -> None:
        """Learn from a decision; a gap before it was decided on, and had its part in later thresholds, but is lost."""
        self._lost += max(0, decision.index - self._next)
        super().replay(decision)

    def learn(self, decision: Decision) -> None:
        """Bank the score and count the decision; its horizon is the one that it was taken with."""
        self._last = self.horizon() if decision.horizon is None else decision.horizon
        if decision.score is not None:
            self.banks.add(decision.chunk.turn, decision.score)
        self._progress.decided(decision.chunk)
        self._coming = None

    def warm(self, scores: Iterable[CalibrationScore]) -> None:
        """Bank scores recorded before the run."""
        for score in scores:
            self.banks.add(score.turn, kept(score.score))
            self._progress.recorded(score.turn)

    def certificate(self) -> dict[str, dict[str, float]]:
        """Beside the rate of the run its horizon E, and by how much its deviation can be above and below at most.

        The lower bound is missing under a hard budget, which may refuse what the threshold asks for.
        """
        certificate = super().certificate()
        if (entry := certificate.get("all")) is not None:
            rate, lost = self.rate, self._lost * max(self.rate, 1 - self.rate)
            entry |= {"horizon": self._last, "most_above": (rate * self._last + 1 - rate + lost) / entry["n"]}
            if self.budget is None:
                entry["most_below"] = ((1 - rate) * self._last + rate + lost) / entry["n"]
                entry["bound"] = min(1.0, max(entry["most_above"], entry["most_below"]))
        return certificate

    def _state(self) -> dict[str, Any]:
        return {
            "banks": self.banks.state(),
            "progress": self._progress.state(),
            "horizon": self._last,
            "lost": self._lost,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.banks.restore(state["banks"])
        self._progress.restore(state["progress"])
        self._last, self._lost = state["horizon"], state["lost"]
        self._coming = None
