"""Arrival orders: in which order the recorded chunks of many chains reach the calibrator.

An order is a function of the chains, a seed, and `decide`, which it calls once a chunk; within a chain chunks keep
their order. Problems are shuffled, so that several seeds give several orders.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from atts.errors import InputError
from atts.seeds import derive
from atts.types import Chunk


@dataclass(frozen=True, slots=True)
class RecordedChunk:
    """A chunk that was scored in an earlier run.

    `score` is None where it could not be scored. `size` is its length in characters, the measure of the time that
    drafting it takes, or None where unknown. `row` counts the chunks of the record; `taken_over` is what was decided.
    """

    chunk: Chunk
    score: float | None
    size: float | None = None
    row: int = 0
    taken_over: bool | None = None


RecordedChain = Sequence[RecordedChunk]
Decide = Callable[[RecordedChunk], bool]
Arrival = Callable[[Sequence[RecordedChain], int, Decide], None]


def recorded(chains: Sequence[RecordedChain], seed: int, decide: Decide) -> None:
    """The order of the record, whatever the seed."""
    for chunk in sorted((chunk for chain in chains for chunk in chain), key=lambda chunk: chunk.row):
        decide(chunk)


def merge(chains: Sequence[RecordedChain], seed: int, decide: Decide) -> None:
    """All chains at once: a uniformly random merge of them."""
    order = [chain for chain in chains for _ in chain]
    random.Random(derive(seed, "merge")).shuffle(order)
    streams = {id(chain): iter(chain) for chain in chains}
    for chain in order:
        decide(next(streams[id(chain)]))


@dataclass(frozen=True, slots=True)
class InFlight:
    """`width` chains at a time, a question's samples one after the other; a random one of them delivers next.

    With `sample_by_sample`, the first samples of all questions come first, then the second ones, and so on.
    """

    width: int
    sample_by_sample: bool = False

    def __call__(self, chains: Sequence[RecordedChain], seed: int, decide: Decide) -> None:
        """Deliver every chunk; see `Arrival`."""
        rng = random.Random(derive(seed, "inflight"))
        waiting = deque(_by_shuffled_problem(chains, rng, self.sample_by_sample))
        active: list[deque[RecordedChunk]] = []
        while waiting or active:
            while waiting and len(active) < self.width:
                active.append(deque(waiting.popleft()))
            place = rng.randrange(len(active))
            decide(active[place].popleft())
            if not active[place]:
                active[place] = active[-1]
                active.pop()


@dataclass(frozen=True, slots=True)
class Fifo:
    """First in, first out, through the slots of a draft and of a target server.

    Drafting takes as long as the chunk is, scoring a twentieth of a mean chunk, a takeover one and a half, each time
    with a log-normal spread of 0.2. A chunk that is taken over keeps its target slot, so rejected chains come back
    later: the decisions shape the order, as they do in a run. Four chains a draft slot are in flight.
    """

    draft_slots: int
    target_slots: int

    def __call__(self, chains: Sequence[RecordedChain], seed: int, decide: Decide) -> None:
        """Deliver every chunk; see `Arrival`."""
        rng = random.Random(derive(seed, "fifo"))
        waiting = deque(_by_shuffled_problem(chains, rng))
        sizes = [chunk.size for chain in waiting for chunk in chain if chunk.size is not None]
        simulation = _Simulation(self, rng, decide, sum(sizes) / len(sizes) if sizes else 1.0)
        for _ in range(min(len(waiting), 4 * self.draft_slots)):
            simulation.drafts.enter(deque(waiting.popleft()))
        while simulation.advance():
            while simulation.finished and waiting:
                simulation.finished -= 1
                simulation.drafts.enter(deque(waiting.popleft()))


Pending = deque[RecordedChunk]  # what is left of a chain


@dataclass(slots=True)
class _Server:
    """Slots and the queue before them."""

    free: int
    start: Callable[[Pending], None]
    queue: deque[Pending] = field(default_factory=deque)

    def enter(self, chain: Pending) -> None:
        self.queue.append(chain)
        self.serve()

    def leave(self) -> None:
        self.free += 1
        self.serve()

    def serve(self) -> None:
        while self.free and self.queue:
            self.free -= 1
            self.start(self.queue.popleft())


class _Simulation:
    """Chains between the two servers; `finished` counts those that are through and not yet replaced."""

    SCORING, TAKEOVER, SPREAD = 0.05, 1.5, 0.2  # durations in mean chunks, and the spread of their logarithm

    def __init__(self, slots: Fifo, rng: random.Random, decide: Decide, mean: float) -> None:
        self.rng, self.decide, self.mean = rng, decide, mean or 1.0
        self.finished = 0
        self.now = 0.0
        self.drafts = _Server(
            slots.draft_slots, lambda chain: self._after(self._length(chain[0]), self._drafted, chain)
        )
        self.targets = _Server(slots.target_slots, lambda chain: self._after(self.SCORING, self._scored, chain))
        self._events: list[tuple[float, int, Callable[[Pending], None], Pending]] = []
        self._count = 0

    def advance(self) -> bool:
        """Let the next thing happen; False when nothing is left."""
        if not self._events:
            return False
        self.now, _, happen, chain = heapq.heappop(self._events)
        happen(chain)
        return True

    def _after(self, duration: float, happen: Callable[[Pending], None], chain: Pending) -> None:
        self._count += 1  # equal times keep their order
        moment = self.now + duration * self.rng.lognormvariate(0.0, self.SPREAD)
        heapq.heappush(self._events, (moment, self._count, happen, chain))

    def _length(self, chunk: RecordedChunk) -> float:
        return 1.0 if chunk.size is None else chunk.size / self.mean

    def _drafted(self, chain: Pending) -> None:
        self.drafts.leave()
        self.targets.enter(chain)

    def _scored(self, chain: Pending) -> None:
        if self.decide(chain.popleft()):
            self._after(self.TAKEOVER, self._done, chain)
        else:
            self._done(chain)

    def _done(self, chain: Pending) -> None:
        self.targets.leave()
        if chain:
            self.drafts.enter(chain)
        else:
            self.finished += 1


def parse_order(text: str) -> Arrival:
    """`recorded`, `merge`, `inflight:64`, `samples:64` or `fifo:16,4`. Raises InputError on anything else."""
    name, _, arguments = text.partition(":")
    if name in _PLAIN and not arguments:
        return _PLAIN[name]
    numbers = [int(part) if part.strip().isdigit() else 0 for part in arguments.split(",")]
    if all(number >= 1 for number in numbers):
        if name in ("inflight", "samples") and len(numbers) == 1:
            return InFlight(numbers[0], sample_by_sample=name == "samples")
        if name == "fifo" and len(numbers) == 2:
            return Fifo(*numbers)
    raise InputError(
        f"--order {text} is not an arrival order: say recorded, merge, inflight:64, samples:64 or fifo:16,4"
    )


_PLAIN: dict[str, Arrival] = {"recorded": recorded, "merge": merge}


def _by_shuffled_problem(
    chains: Sequence[RecordedChain], rng: random.Random, sample_by_sample: bool = False
) -> list[RecordedChain]:
    """The problems in random order, the samples of each in theirs; or the first sample of each, then the second."""
    problems: dict[str, list[RecordedChain]] = {}
    for chain in chains:
        problems.setdefault(chain[0].chunk.problem, []).append(chain)
    names = list(problems)
    rng.shuffle(names)
    placed = [(place, chain) for name in names for place, chain in enumerate(problems[name])]
    return [chain for _, chain in (sorted(placed, key=lambda pair: pair[0]) if sample_by_sample else placed)]
