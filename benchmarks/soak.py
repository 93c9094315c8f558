"""Does anything grow? Memory and file descriptors of a long run with very many chains in flight.

    python benchmarks/soak.py [--in-flight 1024] [--problems 512] [--samples 8] [--json]

Two test servers run in processes of their own, each on a scripted engine; the run is a whole one, with its folder and
journal. Memory and descriptors of this process are read when 10 %, 50 % and 100 % of the chains have ended. Exit
status 1 if memory grows by more than 10 % after the first half, or descriptors by more than 16.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from atts.config.run import resolve
from atts.events import ChainEnded, ChainStarted, Event
from atts.runs.runner import Run
from atts.runs.setup import prepare

MARKS = (0.1, 0.5, 1.0)


@dataclass(frozen=True)
class Reading:
    """This process when a share of the chains had ended."""

    share: float
    rss_mib: float
    descriptors: int
    open_chains: int
    seconds: float


class Gauge:
    """A sink that reads memory and descriptors at the marks."""

    def __init__(self, chains: int) -> None:
        self.readings: list[Reading] = []
        self.most_open = 0
        self._chains = chains
        self._open = self._ended = 0
        self._started = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Count chains."""
        if isinstance(event, ChainStarted):
            self._open += 1
            self.most_open = max(self.most_open, self._open)
        elif isinstance(event, ChainEnded):
            self._open -= 1
            self._ended += 1
            if self._ended >= MARKS[min(len(self.readings), len(MARKS) - 1)] * self._chains:
                self._read()

    def _read(self) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        rss = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
        seconds = time.monotonic() - self._started
        self.readings.append(Reading(self._ended / self._chains, rss, descriptors, self._open, seconds))


@asynccontextmanager
async def server(dialect: str, engine: str) -> AsyncIterator[str]:
    """A test server in a process of its own; its engine address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "atts.testing", dialect, engine, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def soak(in_flight: int, problems: int, samples: int) -> Gauge:
    """The run."""
    gauge = Gauge(problems * samples)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        rows = ({"id": f"p{n}", "question": f"What is {n} + 42 − {n}?", "answer": "42"} for n in range(problems))
        (path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        async with server("sglang", "scripted:8,0.2") as draft, server("sglang", "scripted:8,0.2") as target:
            slots = dict.fromkeys(("chains", "draft_slots", "score_slots", "takeover_slots"), in_flight)
            options = {"problems": str(path / "problems.jsonl"), "samples": samples, "draft": draft, "target": target}
            run_options = {
                "grader": "numeric",
                "chunk": "step",
                "on_reject": "replace",
                "takeover_rate": 0.2,
                "turns": 12,
            }
            config = resolve(preset="paper", options=options | run_options | slots)
            run = Run(await asyncio.to_thread(prepare, config), path / "run", sinks=[gauge])
            summary = await run.execute()
    assert summary["status"] == "complete", summary["errors"]
    return gauge


def sound(gauge: Gauge) -> bool:
    """Whether nothing grows from the middle to the end."""
    _, middle, end = gauge.readings
    return end.rss_mib <= 1.1 * middle.rss_mib and end.descriptors <= middle.descriptors + 16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, default=1024)
    parser.add_argument("--problems", type=int, default=512)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    gauge = asyncio.run(soak(arguments.in_flight, arguments.problems, arguments.samples))
    if arguments.json:
        print(json.dumps({"most_open": gauge.most_open, "readings": [asdict(r) for r in gauge.readings]}, indent=2))
        return 0 if sound(gauge) else 1
    table = Table(title=f"{gauge.most_open} chains in flight", title_justify="left")
    for column in ("chains ended", "RSS MiB", "descriptors", "chains open", "seconds"):
        table.add_column(column, justify="right")
    for r in gauge.readings:
        table.add_row(f"{r.share:.0%}", f"{r.rss_mib:.1f}", str(r.descriptors), str(r.open_chains), f"{r.seconds:.0f}")
    Console().print(table)
    return 0 if sound(gauge) else 1


if __name__ == "__main__":
    sys.exit(main())
