from __future__ import annotations

import asyncio
import random
from collections import defaultdict

import pytest

from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.errors import EngineError, InputError
from atts.events import StageEnded, StageQueued
from atts.pipeline.barrier import Barrier
from atts.pipeline.settings import SlotSettings
from atts.types import Stage, Status, Turn

from .conftest import Bench, jobs

WIDE = SlotSettings(chains=32, draft=8, score=4, takeover=3)


def slow(seed: int) -> ScriptedEngine:
    rng = random.Random(seed)
    return ScriptedEngine(Script(delay=lambda call, s: rng.choice([0, 0.001, 0.003])))


def bench(seed: int = 0, rate: float = 0.25) -> Bench:
    return Bench(slow(seed), slow(seed + 1), strategy="lockstep", calibrator="ranked", slots=WIDE, rate=rate)


async def test_each_round_takes_over_the_worst_of_its_samples() -> None:
    made = bench()
    await made.run(jobs(4, 8))
    rounds: dict[tuple[str, int], list[Turn]] = defaultdict(list)
    for turn in made.turns:
        if turn.decision is not None:
            rounds[turn.problem, turn.turn].append(turn)
    assert rounds
    for turns in rounds.values():
        ranked = sorted(turns, key=lambda turn: (-turn.scores["log_perplexity"], turn.sample))
        rejected = [turn.decision is not None and turn.decision.rejected for turn in ranked]
        assert rejected == [True] * 2 + [False] * 6  # a quarter of eight


async def test_no_sample_begins_a_turn_before_all_have_ended_the_last_one() -> None:
    made = bench()
    await made.run(jobs(3, 8))
    begun: dict[tuple[str, int], int] = defaultdict(int)
    open_stages: dict[str, int] = defaultdict(int)
    for event in made.events:
        if isinstance(event, StageQueued):
            if event.stage is Stage.DRAFT:
                begun[event.problem, event.sample] += 1
                turns = [n for (problem, _), n in begun.items() if problem == event.problem]
                assert begun[event.problem, event.sample] - min(turns) <= 1
                if begun[event.problem, event.sample] == max(turns) > 1 and turns.count(max(turns)) == 1:
                    assert open_stages[event.problem] == 0
            open_stages[event.problem] += 1
        elif isinstance(event, StageEnded):
            open_stages[event.problem] -= 1


async def test_on_average_the_rate_is_exact() -> None:
    made = bench(rate=0.3)
    await made.run(jobs(40, 5))
    decisions = [turn.decision for turn in made.turns if turn.decision is not None]
    assert sum(d.rejected for d in decisions) / len(decisions) == pytest.approx(0.3, abs=0.02)


async def test_a_failed_sample_holds_nobody_up() -> None:
    target = ScriptedEngine(Script(fail=lambda call, count: EngineError("gone") if count == 9 else None))
    made = Bench(target=target, strategy="lockstep", calibrator="ranked", slots=WIDE)
    await asyncio.wait_for(made.run(jobs(2, 8)), 60)
    assert sorted(c.status for c in made.chains) == [Status.DONE] * 15 + [Status.ERROR]
    assert made.at_rest()


async def test_a_run_stopped_and_resumed_decides_as_one_that_was_not() -> None:
    whole = bench(rate=0.4)
    await whole.run(jobs(4, 6))
    first = bench(rate=0.4)
    running = asyncio.create_task(first.run(jobs(4, 6)))
    await first.until(lambda: len(first.turns) >= 20)
    running.cancel()  # as hard as it gets: turns under way are lost
    await asyncio.gather(running, return_exceptions=True)
    assert 0 < len(first.turns) < len(whole.turns)
    second = bench(rate=0.4)
    made: dict[tuple[str, int], list[Turn]] = {}
    for turn in first.turns:
        made.setdefault((turn.problem, turn.sample), []).append(turn)
        if turn.decision is not None:
            second.calibrator.replay(turn.decision)
    ended = {(c.problem, c.sample) for c in first.chains}
    await asyncio.wait_for(second.run([job for job in jobs(4, 6, made) if job.key not in ended]), 60)

    def decided(turns: list[Turn]) -> dict[tuple[str, int, int], bool]:
        return {(t.problem, t.sample, t.turn): t.decision.rejected for t in turns if t.decision is not None}

    assert decided(first.turns) | decided(second.turns) == decided(whole.turns)


async def test_stopping_leaves_nobody_waiting() -> None:
    made = bench()
    running = asyncio.create_task(made.run(jobs(6, 8)))
    await made.until(lambda: len(made.turns) >= 20)
    made.pool.stop()
    await asyncio.wait_for(running, 60)
    assert made.at_rest()
    turns = [turn.turn for turn in made.turns if turn.problem == "p0"]
    assert {turns.count(n) for n in set(turns)} == {8}  # no round is begun by some of its samples only


async def test_more_samples_than_open_chains_is_refused() -> None:
    made = Bench(strategy="lockstep", calibrator="ranked", slots=SlotSettings(chains=4))
    with pytest.raises(InputError, match="chains = 4"):
        await made.run(jobs(1, 5))


async def test_whoever_is_behind_catches_up_first() -> None:
    barrier = Barrier({0: 2, 1: 1})
    order: list[tuple[int, int]] = []

    async def sample(number: int, turn: int) -> None:
        while turn < 3 and await barrier.begin(number, turn):
            order.append((turn, number))
            await barrier.meet(number)
            turn += 1
        barrier.leave(number)

    await asyncio.wait_for(asyncio.gather(sample(0, 2), sample(1, 1)), 60)
    assert [turn for turn, _ in order] == [1, 2, 2]


async def test_answers_are_those_of_the_draft_and_the_target() -> None:
    made = Bench(
        ScriptedEngine(Script(write=steps(4, answer="1"))),
        ScriptedEngine(Script(write=steps(4, answer="2"))),
        strategy="lockstep",
        calibrator="ranked",
        slots=WIDE,
        rate=0.5,
    )
    await made.run(jobs(1, 8))
    assert sorted(c.answer or "" for c in made.chains) == ["1"] * 4 + ["2"] * 4
