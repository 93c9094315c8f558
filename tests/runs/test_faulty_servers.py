"""Whole runs on servers that misbehave, die and come back."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from atts.config.run import RunConfig, resolve
from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.engines.servers.http import Http
from atts.errors import RunError
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.seeds import derive
from atts.testing import FAULTS, Faults, serve
from tests.polling import until

KEPT = {"chunk": "step", "on_reject": "replace", "takeover_rate": 0.2, "turns": 8}


def config(draft: str, target: str, **changes: Any) -> RunConfig:
    values = {"draft": draft, "target": target, "limit": 50, "samples": 8, "check": False} | KEPT | changes
    return resolve(options=values)


async def run(wanted: RunConfig, path: Path) -> dict[str, Any]:
    return await Run(await asyncio.to_thread(prepare, wanted), path).execute()


def two_in_three(text: str, seed: int) -> str:
    """Four steps, and an answer that is right two times in three, by the seed."""
    return steps(4, "42" if derive(seed, "right") % 3 else "41")(text, seed)


@pytest.mark.parametrize("dialect", ["sglang", "vllm"])
async def test_a_run_survives_ten_per_cent_of_faults(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Http.__init__, "__kwdefaults__", Http.__init__.__kwdefaults__ | {"first_wait": 0.01})
    problems = tmp_path / "problems.jsonl"
    rows = ({"id": f"p{n}", "question": f"What is {n} + 42 - {n}?", "answer": "42"} for n in range(50))
    await asyncio.to_thread(problems.write_text, "".join(f"{json.dumps(row)}\n" for row in rows))
    inner, own = ScriptedEngine(Script(write=two_in_three)), {"problems": str(problems), "grader": "numeric"}
    spoilt = [Faults(0.1, seed=seed, hang=120, start_after=0.5) for seed in (1, 2)]
    summaries = []
    for name, faults, limits in (("clean", [None, None], {}), ("faulty", spoilt, {"timeout": 3.0})):
        async with serve("sglang", inner, faults=faults[0]) as draft, serve(dialect, inner, faults=faults[1]) as target:
            wanted = config(f"sglang:{draft.url}", f"{dialect}:{target.url}", **own, **limits)
            summaries.append(await run(wanted, tmp_path / name))
    clean, faulty = summaries
    assert faulty["status"] == "complete"
    assert (
        faulty["chains"] == clean["chains"] == {"done": 400, "answered": 400, "error": 0, "cancelled": 0, "wanted": 400}
    )
    assert abs(faulty["takeover"]["rate"]["value"] - 0.2) < 0.02
    for measure in ("pass@1", "maj@k"):
        within, value = clean["accuracy"][measure], faulty["accuracy"][measure]["value"]
        assert within["low"] <= value <= within["high"]
    assert 0.5 < faulty["accuracy"]["pass@1"]["value"] < 0.8
    done = spoilt[0].done + spoilt[1].done
    assert all(done[fault] for fault in FAULTS), done
    lines = (tmp_path / "faulty" / "journal.jsonl").read_text().splitlines()
    assert not any('"score":null' in line.replace(" ", "") for line in lines)
    assert Counter(line[:15] for line in lines)['{"kind":"chain"'] == 400


@pytest.mark.parametrize("dialect", ["sglang", "vllm"])
async def test_aborted_answers_and_numbers_for_infinity_change_no_figure(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Http.__init__, "__kwdefaults__", Http.__init__.__kwdefaults__ | {"first_wait": 0.001})
    inner, summaries = ScriptedEngine(Script(write=two_in_three)), {}
    for name, rate in (("clean", 0.0), ("faulty", 0.3)):
        spoilt = [Faults(rate, ["abort", "sentinel"], seed=seed) for seed in (1, 2)]
        async with serve(dialect, inner, faults=spoilt[0]) as draft, serve(dialect, inner, faults=spoilt[1]) as target:
            wanted = config(f"{dialect}:{draft.url}", f"{dialect}:{target.url}", limit=10, samples=4, calibrator="coin")
            summaries[name] = await run(wanted, tmp_path / name)
    assert summaries["faulty"]["status"] == "complete"
    assert summaries["faulty"]["accuracy"] == summaries["clean"]["accuracy"]
    for line in (tmp_path / "faulty" / "journal.jsonl").read_text().splitlines():
        scores = json.loads(line).get("scores") or {"log_perplexity": 0.0}
        assert 0 <= scores["log_perplexity"] < 3


def written(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


@asynccontextmanager
async def process(port: int = 0) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A test server in a process of its own, and its URL."""
    command = ["-m", "atts.testing", "sglang", "scripted:6,0.02", "--port", str(port)]
    server = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    url = (await asyncio.wait_for(server.stdout.readline(), 60)).decode().strip().removeprefix("sglang:")
    try:
        yield server, url
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


async def test_a_server_that_is_killed_and_restarted_only_delays_a_run(tmp_path: Path) -> None:
    async with process() as (target, url):
        wanted = config("scripted:6,0.02", f"sglang:{url}", limit=10, samples=4, patience=300.0)
        task = asyncio.create_task(run(wanted, tmp_path))
        await until(lambda: written(tmp_path / "journal.jsonl"))
        target.send_signal(signal.SIGKILL)
        await target.wait()
    await asyncio.sleep(0.5)
    assert not task.done()
    async with process(int(url.rpartition(":")[2])):
        summary = await asyncio.wait_for(task, 300)
    assert summary["status"] == "complete" and summary["chains"]["done"] == 40


async def test_a_server_that_never_comes_back_ends_the_run_with_everything_saved(tmp_path: Path) -> None:
    async with process() as (target, url):
        wanted = config("scripted:6,0.02", f"sglang:{url}", limit=10, samples=4, patience=0.5)
        task = asyncio.create_task(run(wanted, tmp_path))
        await until(lambda: written(tmp_path / "journal.jsonl"))
        target.kill()
        with pytest.raises(RunError, match=r"did not come back within 0\.5 s"):
            await asyncio.wait_for(task, 300)
    saved = await asyncio.to_thread((tmp_path / "summary.json").read_text)
    assert '"status": "partial"' in saved
    async with process(int(url.rpartition(":")[2])):
        summary = await asyncio.wait_for(run(wanted, tmp_path), 300)
    assert summary["status"] == "complete" and summary["chains"]["done"] == 40
