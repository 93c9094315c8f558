"""What calibrators share: the order of the steps, the tally, the caps, the state, and the banks of those that rank.

A calibrator is a way to a p-value, a threshold to compare it with, and possibly a hard budget on top; each file
beside this one chooses the first two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

from atts.errors import InputError
from atts.options import declared
from atts.stats.conformal import MINIMUM, BankBy, MondrianBanks, kept, smoothed_p_value, usable
from atts.stats.control import HardBudget, Tally
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk, Decision


class CalibrationScore(NamedTuple):
    """One score recorded before the run."""

    problem: str
    turn: int
    score: float
    short: bool = False


class RateCalibrator:
    """What all calibrators share: the order of the steps, the tally, the caps, and the state.

    A chunk is taken over iff the threshold is positive and `p_value <= threshold`. A chunk without a usable score
    counts as the strangest possible one: it is taken over iff the threshold is positive, that is, if the budget allows;
    it is never ranked and never banked. (A coin looks at no score, and tosses for that chunk too.) At rate 0 nothing is
    taken over, at rate 1 everything (hard budgets aside).

    Annotated fields of a subclass that have a default are options of its own, with their types and checks; an object
    has their values as attributes.
    """

    has: ClassVar[tuple[str, ...]] = ("hard_budget",)
    """The names of the options that it shares with others, which are declared in `CalibratorOptions`."""

    promises: ClassVar[bool] = True
    """Whether it holds `rate`; otherwise the rate is whatever comes out."""

    def __init__(self, settings: CalibratorSettings) -> None:
        self.settings = settings
        self.name = settings.name
        self.rate = settings.rate
        self.tally = Tally()
        self.budget: HardBudget | None = None
        if settings.hard_budget:
            self.budget = HardBudget(settings.rate, settings.samples, slack=settings.slack)
        self._next = 0
        for key, value in vars(declared(type(self))(**settings.own)).items():
            setattr(self, key, value)

    @classmethod
    def check(cls, settings: CalibratorSettings, calibrated: bool) -> None:
        """Raise InputError if it cannot be made without what is missing; `calibrated`: there are recorded scores."""

    def decide(self, chunk: Chunk, score: float | None, u: float) -> Decision:
        """Decide on a chunk and learn from the decision; see `Calibrator.decide`."""
        known = kept(score) if usable(score) else None
        p_value, threshold = self._judge(chunk, known, u)
        wanted = _strange(p_value, threshold)
        rejected = wanted and (self.budget is None or self.budget.allows(chunk))
        capped = wanted and not rejected
        decision = Decision(self._next, chunk, known, p_value, threshold, rejected, capped, self.horizon())
        self.replay(decision)
        return decision

    def accepts(self, chunk: Chunk, score: float | None, u: float) -> bool:
        """Whether the p-value of this score is above the threshold of now; see `Calibrator.accepts`."""
        return not _strange(*self._judge(chunk, kept(score) if usable(score) else None, u))

    def announce(self, chunk: Chunk, score: float | None) -> None:
        """Hear of a score that is decided on later; only calibrators that rank in rounds make use of it."""

    def plan(self, chains: int) -> None:
        """Hear how many chains the run has; only calibrators with a horizon make use of it."""

    def ended(self, problem: str, sample: int) -> None:
        """Hear that a chain is over; only calibrators with a horizon make use of it."""

    def horizon(self) -> float | None:
        """E of the next decision, in decisions: none, unless the calibrator has a horizon."""
        return None

    def replay(self, decision: Decision) -> None:
        """Learn from a decision, just taken or taken in an earlier session."""
        self._next = decision.index + 1
        self.tally.add(self.groups(decision.chunk, decision.index), decision.rejected)
        if self.budget is not None:
            self.budget.count(decision.chunk, decision.rejected)
        self.learn(decision)

    def groups(self, chunk: Chunk, index: int) -> tuple[str, ...]:
        """The groups whose rate is counted (and fed back, where they are tracked) for decision `index`."""
        return ("all", f"turn:{chunk.turn}")

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """How strange a usable score is: small p, strange chunk."""
        raise NotImplementedError

    def unscored(self, u: float) -> float | None:
        """The p-value of a chunk without a usable score: none, unless the calibrator never looks at scores."""
        return None

    def threshold(self, groups: Iterable[str]) -> float:
        """What the p-value is compared with."""
        return self.rate

    def learn(self, decision: Decision) -> None:
        """Update what `p_value` and `threshold` lean on."""

    def warm(self, scores: Iterable[CalibrationScore]) -> None:
        """Bank scores recorded before the run."""

    def forget(self, problem: str) -> None:
        """Let go of what only decisions on this problem lean on; see `Calibrator.forget`."""
        if self.budget is not None:
            self.budget.forget(problem)

    def certificate(self) -> dict[str, dict[str, float]]:
        """By group: `n`, `taken_over`, `deviation` of the rate from the promise."""
        return self.tally.certificate(self.rate)

    def state(self) -> dict[str, Any]:
        """Everything that later decisions depend on, as plain data (JSON)."""
        budget = None if self.budget is None else self.budget.state()
        return {"name": self.name, "next": self._next, "tally": self.tally.state(), "budget": budget, **self._state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state. Raises InputError if it is another calibrator's."""
        if state["name"] != self.name or (state["budget"] is None) != (self.budget is None):
            raise InputError(f"the saved state is of calibrator {state['name']}, not of {self.name} as configured")
        self._next = state["next"]
        self.tally.restore(state["tally"])
        if self.budget is not None:
            self.budget.restore(state["budget"])
        self._restore(state)

    def _judge(self, chunk: Chunk, score: float | None, u: float) -> tuple[float | None, float]:
        p_value = self.unscored(u) if score is None else self.p_value(chunk, score, u)
        return p_value, self.threshold(self.groups(chunk, self._next))

    def _state(self) -> dict[str, Any]:
        return {}

    def _restore(self, state: dict[str, Any]) -> None:
        pass


def _strange(p_value: float | None, threshold: float) -> bool:
    """Whether the target is to take the chunk over, budgets aside; without a p-value there is nothing stranger."""
    return threshold > 0 and (p_value is None or p_value <= threshold)


class BankedCalibrator(RateCalibrator):
    """What the calibrators with score banks share: the bank, the p-value in it, and its state."""

    has = (*RateCalibrator.has, "by_turn", "window")
    minimum = MINIMUM

    def __init__(self, settings: CalibratorSettings) -> None:
        super().__init__(settings)
        self.banks = MondrianBanks(self.bank_by(settings), settings.window, self.minimum)

    def bank_by(self, settings: CalibratorSettings) -> BankBy:
        """The category that a chunk is ranked in."""
        return "all" if settings.by_turn is False else "turn"

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """Smoothed p-value among the banked scores of the chunk's category."""
        return smoothed_p_value(self.banks.bank(chunk), score, u)

    def bank(self, chunk: Chunk, score: float) -> None:
        """Keep a usable score."""
        self.banks.add(chunk, score)

    def warm(self, scores: Iterable[CalibrationScore]) -> None:
        """Bank scores recorded before the run."""
        for problem, turn, score, short in scores:
            self.bank(Chunk(problem, 0, turn, short), score)

    def _state(self) -> dict[str, Any]:
        return {"banks": self.banks.state()}

    def _restore(self, state: dict[str, Any]) -> None:
        self.banks.restore(state["banks"])
