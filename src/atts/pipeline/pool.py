"""Many chains at once: opened in order, bounded in number, stopped or cancelled from outside. No barrier anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from atts.engines.base import Engine
from atts.errors import EngineError, InputError, NoRoomError
from atts.events import ChainStarted, Sink, TurnEnded
from atts.pipeline.chain import FULL, AnswerRules, ChainState
from atts.pipeline.context import Context, Prompt, render_prompt, share_vocabulary
from atts.pipeline.group import Group
from atts.pipeline.stages import Stages
from atts.pipeline.strategies.base import Strategy
from atts.types import Chain, Key, Message, Role, Status, Turn


@dataclass(frozen=True, slots=True)
class Job:
    """A chain that is wanted: a prompt, which sample of it, its place in the order, and the turns it has already."""

    problem: str
    sample: int
    order: int
    messages: Sequence[Message]
    turns: list[Turn] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """What tells this chain from every other."""
        return self.problem, self.sample


class Pool:
    """Runs chains with one strategy on one set of stages.

    `ended` is called once for every chain that ends, whatever way; a chain that `stop` leaves unfinished does not end.
    """

    def __init__(
        self,
        engines: Mapping[Role, Engine],
        strategy: Strategy,
        stages: Stages,
        width: int,
        answer: AnswerRules,
        clock: Callable[[], float],
        emit: Sink,
        ended: Callable[[Chain], None],
    ) -> None:
        self._engines = {role: engines[role] for role in strategy.roles}
        self._strategy = strategy
        self._stages = stages
        self._width = width
        self._open = asyncio.Semaphore(width)
        self._answer = answer
        self._clock = clock
        self._emit = emit
        self._ended = ended
        self._stopping = False
        self._revoked: dict[Key, str] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._groups: dict[Key, Group] = {}
        self._prompts = _Prompts(self._engines)
        self._shared = False

    async def run(self, jobs: Iterable[Job]) -> None:
        """Run the jobs until all have ended or `stop` was called; jobs are drawn as chains become free.

        Jobs of one problem must follow each other. Raises `InputError` if the strategy needs all of them open at once
        and they are more than may be.
        """
        self._shared = share_vocabulary([await engine.info() for engine in self._engines.values()])
        try:
            async with asyncio.TaskGroup() as group:
                for job in self._gathered(jobs):
                    await self._open.acquire()
                    if self._stopping:
                        break
                    group.create_task(self._run(job))
        except* InputError as errors:
            raise errors.exceptions[0] from None
        finally:
            await self._prompts.close()

    def stop(self) -> None:
        """Begin nothing new: no chain, and no further turn of an open one. Turns under way are completed."""
        self._stopping = True
        for group in set(self._groups.values()):
            group.stop()

    def cancel(self, problem: str, sample: int, reason: str) -> None:
        """End one chain now, or before it begins; it counts as cancelled. One that has ended is left as it is."""
        self._revoked[problem, sample] = reason
        self._leave((problem, sample))
        if (task := self._running.get((problem, sample))) is not None:
            task.cancel()

    def _gathered(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs, those of one problem in a group."""
        for problem, siblings in groupby(jobs, key=lambda job: job.problem):
            drawn = list(siblings)
            if self._strategy.together and len(drawn) > self._width:
                raise InputError(
                    f"chains = {self._width}: strategy {self._strategy.name} keeps all samples of a problem open, "
                    f"and {problem} has {len(drawn)}"
                )
            group = Group({job.sample: len(job.turns) for job in drawn if job.key not in self._revoked})
            self._groups.update({job.key: group for job in drawn})
            yield from drawn

    def _leave(self, key: Key) -> None:
        if (group := self._groups.pop(key, None)) is not None:
            group.leave(key[1])

    async def _run(self, job: Job) -> None:
        chain = None
        # From here on `cancel` reaches the task itself; a task that never ran could not clean up behind itself.
        if (task := asyncio.current_task()) is not None:
            self._running[job.key] = task
        try:
            if job.key not in self._revoked:
                chain = await self._open_chain(job)
                await self._make(chain)
            if job.key in self._revoked:
                self._end(job, chain, Status.CANCELLED, self._revoked[job.key])
            elif chain is not None and chain.finished:
                self._end(job, chain, Status.DONE, chain.finished)
        except asyncio.CancelledError:
            if job.key not in self._revoked:
                raise
            self._end(job, chain, Status.CANCELLED, self._revoked[job.key])
        except NoRoomError as error:
            # As one that has used up its turns; but a prompt that does not fit says that the settings are wrong.
            full = chain is not None and chain.turn > 0
            self._end(job, chain, Status.DONE if full else Status.ERROR, FULL if full else str(error))
        except EngineError as error:
            self._end(job, chain, Status.ERROR, str(error))
        finally:
            self._running.pop(job.key, None)
            self._leave(job.key)
            for engine in self._engines.values():
                engine.release(job.key)
            self._open.release()

    async def _open_chain(self, job: Job) -> ChainState:
        group = self._groups[job.key]
        started = self._clock()
        self._emit(ChainStarted(job.problem, job.sample, len(job.turns), started))
        prompt = await self._prompts.of(job)
        context = Context(self._engines, prompt.ids, self._shared)
        answer = self._answer(prompt.thinking)
        chain = ChainState(job.problem, job.sample, job.order, context, self._stages.settings, answer)
        chain.group = group
        chain.messages, chain.thinking = job.messages, prompt.thinking
        chain.started = _began(job.turns, started)
        await chain.restore(job.turns)
        group.chains[job.sample] = chain
        return chain

    async def _make(self, chain: ChainState) -> None:
        while not (chain.finished or self._stopping or chain.key in self._revoked):
            turn = await self._strategy.turn(chain, self._stages)
            if turn is None:
                break
            chain.complete(turn)
            self._emit(TurnEnded(turn, self._clock()))

    def _end(self, job: Job, chain: ChainState | None, status: Status, reason: str) -> None:
        now = self._clock()
        self._ended(
            Chain(
                problem=job.problem,
                sample=job.sample,
                status=status,
                reason=reason,
                turns=chain.turn if chain else len(job.turns),
                text=chain.standing if chain else "",
                answer=chain.answer() if chain else None,
                start=chain.started if chain else now,
                end=now,
            )
        )


class _Prompts:
    """Rendered prompts; the samples of a problem share one rendering."""

    _KEPT = 256

    def __init__(self, engines: Mapping[Role, Engine]) -> None:
        self._engines = engines
        self._tasks: dict[str, asyncio.Task[Prompt]] = {}

    async def of(self, job: Job) -> Prompt:
        task = self._tasks.get(job.problem)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(render_prompt(self._engines, job.messages))
            self._tasks[job.problem] = task
            if len(self._tasks) > self._KEPT:
                self._forget_oldest()
        # Shielded: one cancelled sample must not take the prompt from its siblings.
        return await asyncio.shield(task)

    def _forget_oldest(self) -> None:
        """Forget the oldest prompt that is rendered; one that is not has somebody waiting, and `close` ends it."""
        rendered = next((problem for problem, task in self._tasks.items() if task.done()), None)
        if rendered is not None:
            del self._tasks[rendered]

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()


def _began(turns: Sequence[Turn], otherwise: float) -> float:
    """When a chain began: at the first stage of its first turn."""
    spans = [piece.span for piece in (turns[0].draft, turns[0].takeover) if piece] if turns else []
    return spans[0].ready if spans else otherwise
