"""What the live view costs: `python benchmarks/live.py [--json]`.

A run of scripted engines keeps 1,000 chains in flight, watched on a terminal of 100 columns; a chunk takes two seconds
and a score or takeover one, which is faster than servers are with chunks of 500 tokens. Reported is the processor time
of what the view does, taking events in and refreshing, as a share of the run's time, less what measuring costs.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from rich.console import Console
from rich.live import Live

from atts.cli import live
from atts.config.run import resolve
from atts.runs.runner import Run
from atts.runs.setup import prepare

P = ParamSpec("P")
T = TypeVar("T")
CHAINS = 1000


class Meter:
    """Processor time of calls, each in whatever thread it runs."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0

    def measured(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function, measured. Calls of one function do not overlap."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            began = time.thread_time()
            result = function(*args, **kwargs)
            self.seconds += time.thread_time() - began
            self.calls += 1
            return result

        return call


def overhead() -> float:
    """Seconds that measuring adds to a call."""
    empty = Meter()
    call = empty.measured(lambda: None)
    for _ in range(20_000):
        call()
    return empty.seconds / empty.calls


def main() -> None:
    refreshes, events = Meter(), Meter()
    Live.refresh = refreshes.measured(Live.refresh)  # type: ignore[method-assign]
    config = resolve(
        preset="bundled",
        options={
            **{"limit": 125, "samples": 16, "chains": CHAINS, "turns": 12},
            **{"draft": "scripted:10,2", "target": "scripted:10,1"},
            **{"draft_slots": CHAINS, "score_slots": CHAINS, "takeover_slots": CHAINS},
        },
    )
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=40)
    with tempfile.TemporaryDirectory() as folder, live.watch(console) as sink:
        began = time.monotonic()
        asyncio.run(Run(prepare(config), Path(folder) / "run", sinks=[events.measured(sink)]).execute())
        wall = time.monotonic() - began
    events.seconds -= events.calls * overhead()
    found = {
        "wall_s": round(wall, 2),
        "events": events.calls,
        "events_share": events.seconds / wall,
        "refreshes": refreshes.calls,
        "refresh_ms": 1000 * refreshes.seconds / max(1, refreshes.calls),
        "refresh_share": refreshes.seconds / wall,
    }
    found["share"] = found["events_share"] + found["refresh_share"]
    if "--json" in sys.argv:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name:15} {value:.4g}")


if __name__ == "__main__":
    main()
