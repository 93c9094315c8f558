"""`scripts/crash_loop`: a few kills of all; and that it would see what it looks for."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "crash_loop"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("crash_loop", str(SCRIPT))
    spec = importlib.util.spec_from_loader("crash_loop", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["crash_loop"] = module  # where its data classes look for their own annotations
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


def test_a_few_kills_lose_double_and_leave_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "5", "--models", "0", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("5 kills (")
    assert done.stdout.endswith("0 lost, 0 doubled, 0 processes left\n")


def line(kind: str, sample: int, turn: int) -> bytes:
    own = {"kind": kind, "problem": "p", "sample": sample} | ({"turn": turn} if kind == "turn" else {"turns": turn})
    return json.dumps(own).encode() + b"\n"


def test_what_is_lost_or_doubled_is_counted(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(script.PAIRS, "scripted", {"limit": 1, "samples": 2})
    whole = [line("turn", 0, 0), line("turn", 0, 1), line("chain", 0, 2), line("turn", 1, 0), line("chain", 1, 1)]
    cases = {
        "whole": (whole, whole, 0, 0),
        "a chain lost": (whole[:3], [*whole[:2], *whole[3:]], 3, 0),  # two lines stand elsewhere or nowhere
        "a turn done twice": (whole, [*whole, line("turn", 1, 0)], 0, 1),
        "a chain done twice": (whole, [*whole, line("chain", 1, 1)], 0, 1),
        "a turn missing": (whole[1:], whole[1:], 1, 0),
    }
    for name, (before, after, lost, doubled) in cases.items():
        loop = script.Loop(tmp_path / name, random.Random(0), 0.0)
        folder = tmp_path / name / "scripted-0"
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text('{"status": "complete"}')
        for content in (before, after):
            (folder / "journal.jsonl").write_bytes(b"".join(content) + b'{"kind":"tu')
            loop._compare("scripted")
        loop._end("scripted")
        assert (bool(loop.lost), loop.doubled) == (bool(lost), doubled), name


def test_a_process_that_is_left_is_found_and_ended(script: ModuleType) -> None:
    token = f"test-{os.getpid()}"
    with subprocess.Popen(["sleep", "600"], env=os.environ | {script.TOKEN: token}) as process:
        while not script._started_by(token):  # until it runs
            pass
        assert script._left(token, 0.2) == 1
        assert process.wait(timeout=60) == -9
    assert script._left(token, 0.2) == 0
