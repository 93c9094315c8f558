"""The chains of a run on a pool: drawn in their order, graded as they end, and no more of them than the vote needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from atts.errors import RunError
from atts.events import ChainEnded, Sink, Warned
from atts.pipeline.pool import Job, Pool
from atts.pipeline.stages import Stages
from atts.pipeline.vote import Vote
from atts.runs.setup import Setup
from atts.store.journal import Journal
from atts.types import Chain, Key, Status

VOTE_DECIDED = "the vote is decided"
"""Why chains are cancelled whose votes no longer count."""


class Chains:
    """Makes the chains of a setup that its journal does not have. `write` takes each chain the moment that it ends."""

    def __init__(self, setup: Setup, clock: Callable[[], float], emit: Sink, write: Callable[[Chain], None]) -> None:
        config = setup.config
        self._setup = setup
        self._clock = clock
        self._emit = emit
        self._write = write
        self._vote = Vote(config.samples, config.vote_stop, config.vote_error)
        self._grading = asyncio.TaskGroup()
        stages = Stages(
            setup.engines,
            config.chain_settings(),
            config.slot_settings(),
            setup.calibrator,
            config.seed,
            clock,
            emit,
        )
        self._pool = Pool(setup.engines, setup.strategy, stages, config.chains, setup.answer, clock, emit, self._ended)

    async def run(self, journal: Journal) -> None:
        """Run until all have ended, or `stop` was called. Raises `RunError` where the disk or both servers fail."""
        for earlier in journal.chains.values():
            self._count_vote(earlier)
        try:
            async with self._grading:
                await self._pool.run(self._jobs(journal))
        except* RunError as group:
            raise _first_leaf(group) from None

    def stop(self) -> None:
        """Begin nothing new; turns under way are completed."""
        self._pool.stop()

    def _jobs(self, journal: Journal) -> Iterator[Job]:
        for order, problem in enumerate(self._setup.problems):
            messages = self._setup.prompt.messages(problem)
            for sample in range(self._setup.config.samples):
                key: Key = (problem.id, sample)
                if key not in journal.chains:
                    yield Job(problem.id, sample, order, messages, journal.turns.get(key, []))

    def _ended(self, chain: Chain) -> None:
        self._write(chain)  # at once; grading may take its time, and can be done again
        self._grading.create_task(self._grade(chain))
        self._count_vote(chain)

    async def _grade(self, chain: Chain) -> None:
        correct = await asyncio.to_thread(self._setup.grade, chain)
        if complaint := self._setup.grader.complaint():
            self._emit(Warned(complaint, self._clock()))
        self._emit(ChainEnded(chain, correct, self._clock()))

    def _count_vote(self, chain: Chain) -> None:
        """Count the vote of a chain that has ended; once its problem is decided, the other samples are cancelled."""
        if chain.status is not Status.DONE:
            return
        answer = None if chain.answer is None else self._setup.grader.key(chain.answer)
        if self._vote.add(chain.problem, answer):
            for sample in range(self._setup.config.samples):
                if sample != chain.sample:
                    self._pool.cancel(chain.problem, sample, VOTE_DECIDED)


def _first_leaf(group: BaseExceptionGroup[RunError]) -> RunError:
    first = group.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first
