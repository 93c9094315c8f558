"""Online ranks with feedback on the rates of groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from atts.stats.calibrators.online import Online
from atts.stats.conformal import BankBy
from atts.stats.control import GroupTrackers, QuestionEffects, question_step
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk


class Tracked(Online):
    """Online ranks, and feedback on the rate of the run, of its start, and (options) of each turn and each question.

    Guarantee: for any scores, any feedback and any order of arrival, the summed deviation of every group from the
    promise is exactly `-theta / eta` of its integrator, and without a hard budget at most `sqrt(c T / eta)` after T
    decisions, c about 0.5 (docs/guarantees.md). Needs: nothing, not even a calibration set. Price: thresholds move, so
    that two chunks with equal p-values may be decided differently, and selectivity is a little below a fixed rule's.

    Chunks of all turns are ranked together and no turn has a rate of its own, because turns differ in how often the
    draft errs. `by_turn=True` ranks within turns and holds the rate of each; the price is that takeovers are spent
    where nothing is wrong. `gain` scales the steps: 1 holds the rate over hundreds of decisions, 0.05 over thousands.

    With `scope="question"` a score is first relieved of its question's shrunk effect, times `strength`, so that
    takeovers spread over the questions; the price is selectivity between questions. There `by_turn` is the habit.
    """

    has = (*Online.has, "scope", "gain", "strength")

    STEPS: ClassVar[Mapping[str, float]] = {"all": 0.02, "turn": 0.05, "start": 0.05}
    START = 256  # decisions that form a group of their own, so that a cold start settles sooner

    def __init__(self, settings: CalibratorSettings) -> None:
        super().__init__(settings)
        kinds = [kind for kind in self.STEPS if kind != "turn" or _by_turn(settings)]
        steps = {kind: settings.gain * self.STEPS[kind] for kind in kinds}
        self.effects: QuestionEffects | None = None
        if settings.scope == "question":
            steps["question"] = settings.gain * question_step(settings.strength)
            self.effects = QuestionEffects(settings.strength)
        self.trackers = GroupTrackers(self.rate, steps)

    def bank_by(self, settings: CalibratorSettings) -> BankBy:
        """By turn where turns have a rate of their own."""
        return "turn" if _by_turn(settings) else "all"

    def groups(self, chunk: Chunk, index: int) -> tuple[str, ...]:
        """All, the turn, the first decisions of the run, and in question scope the question."""
        groups = super().groups(chunk, index)
        if index < self.START and "start" in self.STEPS:
            groups += ("start",)
        return groups if self.effects is None else (*groups, f"question:{chunk.problem}")

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """Smoothed p-value, in question scope of what the question's effect leaves of the score."""
        return super().p_value(chunk, self._relieved(chunk, score), u)

    def threshold(self, groups: Iterable[str]) -> float:
        """The rate, and what the groups of the chunk are behind of it."""
        return self.trackers.threshold(groups, self.tally)

    def bank(self, chunk: Chunk, score: float) -> None:
        """Bank what is ranked, then learn what the question does to its scores."""
        super().bank(chunk, self._relieved(chunk, score))
        if self.effects is not None:
            self.effects.add(chunk, score)

    def forget(self, problem: str) -> None:
        """Its effect is of no more use, and its integrator at rest."""
        super().forget(problem)
        if self.effects is not None:
            self.effects.forget(problem)
            self.tally.close(f"question:{problem}")

    def certificate(self) -> dict[str, dict[str, float]]:
        """Beside the rate of every group its integrator: `deviation` is `-theta / (eta n)`.

        `bound` is the most that the deviation can be for any stream; it is missing under a hard budget.
        """
        certificate = super().certificate()
        for group, entry in certificate.items():
            if step := self.trackers.step(group):
                entry |= {"theta": self.trackers.theta(group, self.tally), "eta": step}
                if self.budget is None:
                    most = self.trackers.most(step, certificate["all"]["n"])
                    entry["bound"] = min(1.0, most / entry["n"])
        return certificate

    def _relieved(self, chunk: Chunk, score: float) -> float:
        return score if self.effects is None else score - self.effects.shift(chunk)

    def _state(self) -> dict[str, Any]:
        effects = None if self.effects is None else self.effects.state()
        return {**super()._state(), "effects": effects}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        if self.effects is not None:
            self.effects.restore(state["effects"])


def _by_turn(settings: CalibratorSettings) -> bool:
    return settings.scope == "question" if settings.by_turn is None else settings.by_turn
