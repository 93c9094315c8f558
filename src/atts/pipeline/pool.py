"""Many chains at once: taken at any time, opened in order, bounded in number, each cancelled by its handle."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from atts.engines.base import Engine
from atts.errors import AttsError, InputError, NoRoomError, RunError, first_leaf
from atts.events import ChainStarted, TurnEnded
from atts.pipeline.chain import ChainState
from atts.pipeline.context import Context, Prompt, render_prompt, share_vocabulary
from atts.pipeline.recipe import Recipe
from atts.pipeline.siblings import Siblings
from atts.pipeline.stages import Stages
from atts.pipeline.strategies.base import Strategy
from atts.types import Chain, Key, Message, Role, Status, Turn

PROMPTS = 4096
"""Rendered prompts that are kept: where samples of a problem are far apart, all problems are open for long."""


@dataclass(frozen=True, slots=True)
class Job:
    """A chain that is wanted: which sample of which problem, the chat that it answers, and how it is made.

    `order` is its place in every queue: lower ones are served first, equal ones as they come. `turns` are those that it
    has already, `siblings` what it shares with the other samples of its problem.
    """

    problem: str
    sample: int
    messages: Sequence[Message]
    strategy: Strategy
    recipe: Recipe
    order: float = 0
    turns: Sequence[Turn] = ()
    siblings: Siblings = field(default_factory=Siblings)

    @property
    def key(self) -> Key:
        """What tells this chain from every other that is open."""
        return self.problem, self.sample


class Handle:
    """A chain that was submitted. Awaited it gives the `Chain`, or None where `stop` or `aclose` left it unfinished.

    It raises what is not the chain's to bear but its caller's: `RunError` where a server stays down or a disk is full,
    `InputError` where the engines cannot do what was asked, whatever `ended` raises. The chain can be made later then.
    """

    def __init__(self, job: Job, revoke: Callable[[Handle], None]) -> None:
        self.job = job
        self._revoke = revoke
        self._revoked = ""  # why it was cancelled
        self._begun = False
        self._result: asyncio.Future[Chain | None] = asyncio.get_running_loop().create_future()

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to the chain."""
        return self._result.done()

    def cancel(self, reason: str) -> None:
        """End the chain now, or before it begins; it counts as cancelled. One that is done is left as it is."""
        if not (self.done or self._revoked):
            self._revoked = reason
            self._revoke(self)

    def __await__(self) -> Generator[Any, None, Chain | None]:
        # Shielded: whoever waits may be cancelled, the chain is not.
        return asyncio.shield(self._result).__await__()


class Pool:
    """Runs the chains of all who submit some, `width` at once, on the engines of its stages.

    It knows no settings: what a chain needs is its job's. What goes wrong in a chain ends that chain only, with status
    `error`. Memory is bounded by what is open and what waits. Left as a context, it is closed.
    """

    def __init__(self, stages: Stages, width: int) -> None:
        self.stages = stages
        self.stopping = False
        self._width = width
        self._queue: list[tuple[float, int, Handle]] = []
        self._arrivals = count()
        self._open: dict[Handle, asyncio.Task[None]] = {}
        self._rendering: set[asyncio.Task[Prompt]] = set()
        self._prompted: WeakKeyDictionary[Siblings, None] = WeakKeyDictionary()
        self._room = asyncio.Event()

    def submit(self, job: Job) -> Handle:
        """Take a job: its chain is opened as soon as fewer than `width` are, jobs of lower order first.

        After `stop` nothing is opened any more. Raises `InputError` if the strategy needs all samples of a problem open
        at once and they are more than may be. Such samples have to be submitted one after the other.
        """
        siblings = job.siblings
        if job.strategy.together and siblings.wanted > self._width:
            raise InputError(
                f"chains = {self._width}: strategy {job.strategy.name} keeps all samples of a problem open, "
                f"and {job.problem} has {siblings.wanted}"
            )
        handle = Handle(job, self._revoke)
        if self.stopping:
            handle._result.set_result(None)
        elif siblings.over:
            handle.cancel(siblings.over)
        else:
            heapq.heappush(self._queue, (job.order, next(self._arrivals), handle))
            self._admit()
        return handle

    async def room(self) -> None:
        """Return when a job would be opened at once, or the pool is stopped: who waits so never has a queue."""
        while not self.stopping and len(self._open) >= self._width:
            self._room.clear()
            await self._room.wait()

    def stop(self) -> None:
        """Begin nothing new: no chain, and no further turn of an open one. Turns under way are completed."""
        self.stopping = True
        for _, _, handle in self._queue:
            if not handle.done:
                handle._result.set_result(None)
        self._queue.clear()
        for handle in self._open:
            handle.job.siblings.barrier.stop()
        self._room.set()

    async def aclose(self) -> None:
        """Stop now: chains that are open are left as they are after their last complete turn."""
        self.stop()
        tasks = [*self._open.values(), *self._rendering]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for handle in list(self._open):  # those whose task had no time to begin
            self._close(handle)

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _admit(self) -> None:
        """Open what waits, as far as there is room."""
        while self._queue and len(self._open) < self._width:
            _, _, handle = heapq.heappop(self._queue)
            if not handle.done:
                self._open[handle] = asyncio.create_task(self._run(handle))
        if len(self._open) < self._width:
            self._room.set()

    def _revoke(self, handle: Handle) -> None:
        task = self._open.get(handle)
        if task is None:
            self._end(handle, None, Status.CANCELLED, handle._revoked)
            self._leave(handle)
        elif handle._begun:  # one that has not looks before it begins; cancelled, it could not clean up
            task.cancel()

    async def _run(self, handle: Handle) -> None:
        handle._begun = True
        try:
            chain, status, reason = await self._make(handle)
            if status is not None:
                self._end(handle, chain, status, reason)
        except Exception as error:
            _fail(handle, error)
        finally:
            self._close(handle)

    async def _make(self, handle: Handle) -> tuple[ChainState | None, Status | None, str]:
        """Make the chain. How it ended, and why; no status if it is left unfinished.

        Raises what its caller has to hear.
        """
        chain = None
        try:
            if not handle._revoked:
                chain = await self._open_chain(handle.job)
                await self._make_turns(handle, chain)
        except asyncio.CancelledError:
            if not handle._revoked:
                raise
        except NoRoomError as error:  # a prompt that does not fit says that the settings are wrong
            if chain is not None:
                chain.fill()
            if chain is None or not chain.finished:
                return chain, Status.ERROR, str(error)
        except Exception as error:
            if isinstance(first_leaf(error), RunError | InputError):
                raise
            return chain, Status.ERROR, _reason(error)
        if handle._revoked:
            return chain, Status.CANCELLED, handle._revoked
        finished = chain.finished if chain is not None else ""
        return chain, Status.DONE if finished else None, finished

    async def _open_chain(self, job: Job) -> ChainState:
        started = self.stages.clock()
        job.recipe.emit(ChainStarted(job.problem, job.sample, len(job.turns), started))
        engines = {role: self.stages.engines[role] for role in job.strategy.roles}
        shared = share_vocabulary([await engine.info() for engine in engines.values()])
        prompt = await self._prompt(job, engines)
        context = Context(engines, prompt.ids, shared)
        chain = ChainState(job.problem, job.sample, job.order, context, job.recipe, job.recipe.answer(prompt.thinking))
        chain.siblings, chain.barrier = job.siblings.chains, job.siblings.barrier
        chain.messages, chain.thinking = job.messages, prompt.thinking
        chain.started = _began(job.turns, started)
        await chain.restore(job.turns)
        job.siblings.chains[job.sample] = chain
        return chain

    async def _prompt(self, job: Job, engines: Mapping[Role, Engine]) -> Prompt:
        """The rendered prompt, once for all siblings."""
        siblings = job.siblings
        task = siblings.prompt
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = siblings.prompt = asyncio.create_task(render_prompt(engines, job.messages))
            self._rendering.add(task)
            task.add_done_callback(self._rendering.discard)
            self._keep_prompt(siblings)
        # Shielded: one cancelled sample must not take the prompt from its siblings.
        return await asyncio.shield(task)

    def _keep_prompt(self, siblings: Siblings) -> None:
        """Remember which problems have a prompt, and drop the oldest one: it is rendered again if it is asked for."""
        self._prompted[siblings] = None
        if len(self._prompted) > PROMPTS:
            oldest = next(iter(self._prompted.keys()))
            del self._prompted[oldest]
            oldest.prompt = None  # whoever waits for it has the task

    async def _make_turns(self, handle: Handle, chain: ChainState) -> None:
        job = handle.job
        while not (chain.finished or self.stopping or handle._revoked):
            turn = await job.strategy.turn(chain, self.stages)
            if turn is None:
                break
            chain.complete(turn)
            job.recipe.emit(TurnEnded(turn, self.stages.clock()))

    def _end(self, handle: Handle, chain: ChainState | None, status: Status, reason: str) -> None:
        """The chain has ended; tell its caller, and see what that means for its siblings."""
        job, now, answer = handle.job, self.stages.clock(), None
        try:
            answer = chain.answer() if chain else None
        except Exception as error:  # of an answer rule that somebody else wrote; what failed before has its reason
            if status is Status.DONE:
                status, reason = Status.ERROR, _reason(error)
        ended = Chain(
            problem=job.problem,
            sample=job.sample,
            status=status,
            reason=reason,
            turns=chain.turn if chain else len(job.turns),
            text=chain.standing if chain else "",
            answer=answer,
            start=chain.started if chain else now,
            end=now,
        )
        try:
            job.recipe.ended(ended)
        except Exception as error:
            _fail(handle, error)
            return
        handle._result.set_result(ended)
        before = job.siblings.over
        job.siblings.ended(ended)
        if job.siblings.over and not before:
            waiting = [waiter for _, _, waiter in self._queue]
            for other in [*self._open, *waiting]:
                if other.job.siblings is job.siblings:
                    other.cancel(job.siblings.over)
        if not job.siblings.wanted:
            job.recipe.calibrator.forget(job.problem)

    def _close(self, handle: Handle) -> None:
        """The chain is no longer open, whatever came of it."""
        del self._open[handle]
        if not handle.done:
            handle._result.set_result(None)
        self._leave(handle)
        for role in handle.job.strategy.roles:
            self.stages.engines[role].release(handle.job.key)
        self._admit()

    def _leave(self, handle: Handle) -> None:
        handle.job.siblings.leave(handle.job.sample)


async def run_batch(pool: Pool, jobs: Iterable[Job]) -> None:
    """Submit jobs as chains become free, in their order, until all have ended or the pool is stopped.

    The jobs are drawn one at a time, so a long batch is never there as a whole; those of one problem follow each other.
    Raises the first error that a handle raises: it ends the batch. What is open then is for the pool to close.
    """
    try:
        async with asyncio.TaskGroup() as waiting:
            for job in jobs:
                await pool.room()
                if pool.stopping:
                    break
                waiting.create_task(_ended(pool.submit(job)))
    except ExceptionGroup as errors:
        raise first_leaf(errors) from None


async def _ended(handle: Handle) -> None:
    # After the first error nobody waits for the others, which are no news: a full disk fails every chain.
    handle._result.add_done_callback(lambda result: result.cancelled() or result.exception())
    await handle


def _fail(handle: Handle, error: Exception) -> None:
    if not handle.done:
        handle._result.set_exception(first_leaf(error))


def _reason(error: Exception) -> str:
    """Why a chain failed: in the error's words if they are this package's, else only what it is and where.

    Foreign words may hold anything, a key for a server too.
    """
    leaf = first_leaf(error)
    if isinstance(leaf, AttsError):
        return str(leaf)
    trace, where = leaf.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        where = f" at {Path(code.co_filename).name}:{trace.tb_lineno} ({code.co_name})"
        trace = trace.tb_next
    return f"{type(leaf).__name__}{where}"


def _began(turns: Sequence[Turn], otherwise: float) -> float:
    """When a chain began: at the first stage of its first turn."""
    spans = [piece.span for piece in (turns[0].draft, turns[0].takeover) if piece] if turns else []
    return spans[0].ready if spans else otherwise
