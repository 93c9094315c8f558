"""Runs that end a problem when its vote is decided, beside the same runs that do not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atts.config.run import RunConfig, resolve
from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.pipeline.stop import VOTE_DECIDED
from atts.results.compare import compare
from atts.results.loaded import load_run
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.types import Chain, Role, Status

ANSWERS = ("7", "7.0", "8", "9")  # the first two are the same number, and vote together


def config(**options: Any) -> RunConfig:
    common = {"draft": "scripted:4", "target": "scripted:4", "limit": 12, "samples": 16, "strategy": "draft-only"}
    return resolve(preset="bundled", options=common | {"draft_slots": 4, "chains": 24} | options)


async def executed(config: RunConfig, path: Path, stop_after: float | None = None) -> dict[str, Any]:
    """A run on a draft whose answers and speed differ by sample and do not depend on anything else."""
    setup = await asyncio.to_thread(prepare, config)
    script = Script(
        write=lambda text, seed: steps(3, answer=ANSWERS[seed % 4 if seed % 3 else 0])(text, seed),
        delay=lambda call, seed: 0.0005 * (seed % 7),
    )
    run = Run(replace(setup, engines={Role.DRAFT: ScriptedEngine(script)}), path)
    running = asyncio.create_task(run.execute())
    if stop_after is not None:
        await asyncio.sleep(stop_after)
        run.stop()
    return await running


async def winners(path: Path) -> dict[str, set[str]]:
    loaded = await asyncio.to_thread(load_run, path)
    counts: dict[str, Counter[str]] = {problem.id: Counter() for problem in loaded.problems}
    for (problem, _), vote in loaded.votes.items():
        counts[problem][vote] += 1
    return {problem: {vote for vote, n in of.items() if n == max(of.values())} for problem, of in counts.items()}


async def test_every_answer_is_the_same_and_less_is_written(tmp_path: Path) -> None:
    whole = await executed(config(), tmp_path / "off")
    stopped = await executed(config(vote_stop="exact"), tmp_path / "exact")
    assert await winners(tmp_path / "exact") == await winners(tmp_path / "off")
    assert stopped["accuracy"]["maj@k"] == whole["accuracy"]["maj@k"]
    assert stopped["status"] == "complete"
    assert stopped["chains"]["cancelled"] > 0 == whole["chains"]["cancelled"]
    assert stopped["chains"]["done"] + stopped["chains"]["cancelled"] == 12 * 16
    assert stopped["tokens"]["draft"] < whole["tokens"]["draft"]
    assert stopped["vote"] == {"stop": "exact", "error": None}


async def test_answer_s_is_when_the_vote_was_decided(tmp_path: Path) -> None:
    summary = await executed(config(vote_stop="exact", limit=1, chains=1), tmp_path)
    chains = [Chain(**_without_kind(line)) for line in _lines(tmp_path) if line["kind"] == "chain"]
    done = [chain for chain in chains if chain.status == Status.DONE]
    assert len(chains) == 16 and 9 <= len(done) < 16
    assert {chain.reason for chain in chains if chain.status == Status.CANCELLED} == {VOTE_DECIDED}
    took = max(chain.end for chain in done) - min(chain.start for chain in done)
    assert summary["time"]["answer_s"]["p50"] == pytest.approx(took)


async def test_interrupted_and_resumed_the_votes_are_still_the_same(tmp_path: Path) -> None:
    await executed(config(), tmp_path / "off")
    partial = await executed(config(vote_stop="exact"), tmp_path / "exact", stop_after=0.05)
    assert partial["status"] == "partial"
    resumed = await executed(config(vote_stop="exact"), tmp_path / "exact")
    assert resumed["status"] == "complete"
    assert await winners(tmp_path / "exact") == await winners(tmp_path / "off")


async def test_votes_of_earlier_sessions_count(tmp_path: Path) -> None:
    """Killed after the vote was decided and before the samples that it made needless were cancelled."""
    await executed(config(vote_stop="exact", limit=1, chains=1), tmp_path)
    lines = _lines(tmp_path)
    before = [line for line in lines if line["kind"] == "turn" or line["status"] == "done"]
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in before))
    (tmp_path / "summary.json").unlink()
    resumed = await executed(config(vote_stop="exact", limit=1, chains=1), tmp_path)
    after = _lines(tmp_path)[len(before) :]
    assert {(line["kind"], line.get("status")) for line in after} == {("chain", "cancelled")}  # nothing was written
    assert len(after) == len(lines) - len(before) == resumed["chains"]["cancelled"]


async def test_a_statistical_stop_says_its_error_and_makes_less(tmp_path: Path) -> None:
    exact = await executed(config(vote_stop="exact"), tmp_path / "exact")
    bold = await executed(config(vote_stop="statistical", vote_error=0.2), tmp_path / "statistical")
    assert bold["vote"] == {"stop": "statistical", "error": 0.2}
    assert bold["chains"]["done"] < exact["chains"]["done"]


async def test_comparisons_know_the_majority_of_stopped_problems(tmp_path: Path) -> None:
    for stop in ("off", "exact"):
        await executed(config(vote_stop=stop), tmp_path / stop)
    runs = [await asyncio.to_thread(load_run, tmp_path / stop) for stop in ("off", "exact")]
    off, exact = await asyncio.to_thread(compare, runs)
    assert exact.accuracy["maj@k"] == off.accuracy["maj@k"]
    assert exact.difference is not None and exact.difference.metrics["maj@k"].value == 0


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "journal.jsonl").read_text().splitlines()]


def _without_kind(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "kind"}
