"""How time and memory grow with chains, and a schedule with samples and turns, on simulated engines.

    python benchmarks/scaling.py [--most 100000] [--plot FILE] [--json]

Chains are drawn from the typical distribution, an 8B draft on one H100 and a 32B target on two, 16 samples a problem.
Every number of chains has a process of its own, so that its peak memory is its own. CPU seconds tell how much work it
is, whatever else the machine does.

The second table is what waiting costs as samples and turns grow, for `lockstep` and `atts` (arXiv 2509.15148). `served`
is request-seconds with an engine over request-seconds waiting for a slot or at a barrier. `engines` is the paper's
T_c / (T_m + T_s): seconds in which the engines compute, over those in which they move memory or idle. `--plot` draws
what is served, as a share of all request-seconds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from atts.engines.simulated.hardware import Machine
from atts.engines.simulated.work import Typical
from atts.errors import InputError
from atts.pipeline.settings import SlotSettings
from atts.planning.plan import Outcome, Plan, simulate
from atts.report.charts import draw_intensity, refuse_if_undrawable

CHAINS = (100, 1_000, 10_000, 100_000)
SAMPLES = (1, 2, 4, 8, 16, 32, 64)
TURNS = (1, 2, 5, 10, 20, 40)
SLOTS = SlotSettings(chains=256, draft=256, score=256, takeover=256)
MOST_RATIO = 1.3  # time a chain at the most chains over that at 1,000
MOST_BYTES = 2e9
UNIT = 1024 if sys.platform != "darwin" else 1  # of ru_maxrss


def plan(problems: int, samples: int, strategy: str, turns: float = 3.8, most: int = 15) -> Plan:
    work = Typical(count=problems, samples=samples, turns=turns, most=most)
    machines = Machine.named("8b@h100"), Machine.named("32b@2xh100")
    return Plan(work, *machines, strategy=strategy, slots=SLOTS)


def measure(chains: int) -> dict[str, Any]:
    """Simulate so many chains; to be called in a process that does nothing else."""
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = simulate(plan(-(-chains // 16), 16, "atts"))
    made = outcome.summary["chains"]["done"]
    cpu = time.process_time() - cpu
    return {
        "chains": made,
        "cpu_s": cpu,
        "wall_s": time.perf_counter() - wall,
        "cpu_ms_a_chain": 1000 * cpu / made,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT,
        "makespan_s": outcome.makespan,
    }


def measure_chains(most: int) -> Iterator[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    for chains in (number for number in CHAINS if number <= most):
        print(f"{chains:,} chains", file=sys.stderr)
        with context.Pool(1) as pool:
            yield pool.apply(measure, (chains,))


def intensity_row(outcome: Outcome, **what: Any) -> dict[str, Any]:
    stages = outcome.summary["time"]["stages"]
    parts = {part: sum(stage[part] for stage in stages.values()) for part in ("computing", "slot", "barrier")}
    return {
        **what,
        "makespan_s": outcome.makespan,
        "served": outcome.summary["time"]["intensity"],
        "engines": outcome.intensity,
        **{f"{part}_s": seconds for part, seconds in parts.items()},
    }


def measure_intensity() -> Iterator[dict[str, Any]]:
    """Four problems, all of their samples open at once; with 16 samples, chains of up to so many turns."""
    for strategy in ("lockstep", "atts"):
        for samples in SAMPLES:
            outcome = simulate(plan(4, samples, strategy))
            yield intensity_row(outcome, strategy=strategy, grows="samples", value=samples)
        for turns in TURNS:
            outcome = simulate(plan(4, 16, strategy, turns=(turns + 1) / 2, most=turns))
            yield intensity_row(outcome, strategy=strategy, grows="turns", value=turns)


def chains_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="chains", title_justify="left")
    for name in ("chains", "CPU", "CPU a chain", "wall", "peak memory", "simulated"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row['chains']:,}",
            f"{row['cpu_s']:.1f} s",
            f"{row['cpu_ms_a_chain']:.2f} ms",
            f"{row['wall_s']:.1f} s",
            f"{row['peak_bytes'] / 1e6:.0f} MB",
            f"{row['makespan_s'] / 3600:.2f} h",
        )
    return table


def intensity_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="working over waiting, as samples and turns grow", title_justify="left")
    heads = ("", "lockstep\nserved", "\nengines", "\nmakespan", "atts\nserved", "\nengines", "\nmakespan")
    for head in heads:
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    found = {(row["strategy"], row["grows"], row["value"]): row for row in rows}
    for strategy, grows, value in found:
        if strategy == "lockstep":
            both = [found[name, grows, value] for name in ("lockstep", "atts")]
            cells = [(ratio(row["served"]), ratio(row["engines"]), f"{row['makespan_s']:.0f} s") for row in both]
            table.add_row(f"{value} {grows}", *cells[0], *cells[1])
    return table


def ratio(value: float | None) -> str:
    return "∞" if value is None else f"{value:,.2f}"


def verdict(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The largest number of chains against 1,000: does it stay linear, and small?"""
    base = next((row for row in rows if row["chains"] >= 1000), rows[0])
    ratio_ = rows[-1]["cpu_ms_a_chain"] / base["cpu_ms_a_chain"]
    bytes_ = rows[-1]["peak_bytes"]
    return {"ratio": ratio_, "peak_bytes": bytes_, "holds": ratio_ <= MOST_RATIO and bytes_ < MOST_BYTES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=CHAINS[-1], help="the most chains [100000]")
    parser.add_argument("--only", choices=("chains", "intensity"), help="one of the two tables")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the second table")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    options = parser.parse_args()
    if options.plot and options.only == "chains":
        parser.error("--plot draws the table of intensities, which --only chains leaves out")
    try:
        if options.plot:
            refuse_if_undrawable(options.plot)
    except InputError as error:
        parser.error(str(error))
    if options.most < CHAINS[0]:
        parser.error(f"--most {options.most}: {CHAINS[0]} chains are the fewest that are measured")
    chains = list(measure_chains(options.most)) if options.only != "intensity" else []
    intensity = list(measure_intensity()) if options.only != "chains" else []
    found = verdict(chains) if chains else None
    if options.plot:
        draw_intensity(options.plot, intensity)
    if options.json:
        print(json.dumps({"chains": chains, "intensity": intensity, "verdict": found}, indent=2))
    else:
        console = Console()
        if found:
            console.print(chains_table(chains), f"time a chain, most against 1,000: {found['ratio']:.2f}×")
        if intensity:
            console.print(intensity_table(intensity))
    return 0 if found is None or found["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
