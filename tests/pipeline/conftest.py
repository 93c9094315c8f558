"""A pool on scripted engines, with everything that happens in it written down."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from atts.engines.scripted import ScriptedEngine
from atts.events import Event, StageEnded, StageQueued, StageStarted, TurnEnded
from atts.grading.extract import extractor
from atts.pipeline.pool import Handle, Job, Pool, run_batch
from atts.pipeline.recipe import Recipe
from atts.pipeline.settings import ChainSettings, SlotSettings
from atts.pipeline.siblings import Siblings
from atts.pipeline.stages import Stages
from atts.pipeline.stop import VoteRule
from atts.pipeline.strategies import strategy_named
from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.types import Chain, Key, Message, Role, Turn


class Bench:
    """A pool with its engines; `chains`, `turns` and `events` hold what came out."""

    def __init__(
        self,
        draft: ScriptedEngine | None = None,
        target: ScriptedEngine | None = None,
        *,
        strategy: str = "atts",
        options: Mapping[str, Any] | None = None,
        calibrator: str = "tracked",
        settings: ChainSettings | None = None,
        slots: SlotSettings | None = None,
        rate: float = 0.3,
        seed: int = 0,
        answer: str = "boxed",
    ) -> None:
        self.draft = draft or ScriptedEngine()
        self.target = target or ScriptedEngine()
        self.chains: list[Chain] = []
        self.turns: list[Turn] = []
        self.events: list[Event] = []
        self._awaited: tuple[Callable[[], object], asyncio.Event] | None = None
        slots = slots or SlotSettings(chains=16, draft=8, score=4, takeover=3)
        self.calibrator = make_calibrator(CalibratorSettings(name=calibrator, rate=rate))
        engines = {Role.DRAFT: self.draft, Role.TARGET: self.target}
        self.stages = Stages(engines, slots, asyncio.get_running_loop().time)
        self.pool = Watched(self.stages, slots.chains)
        self.strategy = strategy_named(strategy, options)
        self.recipe = Recipe(
            self.calibrator,
            lambda thinking: extractor(answer, thinking=thinking),
            settings or ChainSettings(stop=("\n\n",), on_reject="replace"),
            seed=seed,
            emit=self._emit,
            ended=self.chains.append,
        )

    async def run(self, wanted: Iterable[Wanted], vote: VoteRule | None = None) -> None:
        """All of it as one batch; chains of one problem that follow each other are siblings."""
        async with self.pool:
            await run_batch(self.pool, self.jobs(wanted, vote))

    def jobs(self, wanted: Iterable[Wanted], vote: VoteRule | None = None) -> Iterator[Job]:
        """A job for each chain."""
        for _, own in groupby(wanted, key=lambda one: one.problem):
            samples = list(own)
            siblings = Siblings({one.sample: len(one.turns) for one in samples}, vote and vote.count())
            for one in samples:
                yield self.job(*one, siblings=siblings)

    def job(self, problem: str, sample: int = 0, order: int = 0, turns: Sequence[Turn] = (), **changes: Any) -> Job:
        """A job as this bench makes them, with changes."""
        messages = [Message("user", f"question {order}")]
        changes = {"strategy": self.strategy, "recipe": self.recipe} | changes
        return Job(problem, sample, messages, order=order, turns=turns, **changes)

    def cancel(self, problem: str, sample: int, reason: str) -> None:
        """Cancel a chain, if it has been submitted; otherwise as soon as it is."""
        if (handle := self.pool.handles.get((problem, sample))) is not None:
            handle.cancel(reason)
        else:
            self.pool.refused[problem, sample] = reason

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, TurnEnded):
            self.turns.append(event.turn)
        if self._awaited is not None and self._awaited[0]():
            self._awaited[1].set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Return as soon as something happens with which the condition holds, however slow the machine is."""
        happened = asyncio.Event()
        self._awaited = condition, happened
        async with asyncio.timeout(120):
            await happened.wait()

    def at_rest(self) -> bool:
        """No slot held, nobody waiting, no request open, and every stage that was queued has ended."""
        slots = all((s.held, s.waiting) == (0, 0) for s in self.stages.slots.values())
        stages = Counter(type(event) for event in self.events)
        ended = stages[StageEnded] == stages[StageQueued] >= stages[StageStarted]
        return slots and ended and self.draft.in_flight == self.target.in_flight == 0


class Wanted(NamedTuple):
    """A chain that a test wants, and the turns that it has already."""

    problem: str
    sample: int
    order: int
    turns: Sequence[Turn]

    @property
    def key(self) -> Key:
        return self.problem, self.sample


def jobs(problems: int, samples: int, turns: Mapping[Key, list[Turn]] | None = None) -> Sequence[Wanted]:
    """Every sample of problems p0, p1, …"""
    return [Wanted(f"p{p}", s, p, (turns or {}).get((f"p{p}", s), [])) for p in range(problems) for s in range(samples)]


class Watched(Pool):
    """A pool that remembers its handles by chain, and cancels those at once that are refused."""

    def __init__(self, stages: Stages, width: int) -> None:
        super().__init__(stages, width)
        self.handles: dict[Key, Handle] = {}
        self.refused: dict[Key, str] = {}

    def submit(self, job: Job) -> Handle:
        handle = self.handles[job.key] = super().submit(job)
        if job.key in self.refused:
            handle.cancel(self.refused[job.key])
        return handle
