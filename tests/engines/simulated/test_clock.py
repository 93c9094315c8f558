"""The clock jumps, never runs, and a deadlock is an error."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from atts.config.run import resolve
from atts.engines.simulated.clock import Deadlock, run_virtually
from atts.runs.runner import Run
from atts.runs.setup import prepare


def test_hours_pass_in_no_time_and_in_order() -> None:
    async def main() -> list[tuple[float, str]]:
        clock = asyncio.get_running_loop().time
        seen: list[tuple[float, str]] = []

        async def sleeper(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            seen.append((clock(), name))

        await asyncio.gather(sleeper(7200, "b"), sleeper(90_000, "c"), sleeper(0.5, "a"))
        return seen

    began = time.monotonic()
    assert run_virtually(main()) == [(0.5, "a"), (7200.0, "b"), (90_000.0, "c")]
    assert time.monotonic() - began < 60


def test_timeouts_are_virtual_too() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.sleep(3601)
        return asyncio.get_running_loop().time()

    assert run_virtually(main()) == 3600


def test_waiting_for_what_never_comes_is_an_error() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run_virtually(main())


def test_work_for_threads_is_done_here_and_takes_no_time() -> None:
    async def main() -> tuple[bool, float]:
        here = await asyncio.to_thread(threading.get_ident) == threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        return here, asyncio.get_running_loop().time()

    assert run_virtually(main()) == (True, 0.0)


def test_a_result_and_an_error_come_out() -> None:
    async def fails() -> None:
        await asyncio.sleep(1)
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_virtually(fails())


def test_a_whole_run_writes_the_same_journal_byte_for_byte(tmp_path: Path, blockbuster: BlockBuster) -> None:
    blockbuster.deactivate()  # work for threads, such as the disk's, is done in the loop here, on purpose
    config = resolve(options={"draft": "scripted:6,0.5", "target": "scripted:6,2", "limit": 5, "samples": 4, "seed": 1})

    async def execute(path: Path) -> float:
        wall: float = (await Run(prepare(config), path).execute())["time"]["wall_s"]
        return wall

    began = time.monotonic()
    simulated = sum(run_virtually(execute(tmp_path / name)) for name in ("one", "two"))
    journals = [(tmp_path / name / "journal.jsonl").read_bytes() for name in ("one", "two")]
    assert journals[0] == journals[1] != b""
    assert simulated > 0
    assert time.monotonic() - began < 60
