"""A model of what may happen to a pool, and what must hold whatever happens, for every method."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.engines.simulated.clock import run_virtually
from atts.errors import EngineError, ScoreError
from atts.pipeline.settings import SlotSettings
from atts.pipeline.stop import VoteRule
from atts.pipeline.strategies import STRATEGIES
from atts.types import Status, Turn

from .conftest import Bench, jobs

PROBLEMS, SAMPLES = 3, 4
OPTIONS: dict[str, dict[str, object]] = {"atts-self fork": {"remedy": "fork"}}
METHODS = [*STRATEGIES, *OPTIONS]

happening = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 8)),
    st.tuples(st.just("cancel"), st.integers(0, PROBLEMS * SAMPLES - 1)),
    st.tuples(st.just("stop"), st.just(0)),
    st.tuples(st.just("abandon"), st.just(0)),
)


def bench(method: str, seed: int, failures: float, width: int) -> Bench:
    rng = random.Random(seed)

    def script(errors: tuple[Exception, ...]) -> Script:
        return Script(
            write=lambda text, s: steps(4, answer=str(s % 2))(text, s),
            delay=lambda call, s: rng.choice([0, 0, 0.0003, 0.001]),
            fail=lambda call, count: rng.choice(errors) if rng.random() < failures else None,
        )

    name = method.partition(" ")[0]
    return Bench(
        ScriptedEngine(script((EngineError("draft"),))),
        ScriptedEngine(script((EngineError("target"), ScoreError("score")))),
        strategy=name,
        options=OPTIONS.get(method),
        calibrator=STRATEGIES[name].calibrator or "tracked",
        slots=SlotSettings(chains=max(width, SAMPLES), draft=2, score=2, takeover=1),
        rate=0.4,
        seed=seed,
    )


async def test_no_prompt_in_the_making_is_forgotten() -> None:
    everybody, waiting = asyncio.Event(), 0

    class Slow(ScriptedEngine):
        async def render(self, messages: object) -> list[int]:
            nonlocal waiting
            waiting += 1
            if waiting == 300:
                everybody.set()
            return await asyncio.get_running_loop().create_future()

    made = Bench(Slow(), slots=SlotSettings(chains=300))
    running = asyncio.create_task(made.run(jobs(300, 1)))
    await everybody.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def live(made: Bench, story: list[tuple[str, int]], vote: VoteRule | None) -> set[str]:
    """Run the pool while the story happens; what of it happened before the pool had ended."""
    work = list(jobs(PROBLEMS, SAMPLES))
    running = asyncio.create_task(made.run(work, vote))
    happened = set()
    for what, value in story:
        if running.done():
            break
        happened.add(what)
        if what == "wait":
            for _ in range(value):
                await asyncio.sleep(0)
            await asyncio.sleep(0.0002 * value)
        elif what == "cancel":
            made.cancel(*work[value].key, "from outside")
        elif what == "stop":
            made.pool.stop()
        else:
            running.cancel()
    try:
        await asyncio.wait_for(running, 10)
    except asyncio.CancelledError:
        assert "abandon" in happened
    return happened


@pytest.mark.parametrize("method", METHODS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    story=st.lists(happening, max_size=8),
    seed=st.integers(0, 2**16),
    failures=st.sampled_from([0, 0.03, 0.2]),
    width=st.integers(1, 16),
    vote=st.booleans(),
)
def test_whatever_happens(
    method: str, story: list[tuple[str, int]], seed: int, failures: float, width: int, vote: bool
) -> None:
    """No chain is lost or doubled, no slot or request stays open, no task is left behind, and the rest can be made."""

    async def model() -> None:
        made = bench(method, seed, failures, width)
        happened = await live(made, story, VoteRule(SAMPLES, "exact") if vote else None)
        assert made.at_rest()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        ended = Counter((chain.problem, chain.sample) for chain in made.chains)
        assert set(ended.values()) <= {1}
        if not happened & {"stop", "abandon"}:
            assert len(ended) == PROBLEMS * SAMPLES
        turns: dict[tuple[str, int], list[Turn]] = defaultdict(list)
        for turn in made.turns:
            turns[turn.problem, turn.sample].append(turn)
        assert all([t.turn for t in chain] == list(range(len(chain))) for chain in turns.values())
        for chain in made.chains:
            assert chain.turns == len(turns[chain.problem, chain.sample])
            assert chain.status is not Status.CANCELLED or "cancel" in happened or vote
        await resume(method, made, dict(turns), set(ended))

    run_virtually(model())


async def resume(
    method: str, first: Bench, turns: dict[tuple[str, int], list[Turn]], ended: set[tuple[str, int]]
) -> None:
    """What is still wanted can be made from the turns that there are, each turn once."""
    second = bench(method, 1, 0, 16)
    for turn in first.turns:
        if turn.decision is not None:
            second.calibrator.replay(turn.decision)
    rest = [job for job in jobs(PROBLEMS, SAMPLES, turns) if job.key not in ended]
    await asyncio.wait_for(second.run(rest), 10)
    assert {(c.problem, c.sample) for c in second.chains} == {job.key for job in rest}
    assert {chain.status for chain in second.chains} <= {Status.DONE}
    keys = [(turn.problem, turn.sample, turn.turn) for turn in first.turns + second.turns]
    assert len(keys) == len(set(keys))
    assert second.at_rest()
