"""Generated streams: chains whose scores drift by turn, depend on the question, and answer to the decisions.

A closed loop, unlike a replay: a takeover makes the next chunk less strange and the chain likelier to end, and lets the
chain come back later. So the scores past turn 0 are not exchangeable, as in real runs. For tests, plots and teaching.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from atts.seeds import derive, uniform
from atts.stats.calibrator import Calibrator
from atts.types import Chunk, Decision


@dataclass(frozen=True, slots=True)
class World:
    """What a generated run is like. Scores are in standard deviations of a chunk's own noise.

    `effect`: standard deviation of a question's effect (1.2: 60 % of the variance lies between questions). `drift`: the
    shift at each turn, the last one for all later turns. `relief`: how much a takeover lowers the next score. `end`:
    chance that a chunk is the chain's last; `end_after_takeover`: the same after a takeover. `digits`: scores are
    rounded to so many (ties). `shift_at`: number of the question from which all scores are higher by `shift`.
    """

    questions: int = 60
    samples: int = 16
    turns: int = 15
    effect: float = 1.2
    drift: Sequence[float] = field(default=(0.0, -0.5, -0.2, 0.1, 0.3, 0.5))
    relief: float = 0.4
    end: float = 0.12
    end_after_takeover: float = 0.32
    digits: int | None = None
    shift_at: int | None = None
    shift: float = 0.0


@dataclass(slots=True)
class _Chain:
    question: int
    sample: int
    turn: int = 0
    relief: float = 0.0


def simulate(world: World, calibrator: Calibrator, seed: int, in_flight: int = 64) -> list[Decision]:
    """Run a calibrator in the world, `in_flight` chains at a time; every decision, in order."""
    rng = random.Random(derive(seed, "world"))
    effects = [_effect(world, question, rng) for question in range(world.questions)]
    waiting = [_Chain(question, sample) for question in range(world.questions) for sample in range(world.samples)]
    waiting.reverse()
    calibrator.plan(len(waiting))
    active: list[tuple[float, int, _Chain]] = []
    decisions: list[Decision] = []
    now, count = 0.0, 0
    while waiting or active:
        while waiting and len(active) < in_flight:
            count += 1
            heapq.heappush(active, (now + rng.lognormvariate(0, 0.2), count, waiting.pop()))
        now, _, chain = heapq.heappop(active)
        chunk = Chunk(str(chain.question), chain.sample, chain.turn)
        u = uniform(seed, chunk.problem, chunk.sample, chunk.turn, "smoothing")
        decision = calibrator.decide(chunk, _score(world, effects, chain, rng), u)
        decisions.append(decision)
        rejected = decision.rejected
        chain.turn += 1
        chain.relief = world.relief if rejected else 0.0
        if chain.turn < world.turns and rng.random() >= (world.end_after_takeover if rejected else world.end):
            count += 1  # a chain that was taken over waits for the target, and comes back later
            heapq.heappush(active, (now + rng.lognormvariate(0, 0.2) * (2.5 if rejected else 1.0), count, chain))
        else:
            calibrator.ended(chunk.problem, chunk.sample)
    return decisions


def _effect(world: World, question: int, rng: random.Random) -> float:
    shifted = world.shift_at is not None and question >= world.shift_at
    return rng.gauss(0, world.effect) + (world.shift if shifted else 0.0)


def _score(world: World, effects: Sequence[float], chain: _Chain, rng: random.Random) -> float:
    drift = world.drift[min(chain.turn, len(world.drift) - 1)]
    score = effects[chain.question] + drift - chain.relief + rng.gauss(0, 1)
    return score if world.digits is None else round(score, world.digits)
