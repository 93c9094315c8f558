"""What a run would take: the real pipeline on simulated model servers, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from atts.engines.simulated import SimulatedEngine
from atts.engines.simulated.clock import run_virtually
from atts.engines.simulated.hardware import Machine
from atts.engines.simulated.server import Load, Server
from atts.engines.simulated.work import Steps, Work
from atts.errors import InputError
from atts.events import Event, TurnEnded
from atts.pipeline.order import Order, parse_order
from atts.pipeline.pool import Job, Pool, run_batch
from atts.pipeline.recipe import Recipe
from atts.pipeline.settings import ChainSettings, SlotSettings
from atts.pipeline.siblings import Siblings
from atts.pipeline.stages import Stages
from atts.pipeline.stop import VoteRule
from atts.pipeline.strategies import strategy_named
from atts.pipeline.strategies.base import Strategy
from atts.pipeline.vote import VoteStop
from atts.runs.summary import Tally
from atts.stats.calibrator import Calibrator
from atts.stats.calibrators import RateCalibrator, make_calibrator
from atts.stats.settings import DEFAULT_RATE, CalibratorSettings
from atts.store.journal import JournalWriter
from atts.types import Chain, Chunk, EngineInfo, Message, Role, Stage

_OPENING = r"\boxed{"


@dataclass(frozen=True)
class Plan:
    """A run that is thought of: the work, two machines, a method and its rate, and how much may happen at once.

    The work has the seed, and says how many turns a chain has. Where a method controls no rate, `rate` is how often the
    target is assumed to be called. Settings are those that the recorded chains were made with, the paper's, by default.

    `order` is that in which chains are opened (`atts.pipeline.order`). With `one_by_one` a problem begins only when all
    samples of the one before it have ended. With `one_queue` scoring and takeovers share the slots of the takeover, as
    both are the target's. Where shapes have answers, `vote_stop` ends a problem when its majority is decided; answers
    count as equal if their texts are.
    """

    work: Work
    draft: Machine
    target: Machine
    strategy: str = "atts"
    rate: float = DEFAULT_RATE
    slots: SlotSettings = field(default_factory=SlotSettings)
    settings: ChainSettings = field(default_factory=lambda: ChainSettings(on_reject="continue", last_chunk="accept"))
    order: str = "problems"
    one_by_one: bool = False
    one_queue: bool = False
    vote_stop: VoteStop = "off"

    def machines(self) -> dict[Role, Machine]:
        """Those that the method needs."""
        both = {Role.DRAFT: self.draft, Role.TARGET: self.target}
        return {role: both[role] for role in self.method.roles}

    @cached_property
    def method(self) -> Strategy:
        """The strategy, without limits of its own; raises `InputError` if there is none of that name."""
        return strategy_named(self.strategy).endless()

    @property
    def rated(self) -> bool:
        """Whether the rate makes a difference to what the method decides."""
        method = self.method
        return method.controlled or len(method.roles) > 1

    @property
    def continues(self) -> bool:
        """Whether a takeover is written after the chunk, rather than in its place."""
        return self.settings.on_reject == "continue"

    def own_work(self) -> Work:
        """The work as the method does it: as it is, or in steps."""
        method = self.method
        if method.planned_in == "turns":
            return self.work
        return Steps(self.work, min(map(self.settings.tokens, method.roles)), self.rate, continues=self.continues)

    def refuse_if_impossible(self) -> None:
        """Raise `InputError` if the plan cannot be simulated, or not as it is meant."""
        if self.method.together and self.slots.chains < self.work.samples:
            raise InputError(
                f"chains = {self.slots.chains}: strategy {self.strategy} keeps all samples of a problem open, "
                f"here {self.work.samples}"
            )
        if self.vote_stop != "off" and not self.work.answers:
            raise InputError(f"vote stop {self.vote_stop}: these shapes have no answers, so that nothing is voted on")


@dataclass(frozen=True)
class Outcome:
    """What a plan comes to: the summary that the run would have, and the load of each server."""

    plan: Plan
    summary: dict[str, Any]
    loads: dict[Role, Load]
    longest_chain: float
    """Seconds from the beginning to the end of the chain that took longest."""

    @property
    def makespan(self) -> float:
        """Seconds from the first request to the last one."""
        wall: float = self.summary["time"]["wall_s"]
        return wall

    @property
    def tokens_a_second(self) -> float:
        """Tokens kept over time."""
        kept: int = self.summary["tokens"]["kept"]
        return kept / (self.makespan or 1.0)  # all may fail in no time

    @property
    def gpu_hours(self) -> float:
        """Hours of all GPUs that are held for the run, busy or not."""
        return self.makespan * sum(machine.gpus for machine in self.plan.machines().values()) / 3600

    @property
    def intensity(self) -> float:
        """Asynchronous arithmetic intensity of the engines, T_c / (T_m + T_s) (arXiv 2509.15148).

        Seconds in which they compute, over all other seconds: moving memory, or idle because everybody waits.
        """
        machines = self.plan.machines()
        computing = sum(
            (load.read + load.written) * machines[role].token_s + load.pairs * machines[role].attention_s
            for role, load in self.loads.items()
        )
        other = self.makespan * len(self.loads) - computing
        return computing / other if other else 0.0

    def busy(self, role: Role) -> float | None:
        """The share of the time in which a server was at work; None where the method has none of that role."""
        load = self.loads.get(role)
        return None if load is None else load.busy / (self.makespan or 1.0)

    def peak_bytes(self, role: Role) -> float:
        """The most memory that keys and values of open requests took."""
        load = self.loads.get(role)
        return load.peak_tokens * self.plan.machines()[role].model.kv_bytes if load else 0.0


def simulate(plan: Plan, journal: Path | None = None) -> Outcome:
    """Run the plan on a virtual clock. With `journal`, what happens is written there as a run would write it.

    Raises `InputError` if the plan cannot be.
    """
    plan.refuse_if_impossible()
    if journal is None:
        return run_virtually(execute(plan))
    with closing(JournalWriter(journal)) as writer:
        return run_virtually(execute(plan, writer))


async def execute(plan: Plan, writer: JournalWriter | None = None) -> Outcome:
    """Run a plan that is possible on the clock of the running event loop."""
    simulation = _Simulation(plan, writer)
    await simulation.run()
    return simulation.outcome()


class _Simulation:
    """One plan under way: the same parts that a run has, on simulated servers."""

    def __init__(self, plan: Plan, writer: JournalWriter | None) -> None:
        self.plan = plan
        self.writer = writer
        self._strategy = plan.method
        self._work = plan.own_work()
        self._servers = {role: Server(machine) for role, machine in plan.machines().items()}
        self._engines = {
            role: SimulatedEngine(role, server, self._work, continues=plan.continues)
            for role, server in self._servers.items()
        }
        self._calibrator = _calibrator(plan, self._strategy, self._work)
        self._calibrator.plan(self._work.problems * self._work.samples)
        self._vote = VoteRule(self._work.samples, plan.vote_stop)
        self._tally = Tally([str(number) for number in range(self._work.problems)], self._vote)
        self._start = asyncio.get_running_loop().time()
        self._infos: dict[Role, EngineInfo] = {}
        self._longest = 0.0

    async def run(self) -> None:
        """Make all chains."""
        plan = self.plan
        # The work says when a chain is over, not a number of turns.
        settings = replace(plan.settings, turns=self._work.most_turns)
        recipe = Recipe(
            self._calibrator,
            lambda thinking: _boxed,
            settings,
            seed=self._work.seed,
            emit=self._emit,
            ended=self._ended,
        )
        stages = Stages(self._engines, plan.slots, self._clock)
        if plan.one_queue:
            stages.slots[Stage.SCORE] = stages.slots[Stage.TAKEOVER]
        self._infos = {role: await engine.info() for role, engine in self._engines.items()}
        numbers = range(self._work.problems)
        async with Pool(stages, plan.slots.chains) as pool:
            order = parse_order("problems" if self._strategy.needs_siblings else plan.order)
            for some in ([number] for number in numbers) if plan.one_by_one else [numbers]:
                await run_batch(pool, self._jobs(recipe, some, order))

    def outcome(self) -> Outcome:
        """The figures; call it when the run is over."""
        controlled = self._strategy.controlled
        summary = self._tally.summary(
            strategy=self.plan.strategy,
            data="simulated",
            wall=self._clock(),
            certificate=self._calibrator.certificate() if controlled else None,
            rate=self.plan.rate if controlled else None,
            engines=self._infos,
            warnings=(),
        )
        loads = {role: server.load for role, server in self._servers.items()}
        return Outcome(self.plan, summary, loads, self._longest)

    def _jobs(self, recipe: Recipe, numbers: Sequence[int], order: Order) -> Iterator[Job]:
        """The chains of these problems, in that order."""
        samples = self._work.samples
        shared = {number: Siblings(dict.fromkeys(range(samples), 0), self._vote.count()) for number in numbers}
        for place, sample, rank in order.places(len(numbers), samples):
            number = numbers[place]
            messages, siblings = [Message("user", str(number))], shared[number]
            yield Job(str(number), sample, messages, self._strategy, recipe, rank, siblings=siblings)

    def _clock(self) -> float:
        return asyncio.get_running_loop().time() - self._start

    def _emit(self, event: Event) -> None:
        if isinstance(event, TurnEnded):
            if self.writer is not None:
                self.writer.turn(event.turn)
            self._tally.turn(event.turn)

    def _ended(self, chain: Chain) -> None:
        if self.writer is not None:
            self.writer.chain(chain)
        self._calibrator.ended(chain.problem, chain.sample)
        self._longest = max(self._longest, chain.end - chain.start)
        self._tally.chain(chain, None)


class Recall(RateCalibrator):
    """Decides as the record did, whatever the score says, so that every schedule has the same work."""

    def __init__(self, settings: CalibratorSettings, work: Work) -> None:
        super().__init__(settings)
        self._work = work

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """0 where the target took over, 1 where it did not."""
        turn = self._work.shape(int(chunk.problem), chunk.sample).turns[chunk.turn]
        return 0.0 if turn.taken else 1.0

    def threshold(self, groups: object) -> float:
        """Between the two."""
        return 0.5


def _calibrator(plan: Plan, strategy: Strategy, work: Work) -> Calibrator:
    settings = CalibratorSettings(rate=plan.rate, samples=work.samples)
    if work.fixed:
        return Recall(settings, work)
    return make_calibrator(replace(settings, name=strategy.calibrator or settings.name))


def _boxed(text: str) -> str | None:
    """The answer of a simulated text, which is all that it says."""
    place = text.rfind(_OPENING)
    return None if place < 0 else text[place + len(_OPENING) : -1]
