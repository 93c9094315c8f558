"""Real processes, really killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

COMMAND = [
    *(sys.executable, "-m", "atts", "run", "--quiet", "--json", "--preset", "bundled"),
    *("--draft", "scripted:7,0.02", "--target", "scripted:7,0.02"),
    *("--limit", "30", "--samples", "8", "--chains", "12", "--out"),
]
CHAINS = 30 * 8  # enough for some ten seconds, so that there is a middle to hit


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, str(folder)], stdout=subprocess.PIPE, start_new_session=True)


def chain_lines(folder: Path) -> list[bytes]:
    path = folder / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [line for line in lines if line.startswith(b'{"kind":"chain"')]


def test_killed_twenty_times_nothing_is_lost_and_nothing_done_twice(tmp_path: Path) -> None:
    rng = random.Random(7)
    folder = tmp_path / "run"
    kills, alive, finished = 0, True, []
    while kills < 20 and alive:
        process = start(folder)
        # Begin to count once the run writes, so that every kill hits it in the middle.
        size = journal_size(folder)
        while journal_size(folder) == size and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        alive = process.returncode == -signal.SIGKILL
        kills += alive
        now = chain_lines(folder)
        assert now[: len(finished)] == finished  # what was finished stands as it was
        finished = now
    assert kills == 20, f"the run ended after {kills} kills; make it longer"
    last = start(folder)
    summary: dict[str, Any] = json.loads(last.communicate(timeout=300)[0])
    assert last.returncode == 0
    assert summary["status"] == "complete"
    chains = Counter((c["problem"], c["sample"]) for c in map(json.loads, chain_lines(folder)))
    assert set(chains.values()) == {1} and len(chains) == CHAINS
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    turns = Counter((t["problem"], t["sample"], t["turn"]) for t in lines if t["kind"] == "turn")
    assert set(turns.values()) == {1} and len(turns) == CHAINS * 7
    uninterrupted = tmp_path / "whole"
    assert json.loads(start(uninterrupted).communicate(timeout=300)[0])["status"] == "complete"
    assert {(c["problem"], c["sample"]) for c in map(json.loads, chain_lines(uninterrupted))} == set(chains)


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path: Path) -> None:
    for presses, apart in ((1, 0.0), (2, 0.005), (2, 0.05), (2, 0.1)):
        folder = tmp_path / f"{presses}-{apart}"
        process = start(folder)
        while not chain_lines(folder):
            time.sleep(0.01)
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
            time.sleep(apart)
        summary = json.loads(process.communicate(timeout=300)[0])
        assert process.returncode == 1
        assert summary["status"] == "partial"
        again = start(folder)
        assert json.loads(again.communicate(timeout=300)[0])["status"] == "complete"
        assert len(chain_lines(folder)) == CHAINS


def journal_size(folder: Path) -> int:
    path = folder / "journal.jsonl"
    return path.stat().st_size if path.exists() else 0


def decisions_of(folder: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
    taken = [line["decision"] for line in lines if line["kind"] == "turn" and line["decision"]]
    return sorted(taken, key=lambda decision: decision["index"])


def test_a_killed_run_decides_as_one_that_was_not(tmp_path: Path) -> None:
    """One chain at a time, so that nothing but the calibrator's state could make a difference: scores, p-values,
    thresholds and horizons are equal to the last digit."""
    one_by_one = ["--calibrator", "budgeted", "--chains", "1", "--limit", "6", "--out"]
    command = [*COMMAND[:-1], *one_by_one]

    def begin(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, start_new_session=True)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert json.loads(begin(whole).communicate(timeout=300)[0])["status"] == "complete"
    rng = random.Random(3)
    for _ in range(2):
        process = begin(killed)
        size = journal_size(killed)
        while journal_size(killed) == size and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0.1, 0.6))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    summary = json.loads(begin(killed).communicate(timeout=300)[0])
    assert decisions_of(killed) == decisions_of(whole)
    assert all(decision["horizon"] for decision in decisions_of(whole))
    assert summary["takeover"]["certificate"]["all"]["horizon"] == decisions_of(whole)[-1]["horizon"]
