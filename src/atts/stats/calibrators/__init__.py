"""Calibrators: how a score becomes a decision, by name.

Every calibrator is a way to a p-value, a threshold to compare it with, and possibly a hard budget on top. What they
share stands in `RateCalibrator`; each class below chooses the first two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from atts.errors import InputError
from atts.seeds import uniform
from atts.stats.calibrator import Calibrator
from atts.stats.conformal import MINIMUM, BankBy, MondrianBanks, reference_p_value, smoothed_p_value, usable
from atts.stats.control import ExpertMixture, GroupTrackers, HardBudget, QuestionEffects, Tally, question_step
from atts.stats.settings import CalibratorSettings, Compat, Scope, resolve_rate
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
    """

    def __init__(self, settings: CalibratorSettings) -> None:
        self.settings = settings
        self.name = settings.name
        self.rate = settings.rate
        self.tally = Tally()
        self.budget: HardBudget | None = None
        if settings.hard_budget:
            self.budget = HardBudget(settings.rate, settings.samples, slack=settings.slack)
        self._next = 0

    def decide(self, chunk: Chunk, score: float | None, u: float) -> Decision:
        """Decide on a chunk and learn from the decision; see `Calibrator.decide`."""
        known = score if usable(score) else None
        p_value, threshold = self._judge(chunk, known, u)
        wanted = _strange(p_value, threshold)
        rejected = wanted and (self.budget is None or self.budget.allows(chunk))
        decision = Decision(self._next, chunk, known, p_value, threshold, rejected, capped=wanted and not rejected)
        self.replay(decision)
        return decision

    def accepts(self, chunk: Chunk, score: float | None, u: float) -> bool:
        """Whether the p-value of this score is above the threshold of now; see `Calibrator.accepts`."""
        return not _strange(*self._judge(chunk, score if usable(score) else None, u))

    def announce(self, chunk: Chunk, score: float | None) -> None:
        """Hear of a score that is decided on later; only calibrators that rank in rounds make use of it."""

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


class Coin(RateCalibrator):
    """Bernoulli(rate), blind to the score: the control that every other calibrator is to be read beside.

    Guarantee: every chunk, scored or not, is taken over with probability `rate`, independently of all others, whatever
    the stream does.
    Needs: nothing. Price: takeovers are spent at random (selectivity 0), and the realised rate has binomial noise.
    """

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """The draw itself, which is uniform."""
        return u

    def unscored(self, u: float) -> float:
        """The draw as well: a chunk that could not be scored is like any other."""
        return u


class Ranked(RateCalibrator):
    """Rank among the samples of the same problem at the same turn, once all are known: strategy lockstep's own.

    Guarantee: of n scored samples exactly rate · n are taken over, the strangest ones; a fraction is rounded up or down
    by a number derived from problem and turn, so that it is right on average. Needs: every score of the round before
    its first decision (`announce`), that is, a barrier. Price: the time that everyone waits for the slowest.
    """

    def __init__(self, settings: CalibratorSettings) -> None:
        super().__init__(settings)
        self._rounds: dict[tuple[str, int], dict[int, float]] = {}

    def announce(self, chunk: Chunk, score: float | None) -> None:
        """Rank the score with the others of its round."""
        if score is not None and usable(score):
            self._rounds.setdefault((chunk.problem, chunk.turn), {})[chunk.sample] = score

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """(rank − v) / n: the strangest of n samples has rank 1, equal scores rank by sample, v is the round's own."""
        self.announce(chunk, score)
        scores = self._rounds[chunk.problem, chunk.turn]
        rank = sum((other, -sample) >= (score, -chunk.sample) for sample, other in scores.items())
        return (rank - uniform(0, chunk.problem, chunk.turn, "round")) / len(scores)

    def learn(self, decision: Decision) -> None:
        """Know the score, so that a resumed round is ranked as a whole."""
        self.announce(decision.chunk, decision.score)

    def _state(self) -> dict[str, Any]:
        rounds = sorted(self._rounds.items())
        return {"rounds": [[*key, [list(pair) for pair in sorted(scores.items())]] for key, scores in rounds]}

    def _restore(self, state: dict[str, Any]) -> None:
        self._rounds = {(problem, turn): dict(scores) for problem, turn, scores in state["rounds"]}


class BankedCalibrator(RateCalibrator):
    """What the calibrators with score banks share: the bank, the p-value in it, and its state."""

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


class Static(BankedCalibrator):
    """Rank against a fixed calibration set, as the paper does; by question with `scope="question"`.

    Guarantee: a chunk exchangeable with the calibration scores is taken over with probability `rate` exactly. Needs:
    a calibration file, and that exchangeability, which chunks after turn 0 and other questions do not have. Price:
    nothing corrects the rate: calibrated on first chunks at 0.40, recorded runs realise 0.30 at turn 1 and 0.61 at
    turn 14. With `compat="reference"` the p-value is the reference's, which is not even valid in small sets.
    A question without calibration scores is ranked among all of them.
    """

    minimum = 1  # what was recorded for a question is used, however little it is

    def bank_by(self, settings: CalibratorSettings) -> BankBy:
        """By question in question scope, by turn if asked for, otherwise all scores together."""
        if settings.scope == "question":
            return "question"
        return "turn" if settings.by_turn else "all"

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """Smoothed, or the reference's, among the calibration scores."""
        if self.settings.compat == "reference":
            return reference_p_value(self.banks.bank(chunk), score)
        return super().p_value(chunk, score, u)


class Online(BankedCalibrator):
    """Rank against every score so far, of the same turn (or of all turns), with a fixed threshold.

    Guarantee: over scores exchangeable within a category, a chunk is taken over with probability `rate` exactly, ties
    included. Needs: that exchangeability, which fails past turn 0, because a decision changes what comes later and
    who arrives when; no calibration set. Price: under drift and feedback the rate is off and nothing brings it back;
    `window` forgets old scores, and makes p-values coarser.
    """

    def learn(self, decision: Decision) -> None:
        """Bank the score."""
        if decision.score is not None:
            self.bank(decision.chunk, decision.score)


class Tracked(Online):
    """Online ranks, and feedback on the rate of the run, of its start, of each turn and (option) of each question.

    Guarantee: for any scores, any feedback and any order of arrival, the summed deviation of every group from the
    promise is exactly `-theta / eta` of its integrator, and without a hard budget at most `sqrt(c T / eta)` after T
    decisions, c about 0.5 (docs/guarantees.md). Needs: nothing, not even a calibration set. Price: thresholds move, so
    that two chunks with equal p-values may be decided differently, and selectivity is a little below a fixed rule's.

    With `by_turn=False` chunks of all turns are ranked together and no turn has a rate of its own: right where turns
    differ in how often the draft errs; the price is that turns get what their scores ask for. `gain` scales the steps:
    1 holds the rate over hundreds of decisions, 0.05 over thousands, so that a run of hard questions is not starved.

    With `scope="question"` a score is first relieved of its question's shrunk effect, times `strength`, so that
    takeovers spread over the questions; the price is selectivity between questions.
    """

    STEPS: Mapping[str, float] = {"all": 0.02, "turn": 0.05, "start": 0.05}
    START = 256  # decisions that form a group of their own, so that a cold start settles sooner

    def __init__(self, settings: CalibratorSettings) -> None:
        super().__init__(settings)
        kinds = [kind for kind in self.STEPS if kind != "turn" or settings.by_turn is not False]
        steps = {kind: settings.gain * self.STEPS[kind] for kind in kinds}
        self.effects: QuestionEffects | None = None
        if settings.scope == "question":
            steps["question"] = settings.gain * question_step(settings.strength)
            self.effects = QuestionEffects(settings.strength)
        self.trackers = GroupTrackers(self.rate, steps)

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

    def certificate(self) -> dict[str, dict[str, float]]:
        """Beside the rate of every group its integrator: `deviation` is `-theta / (eta n)`."""
        certificate = super().certificate()
        for group, entry in certificate.items():
            if step := self.trackers.step(group):
                entry |= {"theta": self.trackers.theta(group, self.tally), "eta": step}
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


class ACI(Tracked):
    """Adaptive conformal inference (Gibbs & Candès 2021): one integrator, one bank. A baseline.

    Guarantee: after T decisions of any sequence the rate is within
    `max(rate + eta (1 - rate), 1 - rate + eta rate) / (eta T)` of the promise. Needs: nothing. Price: it holds for
    the whole run only: turns and questions drift as they like.
    """

    STEPS: Mapping[str, float] = {"all": 0.03}

    def bank_by(self, settings: CalibratorSettings) -> BankBy:
        """All turns together unless asked otherwise."""
        return "turn" if settings.by_turn else "all"


class DtACI(Online):
    """Adaptive conformal inference with a mixture of step sizes (Gibbs & Candès 2024). A baseline.

    Guarantee: on every stretch of 500 decisions the pinball loss of its thresholds is close to that of the best
    threshold in hindsight. Needs: nothing, and no step size to choose. Price: no identity: the realised rate is close
    to the promise, not tied to it, and only for the whole run.
    """

    def __init__(self, settings: CalibratorSettings) -> None:
        super().__init__(settings)
        self.experts = ExpertMixture(self.rate)

    def bank_by(self, settings: CalibratorSettings) -> BankBy:
        """All turns together unless asked otherwise."""
        return "turn" if settings.by_turn else "all"

    def threshold(self, groups: Iterable[str]) -> float:
        """The weighted mean of the experts' thresholds."""
        return self.experts.threshold()

    def learn(self, decision: Decision) -> None:
        """Bank the score and let the experts adapt; an unscored chunk is the strangest possible one, p = 0."""
        super().learn(decision)
        self.experts.update(0.0 if decision.p_value is None else decision.p_value)

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "experts": self.experts.state()}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self.experts.restore(state["experts"])


CALIBRATORS: Mapping[str, type[RateCalibrator]] = {
    "tracked": Tracked,
    "online": Online,
    "static": Static,
    "aci": ACI,
    "dtaci": DtACI,
    "coin": Coin,
    "ranked": Ranked,
}


OWN_OPTIONS: Mapping[str, tuple[str, ...]] = {"scope": ("tracked", "static"), "compat": ("static",)}
"""Options that only some calibrators have, and which those are."""


def describe(name: str) -> str:
    """The first line of a calibrator's description."""
    return (CALIBRATORS[name].__doc__ or "").partition("\n")[0]


def make_calibrator(settings: CalibratorSettings, calibration: Sequence[CalibrationScore] = ()) -> Calibrator:
    """A calibrator from its settings, its banks warmed with `calibration`. Raises InputError on contradictions."""
    validate(settings, bool(calibration))
    calibrator = CALIBRATORS[settings.name](settings)
    calibrator.warm(calibration)
    return calibrator


def resolve_settings(
    *,
    calibrator: str = "tracked",
    takeover_rate: float | None = None,
    budget: float | None = None,
    alpha: float | None = None,
    scope: Scope = "run",
    samples: int = 16,
    hard_budget: bool = False,
    calibrated: bool = False,
    by_turn: bool | None = None,
    window: int | None = None,
    strength: float = 1.0,
    gain: float = 1.0,
    compat: Compat = "none",
) -> CalibratorSettings:
    """The settings that a run asks for, in the run file's own words; `calibrated` if it names a calibration file.

    Raises InputError, in one line, if they contradict each other.
    """
    rate = resolve_rate(samples, takeover_rate=takeover_rate, budget=budget, alpha=alpha)
    settings = CalibratorSettings(
        name=calibrator,
        rate=rate,
        scope=scope,
        samples=samples,
        hard_budget=hard_budget,
        by_turn=by_turn,
        window=window,
        strength=strength,
        gain=gain,
        compat=compat,
    )
    validate(settings, calibrated)
    return settings


def validate(settings: CalibratorSettings, calibrated: bool) -> None:
    """Raise InputError if the settings contradict each other; `calibrated` if there are recorded scores."""
    if settings.name not in CALIBRATORS:
        raise InputError(f"there is no calibrator {settings.name!r}: choose one of {', '.join(CALIBRATORS)}")
    if not 0 <= settings.rate <= 1:
        raise InputError(f"takeover_rate = {settings.rate:g} is outside [0, 1]")
    if settings.samples < 1:
        raise InputError(f"samples = {settings.samples} is less than 1")
    if settings.window is not None and settings.window < 1:
        raise InputError(f"window = {settings.window} is less than 1: leave it out to keep every score")
    if not 0 < settings.gain <= 10:
        raise InputError(f"gain = {settings.gain:g} is outside (0, 10]: 1 is usual, less corrects more slowly")
    if not 0 <= settings.strength <= 1:
        raise InputError(f"strength = {settings.strength:g} is outside [0, 1]")
    if settings.scope == "question" and settings.name not in OWN_OPTIONS["scope"]:
        raise InputError(f"calibrator {settings.name} has no question scope: use tracked or static, or scope = run")
    if settings.compat != "none" and settings.name not in OWN_OPTIONS["compat"]:
        raise InputError(f"compat = {settings.compat} belongs to calibrator static, not to {settings.name}")
    if settings.name == "static" and not calibrated:
        raise InputError("calibrator static needs recorded scores: give a calibration file (atts calibrate writes one)")
