"""The pool as a caller of single chains sees it: jobs at any time, each with a recipe and a handle of its own."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import pytest

from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.errors import EngineError, InputError, RunError
from atts.events import ChainStarted, StageQueued, StageStarted
from atts.pipeline.chain import ChainState
from atts.pipeline.pool import run_batch
from atts.pipeline.recipe import unheard
from atts.pipeline.settings import ChainSettings, SlotSettings
from atts.pipeline.siblings import Siblings
from atts.pipeline.stages import Stages
from atts.pipeline.stop import StopStrings, Tokens, VoteRule
from atts.pipeline.strategies.atts import Atts
from atts.pipeline.strategies.base import Strategy, options
from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.types import Chain, Chunk, Finish, Piece, Role, Span, Stage, Status, TokenIds, Turn, Usage

from .conftest import Bench, jobs

SLOW = Script(delay=lambda call, seed: 0.002)


async def test_chains_of_different_rates_lengths_and_stop_strings_run_side_by_side() -> None:
    bench = Bench(ScriptedEngine(Script(write=steps(9))), ScriptedEngine(Script(write=steps(9))))
    never, always = (make_calibrator(CalibratorSettings("tracked", rate)) for rate in (0.0, 1.0))
    settings = bench.recipe.settings
    recipes = {
        "by step": replace(bench.recipe, calibrator=never),
        "by length": replace(bench.recipe, calibrator=always, settings=replace(settings, stop=(), target_tokens=7)),
        "to a string": replace(bench.recipe, calibrator=never, stop=(StopStrings(("Step 3",)),)),
        "to a length": replace(bench.recipe, calibrator=never, stop=(Tokens(20),)),
        "few turns": replace(bench.recipe, calibrator=never, settings=replace(settings, turns=2)),
    }
    async with bench.pool as pool:
        handles = {name: pool.submit(bench.job(name, recipe=recipe)) for name, recipe in recipes.items()}
        ended = {name: await handle for name, handle in handles.items()}
    turns = {name: [turn for turn in bench.turns if turn.problem == name] for name in recipes}
    assert [(chain.status, chain.reason) for chain in ended.values() if chain] == [
        (Status.DONE, reason) for reason in ("end", "turns", "stop", "tokens", "turns")
    ]
    assert [len(made) for made in turns.values()] == [9, 15, 3, 2, 2]
    assert all(turn.takeover is None for name in recipes if name != "by length" for turn in turns[name])
    assert all(turn.takeover and len(turn.takeover.ids) == 7 for turn in turns["by length"])
    assert (never.certificate()["all"]["taken_over"], always.certificate()["all"]["taken_over"]) == (0, 15)
    assert bench.at_rest()


async def test_jobs_are_taken_while_others_run_and_never_more_than_the_width_is_open() -> None:
    bench = Bench(ScriptedEngine(SLOW), slots=SlotSettings(chains=2), strategy="draft-only")
    async with bench.pool as pool:
        first = [pool.submit(bench.job(f"p{number}", order=5)) for number in range(4)]
        await bench.until(lambda: bench.turns)
        urgent = pool.submit(bench.job("urgent", order=1))
        ended = [await handle for handle in (*first, urgent)]
        assert all(chain is not None and chain.answer == "42" for chain in ended)
        await pool.submit(bench.job("later"))
    opened = [event.problem for event in bench.events if isinstance(event, ChainStarted)]
    assert opened == ["p0", "p1", "urgent", "p2", "p3", "later"]  # it overtook those that waited, none that was open
    assert bench.draft.peak == 2


async def test_a_chain_is_cancelled_by_its_handle_open_or_waiting() -> None:
    bench = Bench(ScriptedEngine(SLOW), ScriptedEngine(SLOW), slots=SlotSettings(chains=1))
    async with bench.pool as pool:
        under_way, waiting, last = (pool.submit(bench.job(name)) for name in ("under way", "waiting", "last"))
        await bench.until(lambda: bench.turns)
        waiting.cancel("not wanted")
        assert waiting.done  # it needs no place to end
        under_way.cancel("gone")
        under_way.cancel("another reason")
        ended = [await handle for handle in (under_way, waiting, last)]
        last.cancel("too late")
        assert [(chain.status, chain.reason) for chain in ended if chain] == [
            (Status.CANCELLED, "gone"),
            (Status.CANCELLED, "not wanted"),
            (Status.DONE, "end"),
        ]
    assert len(bench.chains) == 3 and bench.at_rest()


async def test_who_waits_for_a_handle_may_give_up_and_the_chain_goes_on() -> None:
    bench = Bench(ScriptedEngine(SLOW), ScriptedEngine(SLOW))
    async with bench.pool as pool:
        handle = pool.submit(bench.job("p"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await handle
        chain = await handle
    assert chain is not None and chain.status is Status.DONE


async def test_what_is_left_unfinished_gives_none() -> None:
    bench = Bench(ScriptedEngine(SLOW), ScriptedEngine(SLOW), slots=SlotSettings(chains=1))
    async with bench.pool as pool:
        handles = [pool.submit(bench.job(f"p{number}")) for number in range(3)]
        await bench.until(lambda: bench.turns)
        pool.stop()
        handles.append(pool.submit(bench.job("late")))
        assert [await handle for handle in handles] == [None] * 4
    assert not bench.chains and bench.at_rest()


async def test_a_pool_that_is_closed_at_once_leaves_nothing() -> None:
    bench = Bench(ScriptedEngine(SLOW))
    async with bench.pool as pool:
        handles = [pool.submit(bench.job(f"p{number}")) for number in range(40)]
    assert [await handle for handle in handles] == [None] * 40
    assert asyncio.all_tasks() == {asyncio.current_task()}


@options
class Faulty(Atts):
    """Fails in its third turn, for every fourth chain."""

    name = "faulty"

    async def turn(self, chain: ChainState, stages: Stages) -> Turn | None:
        if chain.turn == 2 and chain.sample % 4 == 3:
            return {}["Bearer sk-secret"]
        return await super().turn(chain, stages)


async def test_any_exception_in_a_chain_ends_that_chain_and_says_nothing_foreign() -> None:
    bench = Bench()
    bench.strategy = Faulty()
    await bench.run(jobs(2, 8))
    failed = [chain for chain in bench.chains if chain.status is Status.ERROR]
    assert sorted((chain.problem, chain.sample) for chain in failed) == [(p, s) for p in ("p0", "p1") for s in (3, 7)]
    assert {(chain.reason.partition(":")[0], chain.turns) for chain in failed} == {("KeyError at test_submit.py", 2)}
    assert all("(turn)" in chain.reason and "secret" not in chain.reason for chain in failed)
    assert sum(chain.status is Status.DONE for chain in bench.chains) == 12
    assert bench.at_rest()


@pytest.mark.parametrize("error", [RunError("the draft stays down"), InputError("no template")])
async def test_what_a_caller_has_to_hear_is_raised_by_the_handle_and_harms_no_other_chain(error: Exception) -> None:
    bench = Bench(ScriptedEngine(Script(fail=lambda call, count: error)))
    other = replace(bench.recipe)
    async with bench.pool as pool:
        down = pool.submit(bench.job("needs the draft"))
        up = pool.submit(replace(bench.job("does not", recipe=other), strategy=Bench(strategy="target-only").strategy))
        with pytest.raises(type(error), match=str(error)):
            await down
        chain = await up
        assert chain is not None and chain.status is Status.DONE
    assert [chain.problem for chain in bench.chains] == ["does not"]  # the other one can be made later


async def test_a_server_that_stays_down_ends_a_batch() -> None:
    bench = Bench(ScriptedEngine(Script(fail=lambda call, count: RunError("gone") if count > 30 else None)))
    with pytest.raises(RunError, match="gone"):
        await bench.run(jobs(4, 8))
    assert all(chain.status is Status.DONE for chain in bench.chains) and len(bench.chains) < 32
    assert bench.at_rest() and asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_sink_that_cannot_take_a_chain_is_the_callers_to_hear() -> None:
    def full(chain: Chain) -> None:
        raise RunError("disk full")

    bench = Bench()
    async with bench.pool as pool:
        handle = pool.submit(bench.job("p", recipe=replace(bench.recipe, ended=full)))
        with pytest.raises(RunError, match="disk full"):
            await handle
    assert bench.at_rest()


async def test_a_problem_that_is_over_needs_none_of_its_chains() -> None:
    bench = Bench(ScriptedEngine(SLOW), slots=SlotSettings(chains=3))
    await bench.run(jobs(1, 8), VoteRule(8, "exact"))
    assert sorted((chain.status, chain.reason) for chain in bench.chains) == [
        *[(Status.CANCELLED, "the vote is decided")] * 3,
        *[(Status.DONE, "end")] * 5,
    ]
    over = Siblings({0: 0}, over="decided before")
    async with Bench().pool as pool:
        chain = await pool.submit(bench.job("p", siblings=over))
    assert chain is not None and (chain.status, chain.turns) == (Status.CANCELLED, 0)


async def test_a_batch_is_drawn_as_chains_become_free() -> None:
    drawn = 0
    bench = Bench(ScriptedEngine(SLOW), strategy="draft-only", slots=SlotSettings(chains=2))

    def wanted() -> object:
        nonlocal drawn
        for number in range(10):
            drawn += 1
            yield bench.job(f"p{number}")

    def bounded(turn: object) -> bool:
        return drawn <= len(bench.chains) + 3  # two that are open, and one that waits for room

    checks: list[bool] = []
    bench.recipe = replace(bench.recipe, emit=lambda event: checks.append(bounded(event)))
    async with bench.pool as pool:
        await run_batch(pool, wanted())  # type: ignore[arg-type]
    assert all(checks) and len(checks) > 20 and drawn == 10


async def test_a_prompt_is_rendered_once_for_all_samples_and_not_lost_with_the_one_that_asked_first() -> None:
    rendered, asked, go = 0, asyncio.Event(), asyncio.Event()

    class Patient(ScriptedEngine):
        async def render(self, messages: object) -> list[int]:
            nonlocal rendered
            rendered += 1
            asked.set()
            await go.wait()
            return [1]

    bench = Bench(Patient(), strategy="draft-only")
    siblings = Siblings(dict.fromkeys(range(3), 0))
    async with bench.pool as pool:
        first, *others = [pool.submit(bench.job("p", sample, siblings=siblings)) for sample in range(3)]
        await asked.wait()
        first.cancel("gone")
        assert (chain := await first) is not None and chain.status is Status.CANCELLED
        go.set()
        ended = [await handle for handle in others]
    assert [chain.status for chain in ended if chain] == [Status.DONE] * 2
    assert rendered == 1


async def test_slots_go_to_earlier_problems_first_and_within_one_to_earlier_turns() -> None:
    bench = Bench(strategy="draft-only", slots=SlotSettings(draft=1))
    made = [Turn("", 0, number, piece(f"Step {number}.\n\n")) for number in range(3)]
    async with bench.pool as pool:
        async with bench.stages.slots[Stage.DRAFT].hold((-1,)):  # all of them have to wait
            for problem, order, count in (("later", 1, 0), ("further", 0, 3), ("nearer", 0, 1)):
                pool.submit(bench.job(problem, order=order, turns=made[:count]))
            await bench.until(lambda: sum(isinstance(event, StageQueued) for event in bench.events) == 3)
        await asyncio.gather(*pool.handles.values())
    begun = [event.problem for event in bench.events if isinstance(event, StageStarted)]
    # The slot is handed on while the next turn of who had it is not in the queue yet.
    assert begun[:3] == ["nearer", "further", "later"]


def piece(text: str, finish: Finish = Finish.STOP) -> Piece:
    return Piece(Role.DRAFT, text, tuple(text.encode()), finish, Usage(), Span(0, 0, 0))


@options
class Idle(Strategy):
    """Decides once and is over."""

    name = "idle"
    description = "nothing"
    roles = (Role.DRAFT,)

    async def turn(self, chain: ChainState, stages: Stages) -> Turn:
        end = piece("x", Finish.END)
        score = float(len(chain.problem) + chain.sample)
        decision = chain.recipe.calibrator.decide(Chunk(chain.problem, chain.sample, 0), score, 0.5)
        await chain.append(end)
        return Turn(chain.problem, chain.sample, 0, end, decision=decision)


class Blank(ScriptedEngine):
    async def render(self, messages: object) -> list[int]:
        return [1]

    async def tokenize(self, text: str) -> list[int]:
        return [2]

    async def detokenize(self, ids: TokenIds) -> str:
        return "x" * len(ids)


async def test_a_hundred_thousand_jobs_leave_nothing_behind() -> None:
    """Memory is bounded by what is open, whatever has been: objects are counted after few jobs and after many."""
    bench = Bench(Blank(), strategy="draft-only", slots=SlotSettings(chains=64))
    bench.strategy = Idle()
    calibrator = make_calibrator(CalibratorSettings("coin", 0.3, hard_budget=True))
    ended = 0

    def count(chain: Chain) -> None:
        nonlocal ended
        ended += chain.status is Status.DONE

    recipe = replace(bench.recipe, calibrator=calibrator, emit=unheard, ended=count)
    bench.pool.handles = Forgetful()

    async def make(first: int, last: int) -> int:
        """So many problems of ten samples, and how many objects there are then."""
        for number in range(first, last):
            siblings = Siblings(dict.fromkeys(range(10), 0), VoteRule(10, "exact").count())
            for sample in range(10):
                await bench.pool.room()
                bench.pool.submit(bench.job(f"p{number}", sample, number, recipe=recipe, siblings=siblings))
        await asyncio.gather(*bench.pool._open.values())
        gc.collect()
        return len(gc.get_objects())

    async with bench.pool:
        before = await make(0, 200)
        after = await make(200, 10_000)
    assert ended == 100_000
    assert after - before < 1_000
    assert not calibrator.budget._rounds  # type: ignore[attr-defined]


class Forgetful(dict[object, object]):
    def __setitem__(self, key: object, value: object) -> None:
        pass


async def test_a_turn_that_fails_half_way_gives_no_answer() -> None:
    """What the draft wrote stands already, with an answer in it, when the target fails: the turn is not complete."""
    draft = ScriptedEngine(Script(write=lambda text, seed: "#### 18 and more."))
    target = ScriptedEngine(Script(fail=lambda call, count: EngineError("gone") if call == "generate" else None))
    settings = ChainSettings(draft_tokens=7, on_reject="continue")  # just "#### 18", which might go on as 180
    bench = Bench(draft, target, settings=settings, rate=1.0, answer="hashes")
    turn = Turn("p", 0, 0, piece("Hm.\n\n"))
    async with bench.pool as pool:
        chain = await pool.submit(bench.job("p", turns=[turn]))
    assert chain is not None and chain.status is Status.ERROR
    assert (chain.text, chain.answer, chain.turns) == ("Hm.\n\n", None, 1)
