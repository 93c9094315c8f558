"""The chains of a run on a pool: drawn in their order, graded as they end, and no more of them than the vote needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from atts.errors import first_leaf
from atts.events import ChainEnded, Sink, Warned
from atts.pipeline.order import parse_order
from atts.pipeline.pool import Job, Pool, run_batch
from atts.pipeline.recipe import Recipe
from atts.pipeline.siblings import Siblings
from atts.pipeline.stages import Stages
from atts.runs.setup import Setup
from atts.store.journal import Journal
from atts.types import Chain, Problem


class Chains:
    """Makes the chains of a setup that its journal does not have. `write` takes each chain the moment that it ends."""

    def __init__(self, setup: Setup, clock: Callable[[], float], emit: Sink, write: Callable[[Chain], None]) -> None:
        config = setup.config
        self._setup = setup
        self._clock = clock
        self._emit = emit
        self._write = write
        self._vote = config.vote_rule(setup.grader.key)
        self._grading = asyncio.TaskGroup()
        self._recipe = Recipe(
            setup.calibrator, setup.answer, config.chain_settings(), seed=config.seed, emit=emit, ended=self._ended
        )
        self._pool = Pool(Stages(setup.engines, config.slot_settings(), clock), config.chains)

    async def run(self, journal: Journal) -> None:
        """Run until all have ended, or `stop` was called. Raises `RunError` where the disk or a server fails for good:
        no chain of a run can do without.
        """
        try:
            async with self._grading, self._pool as pool:
                await run_batch(pool, self._jobs(journal))
        except ExceptionGroup as errors:
            raise first_leaf(errors) from None

    def stop(self) -> None:
        """Begin nothing new; turns under way are completed."""
        self._pool.stop()

    def _jobs(self, journal: Journal) -> Iterator[Job]:
        """The chains that have not ended, in the order of the run."""
        setup, samples = self._setup, self._setup.config.samples
        shared: dict[int, Siblings] = {}  # of problems some of whose samples are still to be drawn
        for number, sample, rank in parse_order(setup.config.order).places(len(setup.problems), samples):
            problem = setup.problems[number]
            if number not in shared:
                shared[number] = self._siblings(problem, journal)
            siblings = shared[number] if sample < samples - 1 else shared.pop(number)
            if (key := (problem.id, sample)) not in journal.chains:
                messages, made = setup.prompt.messages(problem), journal.turns.get(key, [])
                yield Job(problem.id, sample, messages, setup.strategy, self._recipe, rank, made, siblings)

    def _siblings(self, problem: Problem, journal: Journal) -> Siblings:
        """What the samples of a problem that have not ended share."""
        keys = {sample: (problem.id, sample) for sample in range(self._setup.config.samples)}
        turns = {sample: len(journal.turns.get(key, [])) for sample, key in keys.items() if key not in journal.chains}
        vote = self._vote.count(journal.chains[key] for key in keys.values() if key in journal.chains)
        return Siblings(turns, vote, vote.over)

    def _ended(self, chain: Chain) -> None:
        self._setup.calibrator.ended(chain.problem, chain.sample)
        self._write(chain)  # at once; grading may take its time, and can be done again
        self._grading.create_task(self._grade(chain))

    async def _grade(self, chain: Chain) -> None:
        correct = await asyncio.to_thread(self._setup.grade, chain)
        if complaint := self._setup.grader.complaint():
            self._emit(Warned(complaint, self._clock()))
        self._emit(ChainEnded(chain, correct, self._clock()))
