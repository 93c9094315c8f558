"""A pool on scripted engines, with everything that happens in it written down."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atts.engines.scripted import ScriptedEngine
from atts.events import Event, StageEnded, StageQueued, StageStarted, TurnEnded
from atts.grading.extract import extractor
from atts.pipeline.pool import Job, Pool
from atts.pipeline.settings import ChainSettings, SlotSettings
from atts.pipeline.stages import Stages
from atts.pipeline.strategies import strategy_named
from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.types import Chain, Message, Role, Turn


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
        clock = asyncio.get_running_loop().time
        settings = settings or ChainSettings(stop=("\n\n",), on_reject="replace")
        self.stages = Stages(engines, settings, slots, self.calibrator, seed, clock, self._emit)
        self.pool = Pool(
            engines,
            strategy_named(strategy, options),
            self.stages,
            slots.chains,
            lambda thinking: extractor(answer, thinking=thinking),
            clock,
            self._emit,
            self.chains.append,
        )

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


def jobs(problems: int, samples: int, turns: dict[tuple[str, int], list[Turn]] | None = None) -> Sequence[Job]:
    """Every sample of problems p0, p1, …"""
    return [
        Job(f"p{p}", s, p, [Message("user", f"question {p}")], (turns or {}).get((f"p{p}", s), []))
        for p in range(problems)
        for s in range(samples)
    ]
