"""Continuous batching as SGLang and vLLM do it, in simulated time: what a model server's scheduler does with requests.

Between two events (a sequence ends, a request comes that there is room for) every step is like the one before, so time
advances from event to event, not from token to token.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from atts.engines.simulated.hardware import Machine
from atts.engines.simulated.prefix_cache import PROMPT, Owner, PrefixCache
from atts.errors import EngineError

_ROUNDING = 1e-6  # steps: an arrival at the very end of a step is there when the next one begins


@dataclass(slots=True, eq=False)
class Request:
    """So many tokens to read (`context`), of which the first `prompt` are the problem's, and so many to write.

    `token` tells the context's token at a place; `end` is the last token when all is written, less the `passing` last
    tokens, which nobody will send again. `cached` comes out: how many tokens of the context the server had.
    """

    key: Owner
    prompt: int
    context: int
    base: int
    write: int
    token: Callable[[int], int]
    end: int
    passing: int = 0
    cached: int = 0
    left: int = 0  # to read still
    read: int = 0  # context and what was written before it was preempted
    until: int = -1  # the step after which it is through
    gone: bool = False
    done: asyncio.Future[None] | None = None


@dataclass(slots=True)
class Load:
    """What a server has done: seconds at work, steps, tokens read (not from the cache) and written, and its peaks.

    `held_tokens` sums, over all steps, the tokens in the cache that were read.
    """

    busy: float = 0.0
    steps: int = 0
    read: int = 0
    written: int = 0
    pairs: float = 0.0
    held_tokens: float = 0.0
    preempted: int = 0
    peak_tokens: int = 0
    peak_batch: int = 0


@dataclass(slots=True)
class _Stretch:
    """Steps under way: since when, how many, and with what in them."""

    start: float
    steps: int
    parts: list[tuple[Request, int]] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


class Server:
    """Requests in order of arrival, as many at once as batch limit and cache allow; prefills mixed in by chunks.

    Where running sequences outgrow the cache, the one that came last is preempted and read again later.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.load = Load()
        self.cache = PrefixCache()
        self._waiting: deque[Request] = deque()
        self._reading: deque[Request] = deque()
        self._writing: dict[Request, None] = {}  # in order of admission
        self._ends: list[tuple[int, int, Request]] = []
        self._admitted = 0
        self._step = 0
        self._held = 0  # tokens in the cache of sequences that write
        self._reserved = 0  # and of those that are being read
        self._stretch: _Stretch | None = None
        self._kicked = False
        self._unwanted: list[Request] = []

    @property
    def open(self) -> int:
        """Requests that are here."""
        return len(self._waiting) + len(self._reading) + len(self._writing)

    async def serve(self, request: Request) -> None:
        """Read and write what is asked. Raises `EngineError` if it can never fit."""
        if request.context + request.write > self.machine.capacity:
            raise EngineError(
                f"{self.machine.name}: {request.context + request.write} tokens do not fit into the cache "
                f"({self.machine.capacity})"
            )
        loop = asyncio.get_running_loop()
        request.done = loop.create_future()
        request.left = request.read = request.context
        self._waiting.append(request)
        if self._stretch is None and not self._kicked:
            self._kicked = True
            loop.call_soon(self._begin)  # so that what comes at the same moment is there too
        elif len(self._waiting) == 1 and self._fits(request):
            self._cut_short()
        try:
            await request.done
        except asyncio.CancelledError:
            self._leave(request)
            raise

    def _begin(self) -> None:
        self._kicked = False
        self._clear()
        self._preempt()
        self._admit()
        load, machine = self.load, self.machine
        load.peak_batch = max(load.peak_batch, len(self._writing) + len(self._reading))
        loop = asyncio.get_running_loop()
        batch, held = len(self._writing), self._held
        if self._reading:
            parts = self._share_step(machine.serving.step_tokens - batch)
            places = [(count, request.read - request.left) for request, count in parts]
            load.pairs += sum(count * (before + count / 2) for count, before in places)
            load.held_tokens += sum(before for _, before in places)
            self._stretch = _Stretch(loop.time(), 1, parts)
            seconds = machine.prefill(batch, held, places)
        elif batch:
            steps = max(1, min(self._ends[0][0] - self._step, (machine.capacity - held) // batch))
            self._stretch = _Stretch(loop.time(), steps)
            seconds = machine.decode(batch, held, steps)
        else:
            return
        self._stretch.timer = loop.call_at(self._stretch.start + seconds, self._end)

    def _end(self) -> None:
        """The steps under way are over."""
        stretch = self._stretch
        assert stretch is not None
        self._stretch = None
        load, batch, steps = self.load, len(self._writing), stretch.steps
        load.busy += asyncio.get_running_loop().time() - stretch.start
        load.steps += steps
        load.written += steps * batch
        load.held_tokens += steps * self._held + batch * steps * (steps - 1) / 2
        self._step += steps
        self._held += steps * batch
        load.peak_tokens = max(load.peak_tokens, self._held + self._reserved)
        while self._ends and self._ends[0][0] <= self._step:
            until, _, request = heapq.heappop(self._ends)
            if request in self._writing and request.until == until:
                del self._writing[request]
                self._held -= request.context + request.write
                self._finish(request)
        for request, count in stretch.parts:
            load.read += count
            request.left -= count
            if request.left == 0:
                self._has_read(request)
        self._begin()

    def _has_read(self, request: Request) -> None:
        """The prefill is through, and has given the first new token, if one was wanted."""
        self._reading.remove(request)
        self._reserved -= request.read
        remaining = request.context + request.write - request.read
        if request.write == 0 or remaining <= 1 or request.gone:
            self.load.written += min(request.write, 1)
            self._finish(request)
            return
        self.load.written += 1
        self._held += request.read + 1
        request.until = self._step + remaining - 1
        self._writing[request] = None
        self._admitted += 1
        heapq.heappush(self._ends, (request.until, self._admitted, request))

    def _finish(self, request: Request) -> None:
        problem, _ = request.key
        self.cache.put(request.key, request.context + request.write - request.passing, request.end, request.base)
        if not self.cache.has((problem, PROMPT)):
            self.cache.put((problem, PROMPT), request.prompt, 0, request.prompt)
        if request.done is not None and not request.done.done():
            request.done.set_result(None)

    def _fits(self, request: Request) -> bool:
        room = self.machine.capacity - self._held - self._reserved
        # One token a sequence is left free, so that nobody has to go in the very next step.
        enough = request.read + len(self._writing) + len(self._reading) < room
        at_once = len(self._writing) + len(self._reading)
        return at_once < self.machine.serving.batch and (enough or at_once == 0)

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0]):
            request = self._waiting.popleft()
            cached = self.cache.take(request.key, request.context, request.token)
            if request.read == request.context:  # not of one that was preempted: it was told already
                request.cached = min(cached, request.context - 1)
            request.left = max(1, request.read - cached)
            self._reserved += request.read
            self._reading.append(request)
        self.cache.shrink(self.machine.capacity - self._held - self._reserved)

    def _share_step(self, tokens: int) -> list[tuple[Request, int]]:
        """What of the prompts goes into one step."""
        parts: list[tuple[Request, int]] = []
        tokens = max(tokens, 1)
        for request in self._reading:
            count = min(request.left, tokens)
            parts.append((request, count))
            tokens -= count
            if tokens == 0:
                break
        return parts

    def _preempt(self) -> None:
        """Send sequences back until the next step fits into the cache; the last one that came goes first."""
        while (
            len(self._writing) + len(self._reading) > 1
            and self._held + self._reserved + len(self._writing) > self.machine.capacity
        ):
            self._waiting.appendleft(self._last_come())
            self.load.preempted += 1

    def _last_come(self) -> Request:
        """Take the sequence out that came last: one that is still being read, if there is one."""
        if self._reading:
            request = self._reading.pop()
            self._reserved -= request.read
        else:
            request, _ = self._writing.popitem()
            self._held -= self._written(request)
            request.read = self._written(request)
            request.until = -1
        request.left = request.read
        return request

    def _written(self, request: Request) -> int:
        """Context and what has been written behind it so far, of a sequence that writes."""
        return request.context + request.write - (request.until - self._step)

    def _leave(self, request: Request) -> None:
        """Somebody no longer wants it. What is in a step stays until the step is over."""
        request.gone = True
        if request in self._waiting:
            self._waiting.remove(request)
        else:
            self._unwanted.append(request)
            self._cut_short()

    def _clear(self) -> None:
        """Let go of what nobody wants any more."""
        for request in self._unwanted:
            if request in self._writing:
                del self._writing[request]
                self._held -= self._written(request)
            elif request in self._reading:
                self._reading.remove(request)
                self._reserved -= request.read
        self._unwanted.clear()

    def _cut_short(self) -> None:
        """End the stretch with the step that is under way, because then there is something to do."""
        stretch = self._stretch
        if stretch is None or stretch.parts or stretch.steps == 1 or stretch.timer is None:
            return
        loop = asyncio.get_running_loop()
        batch, held = len(self._writing), self._held
        passed = self.machine.steps_after(loop.time() - stretch.start, batch, held)
        steps = max(1, ceil(passed - _ROUNDING))
        if steps >= stretch.steps:
            return
        stretch.timer.cancel()
        stretch.steps = steps
        stretch.timer = loop.call_at(stretch.start + self.machine.decode(batch, held, steps), self._end)
