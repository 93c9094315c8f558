"""The trace: valid, nested, and in agreement with the summary."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from atts import load_run
from atts.report.timeline import write_timeline
from tests.report.conftest import execute

NEEDED = {
    "X": {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"},
    "M": {"name", "ph", "pid", "tid", "args"},
    "C": {"name", "ph", "ts", "pid", "tid", "args"},
    "s": {"name", "cat", "ph", "id", "ts", "pid", "tid"},
    "t": {"name", "cat", "ph", "id", "ts", "pid", "tid"},
    "f": {"name", "cat", "ph", "id", "ts", "pid", "tid", "bp"},
}
METADATA = {"process_name", "process_sort_index", "thread_name", "thread_sort_index"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which requests wait for slots and overlap."""
    slow = {"draft": "scripted:6,0.01", "target": "scripted:6,0.02", "draft_slots": 3, "score_slots": 2}
    return execute(tmp_path_factory.mktemp("runs") / "slow", **slow)


@pytest.fixture(scope="module")
def trace(run: Path) -> list[dict[str, Any]]:
    path = run / "trace.json"
    count = write_timeline(load_run(run), path)
    events: list[dict[str, Any]] = json.loads(path.read_text())["traceEvents"]
    assert len(events) == count
    return events


def spans(trace: list[dict[str, Any]]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    lanes = defaultdict(list)
    for event in trace:
        if event["ph"] == "X":
            lanes[event["pid"], event["tid"]].append(event)
    return lanes


def test_every_event_has_what_the_format_asks_for(trace: list[dict[str, Any]]) -> None:
    for event in trace:
        assert event.keys() >= NEEDED[event["ph"]], event
        assert event.get("ts", 0) >= 0 and event.get("dur", 0) >= 0
        assert event["ph"] != "M" or event["name"] in METADATA
        assert event["ph"] != "C" or all(isinstance(value, int | float) for value in event["args"].values())


def test_spans_of_a_lane_nest(trace: list[dict[str, Any]]) -> None:
    for lane, events in spans(trace).items():
        open_: list[float] = []
        for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
            start, end = event["ts"], round(event["ts"] + event["dur"], 3)
            while open_ and open_[-1] <= start:
                open_.pop()
            assert not open_ or end <= open_[-1] + 0.001, f"{lane}: {event} sticks out"
            open_.append(end)
            assert lane[0] == 3 or len(open_) == 1, f"{lane}: requests of one lane overlap"


def test_sums_of_lanes_are_the_busy_times(trace: list[dict[str, Any]], run: Path) -> None:
    time = json.loads((run / "summary.json").read_text())["time"]
    lanes = spans(trace)
    for pid, role in ((1, "draft"), (2, "target")):
        busy = sum(event["dur"] for event in lanes[pid, 0]) / 1e6
        assert busy == pytest.approx(time[f"{role}_busy"], abs=1e-6)
    chains = [event for (pid, _), events in lanes.items() if pid == 3 for event in events]
    barrier = sum(stage["barrier"] for stage in time["stages"].values())
    for name, seconds in (("waiting", time["waiting_s"]), ("held back", barrier)):
        assert sum(event["dur"] for event in chains if event["name"] == name) / 1e6 == pytest.approx(seconds, abs=1e-5)


def test_chains_that_failed_before_their_first_turn_have_lanes(run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run, tmp_path / "r"))
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    ends = [line.replace('"status":"done"', '"status":"error"') for line in lines if line.startswith('{"kind":"chain"')]
    (run / "journal.jsonl").write_text("".join(ends))
    write_timeline(load_run(run), tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    chains = [event for event in events if event["ph"] == "X" and event["pid"] == 3]
    assert len(chains) == len({event["tid"] for event in chains}) == 12
    assert {event["args"]["status"] for event in chains} == {"error"}


def test_a_score_that_is_no_number_leaves_the_trace_valid(run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run, tmp_path / "r"))
    text = (run / "journal.jsonl").read_text()
    (run / "journal.jsonl").write_text(text.replace('"p_value":0.', '"p_value":1e999,"was":0.', 1))
    write_timeline(load_run(run), tmp_path / "trace.json")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((tmp_path / "trace.json").read_text(), parse_constant=refuse)


def test_arrows_lead_along_every_chain(trace: list[dict[str, Any]]) -> None:
    flows = defaultdict(list)
    for event in trace:
        if event["ph"] in "stf":
            flows[event["id"]].append(event)
    assert len(flows) == 12
    lanes = spans(trace)
    for steps in flows.values():
        assert [step["ph"] for step in steps] == ["s", *["t"] * (len(steps) - 2), "f"]
        assert [step["ts"] for step in steps] == sorted(step["ts"] for step in steps)
        for step in steps:  # an arrow ends on a span
            assert any(event["ts"] == step["ts"] for event in lanes[step["pid"], step["tid"]])


def test_counters_end_at_zero_and_at_the_rate(trace: list[dict[str, Any]], run: Path) -> None:
    last = {event["name"]: event["args"] for event in trace if event["ph"] == "C"}
    for stage in ("draft", "score", "takeover"):
        assert last[f"{stage} requests"] == {"running": 0, "waiting": 0}
    summary = json.loads((run / "summary.json").read_text())
    assert last["takeover rate"]["so far"] == pytest.approx(summary["takeover"]["rate"]["value"], abs=1e-4)
