"""A pytest plugin: runs the tests that a file names, in that order, or notes how long each test took.

`ATTS_MUTATE_CHOSEN` names a JSON list of tests to run, `ATTS_MUTATE_SECONDS` says how much time of the processor they
have, and `ATTS_MUTATE_TIMES` names a file to write the seconds of each test to.
"""

from __future__ import annotations

import json
import os
import resource
from collections import Counter
from pathlib import Path

import pytest

_seconds: Counter[str] = Counter()


def pytest_configure() -> None:
    """Die when the time of the processor is up."""
    if seconds := os.environ.get("ATTS_MUTATE_SECONDS"):
        whole = max(1, round(float(seconds)))
        resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what was chosen, in its order."""
    if path := os.environ.get("ATTS_MUTATE_CHOSEN"):
        order = {name: place for place, name in enumerate(json.loads(Path(path).read_bytes()))}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in order])
        items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up setup, call and teardown."""
    _seconds[report.nodeid] += report.duration  # type: ignore[assignment]


def pytest_sessionfinish() -> None:
    """Write what was noted."""
    if path := os.environ.get("ATTS_MUTATE_TIMES"):
        Path(path).write_text(json.dumps(_seconds), encoding="utf-8")
