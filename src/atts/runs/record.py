"""What a run has come to: its figures, its rate control and its drift alarm, from the journal and then from events.

The one way to a summary: a run keeps its record up while it goes on, and a folder that is read back makes a new one
from its journal.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atts import problems as datasets
from atts.config.run import RunConfig
from atts.pipeline.strategies import STRATEGIES
from atts.runs.answered import Answered
from atts.runs.summary import Tally
from atts.stats.calibrator import Calibrator
from atts.stats.drift import DriftAlarm
from atts.store.journal import Journal
from atts.types import Chain, Decision, EngineInfo, Key, Problem, Role, Turn


class Record:
    """The record of one run. `vote` maps answers that mean the same to the same text, `answered` counts them.

    `calibrator` is told of the run's size, and of the journal's decisions and chains, here; of new ones, who makes them
    tells it.
    """

    def __init__(
        self,
        config: RunConfig,
        problems: Sequence[Problem],
        calibrator: Calibrator,
        vote: Callable[[str], str],
        answered: Answered,
    ) -> None:
        self._config = config
        self._calibrator = calibrator
        self._answered = answered
        self._alarm = DriftAlarm(config.seed, config.samples)
        self.warnings: list[str] = []
        self.earlier: list[tuple[Chain, bool | None]] = []
        """The chains that earlier sessions ended, with their verdicts."""
        self.loading = 0.0
        """Seconds in which engines were made ready, of all sessions."""
        calibrator.plan(config.samples * len(problems))
        names = [problem.id for problem in problems]
        self._tally = Tally(names, config.vote_rule(vote))

    def take_up(
        self,
        journal: Journal,
        sessions: Sequence[Mapping[str, Any]],
        verdict: Callable[[Chain], bool | None],
    ) -> None:
        """Count all that earlier sessions did, in which nobody waited for what came later. May block: it grades."""
        for session in by_session(journal.turns, sessions):
            for turn in session:
                self._tally.turn(turn)
            self._tally.pause()
        decisions = [turn.decision for turns in journal.turns.values() for turn in turns if turn.decision is not None]
        for decision in sorted(decisions, key=lambda decision: decision.index):
            self._calibrator.replay(decision)
            self._alarm.observe(decision.chunk, decision.score)
        for chain in journal.chains.values():
            self._calibrator.ended(chain.problem, chain.sample)
            correct = verdict(chain)
            self.chain(chain, correct)
            self.earlier.append((chain, correct))
        self.loading = sum(loading_seconds(session) for session in sessions)
        ended = Counter(problem for problem, _ in journal.chains)
        for problem, chains in ended.items():
            if chains == self._config.samples:
                self._calibrator.forget(problem)

    def turn(self, turn: Turn) -> None:
        """A turn has ended."""
        self._tally.turn(turn)

    def chain(self, chain: Chain, correct: bool | None) -> None:
        """A chain has ended; `correct` is None where nothing could be graded."""
        self._tally.chain(chain, correct)
        self._answered.chain(chain)

    @property
    def unanswered(self) -> list[str]:
        """What to tell a person of chains without an answer."""
        return list(self._answered.warnings())

    def decided(self, decision: Decision) -> bool:
        """A decision was taken: does the drift alarm ring? It hears decisions when they are taken, not when their
        turns end: which of them ends later depends on the score."""
        return self._alarm.observe(decision.chunk, decision.score)

    @property
    def drifted(self) -> str:
        """What to tell a person of the drift alarm; empty while it has not rung."""
        at = self._alarm.alarmed_at
        return "" if at is None else f"the scores of new problems have drifted (alarm after {at} problems)"

    @property
    def promised(self) -> float | None:
        """The rate that is promised; None where the method takes no decisions, or its calibrator promises nothing."""
        config = self._config
        return config.rate if STRATEGIES[config.strategy].controlled and self._calibrator.promises else None

    def agrees_with(self, summary: Mapping[str, Any]) -> bool:
        """Whether an earlier summary counts the same chains in the same way."""
        return self._tally.agrees_with(summary)

    def loaded(self, seconds: float) -> None:
        """A session's models have loaded, or its servers were reached and looked at, in so many seconds."""
        self.loading += seconds

    def summary(self, wall: float, engines: Mapping[Role, EngineInfo]) -> dict[str, Any]:
        """The figures of all that was counted: what `summary.json` holds. `wall` is in seconds."""
        config = self._config
        controlled = STRATEGIES[config.strategy].controlled
        figures = self._tally.summary(
            strategy=config.strategy,
            data=datasets.label(config.problems, split=config.split, subset=config.subset),
            wall=wall,
            loading=min(wall, self.loading),
            certificate=self._calibrator.certificate() if controlled else None,
            rate=self.promised,
            engines=engines,
            warnings=self.warnings,
        )
        return figures | {"answers": self._answered.figures()}


def loading_seconds(session: Mapping[str, Any]) -> float:
    """How long a session's models took to load, if its line in `sessions.jsonl` says so."""
    seconds = session.get("loading_s")
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < math.inf else 0.0


def by_session(turns: Mapping[Key, list[Turn]], sessions: Sequence[Mapping[str, Any]]) -> list[list[Turn]]:
    """The turns that began in each session of the run, those of a chain in their order."""
    resumed = [session.get("time", 0.0) for session in sessions[1:]]
    found: list[list[Turn]] = [[] for _ in range(len(resumed) + 1)]
    for chain in turns.values():
        for turn in chain:
            began = min((piece.span.ready for piece in turn.written), default=0.0)
            found[bisect_right(resumed, began)].append(turn)
    return found
