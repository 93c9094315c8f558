"""A process that is killed takes the processes with it that work for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from atts.grading.workers import Workers

pytest.importorskip("torch")
pytest.importorskip("math_verify")
linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by /proc")

COMMAND = [
    *(sys.executable, "-m", "atts", "run", "--quiet", "--preset", "bundled", "--grader", "math"),
    *("--limit", "3", "--samples", "2", "--out"),
]


def marked(mark: str) -> list[int]:
    """Every process that lives in an environment with this mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def seconds(count: float) -> Callable[[Path, str], bool]:
    end = []

    def passed(folder: Path, mark: str) -> bool:
        end.append(time.monotonic())
        return end[-1] - end[0] >= count

    return passed


def workers_run(folder: Path, mark: str) -> bool:
    return len(marked(mark)) >= 3


def journal_stands(folder: Path, mark: str) -> bool:
    path = folder / "journal.jsonl"
    return path.exists() and path.stat().st_size > 0


def summary_stands(folder: Path, mark: str) -> bool:
    return (folder / "summary.json").exists()


MOMENTS = [*map(seconds, (0.05, 0.4, 0.8, 1.2, 1.8, 2.5)), workers_run, seconds(4), journal_stands, summary_stands]


@linux
def test_a_run_that_is_killed_at_any_moment_leaves_no_process(tmp_path: Path) -> None:
    seen = 0
    for number, moment in enumerate(MOMENTS):
        mark, folder = f"ATTS_TEST_MARK={uuid.uuid4()}", tmp_path / str(number)
        environment = os.environ | dict([mark.split("=")])
        run = subprocess.Popen([*COMMAND, str(folder)], env=environment, stderr=subprocess.DEVNULL)
        while not moment(folder, mark) and run.poll() is None:
            time.sleep(0.01)
        seen = max(seen, len(marked(mark)))
        run.kill()
        run.wait()
        end = time.monotonic() + 5
        while (left := marked(mark)) and time.monotonic() < end:
            time.sleep(0.02)
        assert not left, f"moment {number}"
    assert seen >= 3  # or nothing was killed that has workers


@linux
def test_a_worker_without_the_kernels_help_sees_its_input_end_while_it_computes() -> None:
    """Asleep in a request of an hour, and started by a process that lives on."""
    code = (
        "import sys, time; from atts.launch.lifeline import lines\n"
        "for line in lines(sys.stdin.buffer): print('begun', flush=True); time.sleep(3600)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdin is not None and worker.stdout is not None
    with worker.stdin, worker.stdout:
        worker.stdin.write(b"question\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == b"begun\n"
        worker.stdin.close()
        assert worker.wait(5) == 0


def test_a_worker_outlives_the_thread_that_asked_first() -> None:
    """The kernel's signal follows the thread that forked."""
    answers = []
    with Workers("atts.grading.math_worker", count=1, limit=10, arguments=("3", "2048")) as workers:
        for _ in range(2):
            thread = threading.Thread(target=lambda: answers.append(workers.ask(["1/2", "0.5"])))
            thread.start()
            thread.join()
        assert answers == [True, True]
        assert workers.replaced == 0


@linux
def test_a_grading_worker_dies_with_its_parent_whatever_it_computes() -> None:
    mark = f"ATTS_TEST_MARK={uuid.uuid4()}"
    code = (
        "import time; from atts.grading.workers import Worker\n"
        "w = Worker('atts.grading.math_worker', ('60', '2048')); w.ask(['1', '1'], 60)\n"
        "print('ready', flush=True); w.ask(['1', '9^{9^{9^9}}'], 60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | dict([mark.split("=")]), stdout=-1)
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == b"ready\n"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    end = time.monotonic() + 5
    while (left := marked(mark)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left
