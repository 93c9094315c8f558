from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.errors import EngineError, NoRoomError, ScoreError
from atts.pipeline.settings import ChainSettings, OnReject, SlotSettings
from atts.types import Finish, Generation, Role, Scoring, Status, TokenIds

from .conftest import Bench, jobs


async def test_every_chain_ends_once_with_its_answer() -> None:
    bench = Bench()
    await bench.run(jobs(5, 4))
    assert sorted((c.problem, c.sample) for c in bench.chains) == [(f"p{p}", s) for p in range(5) for s in range(4)]
    assert {(c.status, c.answer) for c in bench.chains} == {(Status.DONE, "42")}
    assert all(c.turns == 6 for c in bench.chains)
    assert bench.at_rest()


async def test_slots_bound_each_stage() -> None:
    slow = Script(delay=lambda call, seed: 0.001)
    bench = Bench(
        ScriptedEngine(slow), ScriptedEngine(slow), slots=SlotSettings(chains=20, draft=3, score=2, takeover=1)
    )
    await bench.run(jobs(4, 8))
    assert bench.draft.peak == 3
    assert bench.target.peak <= 3  # two scores and one takeover


async def test_replace_drops_the_chunk_and_continue_keeps_it() -> None:
    draft = ScriptedEngine(Script(write=steps(4, answer="draft")))
    target = ScriptedEngine(Script(write=steps(4, answer="target")))
    for on_reject in ("replace", "continue"):
        settings = ChainSettings(stop=("\n\n",), on_reject=on_reject)
        bench = Bench(draft, target, settings=settings, rate=1.0)
        await bench.run(jobs(1, 3))
        for turn in bench.turns:
            authors = [piece.author for piece in turn.kept]
            if on_reject == "replace":
                assert turn.replaced and authors == [Role.TARGET]
            elif turn.draft is not None and turn.draft.finish is Finish.STOP:
                assert not turn.replaced and authors == [Role.DRAFT, Role.TARGET]
        wanted = "target" if on_reject == "replace" else "draft"
        # With `continue` the draft ends the chain at its fourth step, which is never handed over.
        assert {c.answer for c in bench.chains} <= {wanted, "target"}
        assert all(turn.decision is None or turn.decision.rejected for turn in bench.turns)


@pytest.mark.parametrize("on_reject", ["replace", "continue"])
async def test_the_last_chunk_is_decided_on_and_replaced(on_reject: OnReject) -> None:
    """Whatever becomes of the others: it holds the answer, and nothing can be written behind it."""
    draft = ScriptedEngine(Script(write=steps(3, answer="draft")))
    target = ScriptedEngine(Script(write=steps(3, answer="target")))
    bench = Bench(draft, target, settings=ChainSettings(stop=("\n\n",), on_reject=on_reject), rate=1.0)
    await bench.run(jobs(1, 3))
    last = [turn for turn in bench.turns if turn.decision is not None and turn.decision.chunk.last]
    assert last and all(turn.replaced and turn.takeover is not None for turn in last)
    assert {chain.answer for chain in bench.chains} == {"target"}


async def test_where_it_is_accepted_a_finished_chunk_is_neither_scored_nor_continued() -> None:
    settings = ChainSettings(stop=("\n\n",), on_reject="continue", last_chunk="accept")
    bench = Bench(settings=settings, rate=1.0)
    await bench.run(jobs(1, 4))
    last = [turn for turn in bench.turns if turn.draft is not None and turn.draft.finish is Finish.END]
    assert all(turn.decision is None and turn.takeover is None and not turn.scores for turn in last)


async def test_a_failed_score_is_no_score() -> None:
    def fail(call: str, count: int) -> Exception | None:
        return ScoreError("log-probabilities are missing") if call == "score" and count % 3 == 0 else None

    bench = Bench(target=ScriptedEngine(Script(fail=fail)), rate=0.2)
    await bench.run(jobs(5, 8))
    unscored = [t for t in bench.turns if t.decision is not None and t.decision.score is None]
    assert unscored
    assert all(t.scores == {} and t.decision is not None and t.decision.p_value is None for t in unscored)
    assert {c.status for c in bench.chains} == {Status.DONE}


async def test_an_engine_error_ends_its_chain_and_no_other() -> None:
    def fail(call: str, count: int) -> Exception | None:
        return EngineError("the server is on fire") if count in (5, 17, 40) else None

    bench = Bench(ScriptedEngine(Script(fail=fail)))
    await bench.run(jobs(5, 4))
    failed = [c for c in bench.chains if c.status is Status.ERROR]
    assert len(bench.chains) == 20
    assert [c.reason for c in failed] == ["the server is on fire"] * 3
    assert bench.at_rest()


async def test_stop_finishes_turns_under_way_and_resuming_completes_the_set() -> None:
    slow = Script(delay=lambda call, seed: 0.002)
    first = Bench(ScriptedEngine(slow), ScriptedEngine(slow))
    running = asyncio.create_task(first.run(jobs(6, 4)))
    await first.until(lambda: len(first.turns) >= 30)
    first.pool.stop()
    await running
    assert first.at_rest()
    assert first.turns and len(first.chains) < 24
    made = {}
    for turn in first.turns:
        made.setdefault((turn.problem, turn.sample), []).append(turn)
    ended = {(c.problem, c.sample) for c in first.chains}
    second = Bench()
    await second.run([job for job in jobs(6, 4, made) if job.key not in ended])
    assert len(first.chains) + len(second.chains) == 24
    keys = [(t.problem, t.sample, t.turn) for t in first.turns + second.turns]
    assert len(keys) == len(set(keys)) == 24 * 6


async def test_one_chain_is_cancelled_and_counts_as_cancelled() -> None:
    slow = Script(delay=lambda call, seed: 0.005)
    bench = Bench(ScriptedEngine(slow), ScriptedEngine(slow), slots=SlotSettings(chains=2))
    running = asyncio.create_task(bench.run(jobs(2, 3)))
    await bench.until(lambda: bench.turns)
    bench.cancel("p0", 0, "the vote is decided")  # under way
    bench.cancel("p1", 2, "the vote is decided")  # not begun
    await running
    statuses = {(c.problem, c.sample): c.status for c in bench.chains}
    assert len(bench.chains) == 6
    assert [key for key, status in statuses.items() if status is Status.CANCELLED] == [("p0", 0), ("p1", 2)]
    assert bench.at_rest()


@pytest.mark.parametrize("seed", range(25))
async def test_random_delays_failures_and_cancellations(seed: int) -> None:
    """Whatever happens: each chain ends once or not at all, slots return to zero, nothing is left open."""
    rng = random.Random(seed)

    def script(errors: tuple[Exception, ...]) -> Script:
        return Script(
            delay=lambda call, s: rng.choice([0, 0, 0.0005, 0.002]),
            fail=lambda call, count: rng.choice(errors) if rng.random() < 0.05 else None,
        )

    bench = Bench(
        ScriptedEngine(script((EngineError("draft"),))),
        ScriptedEngine(script((EngineError("target"), ScoreError("score")))),
        slots=SlotSettings(chains=rng.randint(1, 12), draft=rng.randint(1, 4), score=rng.randint(1, 4), takeover=1),
        rate=rng.random(),
    )
    work = list(jobs(6, 4))
    running = asyncio.create_task(bench.run(work))
    cancelled = set()
    for _ in range(rng.randint(0, 12)):
        await asyncio.sleep(rng.choice([0, 0.001, 0.004]))
        job = rng.choice(work)
        bench.cancel(*job.key, "from outside")
        cancelled.add(job.key)
    abandoned = rng.random() < 0.4
    if abandoned:
        running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    keys = [(c.problem, c.sample) for c in bench.chains]
    assert len(keys) == len(set(keys))
    assert abandoned or len(keys) == 24
    assert {key for key, c in zip(keys, bench.chains, strict=True) if c.status is Status.CANCELLED} <= cancelled
    assert bench.at_rest()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    turns = [(t.problem, t.sample, t.turn) for t in bench.turns]
    assert len(turns) == len(set(turns))


FLAT = """
import asyncio, re
from pathlib import Path
from tests.pipeline.conftest import Bench, jobs
from atts.pipeline.settings import SlotSettings

class Forgetful(list):
    def append(self, item): pass

async def main():
    bench = Bench(slots=SlotSettings(chains=64, draft=32, score=32, takeover=32))
    bench.events, bench.turns = Forgetful(), Forgetful()
    await bench.run(jobs(250, 8))
    held = sum(slots.held + slots.waiting for slots in bench.stages.slots.values())
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
    print(len(bench.chains), held, int(peak) // 1024)

asyncio.run(main())
"""


def test_two_thousand_chains_leave_memory_flat() -> None:
    """In a process of its own, whose memory is its own."""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", FLAT], cwd=root, capture_output=True, text=True, check=True)
    chains, held, mebibytes = map(int, done.stdout.split())
    assert (chains, held) == (2000, 0)
    assert mebibytes < 300


class Narrow(ScriptedEngine):
    """Holds so many tokens behind the prompt."""

    room = 60

    async def generate(self, prefix: TokenIds, **others: Any) -> Generation:
        self._require(prefix, 1)
        return await super().generate(prefix, **others)

    async def score(self, prefix: TokenIds, continuation: TokenIds, **others: Any) -> Scoring:
        self._require(prefix, len(continuation))
        return await super().score(prefix, continuation, **others)

    def _require(self, prefix: TokenIds, more: int) -> None:
        if len(bytes(prefix).rpartition(b"<assistant>")[2]) + more > self.room:
            raise NoRoomError("full")


@pytest.mark.parametrize("on_reject", ["continue", "replace"])
async def test_a_full_context_loses_no_decision(on_reject: Any) -> None:
    """The chain ends there, with the turn that filled it: whatever was decided counts towards the rate."""
    benches = [await filled(on_reject, room) for room in range(50, 66, 3)]
    turns = [turn for bench in benches for turn in bench.turns]
    refused = [turn for turn in turns if turn.decision and turn.decision.rejected and not turn.takeover]
    assert bool(refused) is (on_reject == "continue")  # a chunk that could be read leaves room for another in its place


async def filled(on_reject: Any, room: int) -> Bench:
    target = Narrow(Script(write=steps(9)))
    target.room = room
    settings = ChainSettings(stop=("\n\n",), on_reject=on_reject)
    bench = Bench(ScriptedEngine(Script(write=steps(9))), target, settings=settings, rate=0.5)
    await bench.run(jobs(8, 4))
    assert {(c.status, c.reason) for c in bench.chains} == {(Status.DONE, "context")}
    decided = [turn.decision for turn in bench.turns if turn.decision is not None]
    assert len(decided) == bench.calibrator.certificate()["all"]["n"] > 0
    assert sum(d.rejected for d in decided) == bench.calibrator.certificate()["all"]["taken_over"]
    for chain in bench.chains:
        own = [turn for turn in bench.turns if (turn.problem, turn.sample) == (chain.problem, chain.sample)]
        assert chain.text == "".join(piece.text for turn in own for piece in turn.kept)
    assert bench.at_rest()
    return bench
