"""Workers that hang, die, or print nonsense, and the pool that goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atts.grading.mathematics import Math
from atts.grading.workers import SilenceError, Workers
from atts.types import Problem

from .hostile import hostile

PROGRAM = """
import json, os, sys, time
print("ready", flush=True)
for line in sys.stdin:
    question = json.loads(line)
    if question == "hang":
        time.sleep(60)
    if question == "die":
        os._exit(3)
    if question == "deaf":
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            pass
    print(json.dumps([os.getpid(), question]), flush=True)
"""


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    (tmp_path / "echoing.py").write_text(PROGRAM)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with Workers("echoing", count=2, limit=10.0) as made:
        yield made


def test_processes_are_used_again(workers: Workers) -> None:
    pids = {workers.ask(i)[0] for i in range(20)}
    assert len(pids) == 1
    assert workers.ask("a" * 300_000)[1] == "a" * 300_000


@pytest.mark.parametrize(
    ("question", "reason"), [("hang", "time limit"), ("deaf", "time limit"), ("die", "worker died")]
)
def test_a_silent_one_is_killed_and_replaced(workers: Workers, question: str, reason: str) -> None:
    before = workers.ask("x")[0]
    begun = time.monotonic()
    with pytest.raises(SilenceError, match=reason):
        workers.ask(question)
    assert time.monotonic() - begun < 50
    assert workers.ask("y")[0] != before
    assert workers.replaced == 1


def test_many_threads_share_few_workers(workers: Workers) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(workers.ask, range(100)))
    assert [question for _, question in answers] == list(range(100))
    assert len({pid for pid, _ in answers}) == 2


def test_closed_workers_answer_nothing(workers: Workers) -> None:
    with ThreadPoolExecutor(2) as pool:
        pids = {pid for pid, _ in pool.map(workers.ask, range(20))}
    workers.close()
    workers.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(RuntimeError, match="closed"):
        workers.ask(2)


def test_pathological_expressions_stall_nothing() -> None:
    """A sample of what `benchmarks/grading.py` runs whole."""
    pytest.importorskip("math_verify")
    grader = Math(workers=1, seconds=2)
    slow = ["9^{9^{9^{9}}}", "(10^{9})!", "\\binom{10^9}{5\\cdot 10^8}"]
    try:
        for answer in [*slow, *(text[:1_500] for text in hostile(30))]:
            begun = time.monotonic()
            verdict = grader.grade(answer, Problem("p", "?", "5"))
            assert verdict in (False, None)
            assert time.monotonic() - begun < 50
        assert grader.grade(slow[0], Problem("p", "?", "5")) is None
        assert grader.why(slow[0], Problem("p", "?", "5")) == "time limit"
        assert grader.grade("\\sqrt{25}", Problem("p", "?", "5")) is True
    finally:
        grader.close()
