"""What scheduling alone costs: the same recorded chains under every schedule, on the same simulated engines.

    python benchmarks/schedule.py chains.jsonl [--problems 30] [--json]

`chains.jsonl` has one chain a line: `question`, `sample`, `answer` and `turns`, each [characters drafted, perplexity or
null, characters taken over or null]; a run folder does as well. Lengths and decisions are those of the record, so that
all schedules do the same work and only their order differs; a last chunk that nobody took over is not scored. All other
methods write chains of the same length, in whole chunks, and call the target where the record's text is the target's;
they write more or less of it twice, or ask differently. Vote stop leaves chains unfinished whose answers can no longer
change a majority. That is other work, and marked so.

`reference` is the paper's code: 16 requests to the draft and 4 to the target, scoring and takeovers alike, and the next
problem begins when all samples of the last one have ended. `group barrier` is that barrier without the narrow slots.

No schedule is faster than the busier engine when that reads and writes all it has to in full batches, without a pause;
nor than the longest chain when it is alone. One that wastes nothing takes about as long as the two together: the bound.
Exit status 1 if `atts` is less than 5 times shorter than the reference, or more than 5 % above the bound.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from atts.cli.tables import show
from atts.engines.simulated.hardware import Machine
from atts.engines.simulated.server import Load
from atts.errors import InputError
from atts.pipeline.settings import SlotSettings
from atts.pipeline.strategies import STRATEGIES
from atts.planning.plan import Outcome, Plan, simulate
from atts.planning.shapes import load_work
from atts.types import Role

LEAST_FASTER = 5.0
MOST_ABOVE = 1.05
SAME_WORK = ("reference", "group barrier", "lockstep", "coin", "atts")
VOTED = "vote stop"


def schedules(base: Plan) -> dict[str, Plan]:
    """Every schedule by its name in the table."""
    reference = SlotSettings(chains=base.work.samples, draft=16, score=4, takeover=4)
    named = {
        "reference": replace(base, slots=reference, one_by_one=True, one_queue=True),
        "group barrier": replace(base, one_by_one=True),
    }
    strategies = [name for name in SAME_WORK if name in STRATEGIES]
    named |= {name: replace(base, strategy=name) for name in strategies}
    if base.work.answers:
        named[VOTED] = replace(base, vote_stop="exact")
    return named | {name: replace(base, strategy=name) for name in STRATEGIES if name not in strategies}


def least_seconds(machine: Machine, load: Load) -> float:
    """How long an engine needs at least for what it read and wrote: in full batches, with no pause.

    Weights are read once a step, but no step has more than a batch of tokens written; while they are read, it computes.
    """
    steps: float = load.written / machine.serving.batch
    fixed: float = max(steps * machine.weights_s, (load.read + load.written) * machine.token_s)
    cache: float = load.held_tokens * machine.kv_s + load.pairs * machine.attention_s
    return fixed + cache + steps * machine.serving.overhead


def find_bound(base: Plan) -> dict[str, float]:
    """From all chains, made one after the other: what each engine has to do, and how long the longest chain takes."""
    alone = simulate(replace(base, slots=SlotSettings(chains=1, draft=1, score=1, takeover=1)))
    machines = base.machines()
    least = {f"{role.value}_s": least_seconds(machines[role], load) for role, load in alone.loads.items()}
    longest = alone.longest_chain
    return {**least, "longest_chain_s": longest, "bound_s": max(least.values()) + longest}


def recorded_seconds(path: Path, problems: int) -> float | None:
    """What the record itself took, problem by problem, where its lines tell `seconds` of every sample; else None."""
    if not path.is_file():
        return None
    slowest: dict[Any, float] = {}
    for row in map(json.loads, filter(None, path.read_text(encoding="utf-8").splitlines())):
        slowest[row["question"]] = max(slowest.get(row["question"], 0.0), row.get("seconds", float("nan")))
    total = sum(list(slowest.values())[:problems])
    return total if total == total else None


def row_of(name: str, outcome: Outcome) -> dict[str, Any]:
    time = outcome.summary["time"]
    return {
        "strategy": name,
        "same_work": name in SAME_WORK,
        "makespan_s": outcome.makespan,
        "answer_s": time["answer_s"]["p50"],
        "chain_s": time["chain_s"]["p50"],
        "busy": {role.value: outcome.busy(role) for role in outcome.loads},
        "peak_kv_gb": {role.value: outcome.peak_bytes(role) / 1e9 for role in outcome.loads},
        "intensity": time["intensity"],
        "tokens": outcome.summary["tokens"]["draft"] + outcome.summary["tokens"]["target"],
    }


def judge(rows: list[dict[str, Any]], bound: Mapping[str, float]) -> dict[str, Any]:
    found = {row["strategy"]: row["makespan_s"] for row in rows}
    faster = found["reference"] / found["atts"]
    above = found["atts"] / bound["bound_s"]
    return {
        "atts_faster_than_reference": faster,
        "atts_over_bound": above,
        "holds": faster >= LEAST_FASTER and above <= MOST_ABOVE,
    }


def table_of(rows: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("schedule", no_wrap=True)
    heads = (
        "makespan\ns",
        "against\nreference",
        "answer\ns",
        "busy, %\ndraft",
        "\ntarget",
        "KV, GB\ndraft",
        "\ntarget",
    )
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    reference = rows[0]["makespan_s"]
    for row in rows:
        busy, peak = row["busy"], row["peak_kv_gb"]
        table.add_row(
            row["strategy"] + ("" if row["same_work"] else " *"),
            f"{row['makespan_s']:.0f}",
            f"{reference / row['makespan_s']:.1f}×",
            f"{row['answer_s']:.0f}",
            *(f"{100 * busy[role.value]:.0f}" if role.value in busy else "–" for role in Role),
            *(f"{peak[role.value]:.1f}" if role.value in peak else "–" for role in Role),
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chains", help="recorded chains: a JSON Lines file or a run folder")
    parser.add_argument("--problems", type=int, default=30, help="the first so many problems [30]")
    parser.add_argument("--samples", type=int, default=16, help="samples a problem [16]")
    parser.add_argument("--draft", default="8b@h100", help="draft model and GPUs [8b@h100]")
    parser.add_argument("--target", default="32b@2xh100", help="target model and GPUs [32b@2xh100]")
    parser.add_argument("--open", type=int, default=256, help="chains open at once, but for the reference [256]")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    options = parser.parse_args()
    try:
        work = load_work(options.chains, problems=options.problems, samples=options.samples, fixed=True)
        machines = Machine.named(options.draft), Machine.named(options.target)
        slots = SlotSettings(options.open, options.open, options.open, options.open)
        base = Plan(work, *machines, slots=slots)
        rows = [row_of(name, simulate(plan)) for name, plan in schedules(base).items()]
        bound = find_bound(base)
    except InputError as error:
        parser.error(str(error))
    recorded = recorded_seconds(Path(options.chains), options.problems)
    result = {"rows": rows, "bound": bound, "recorded_s": recorded, **judge(rows, bound)}
    if options.json:
        print(json.dumps(result, indent=2))
        return 0 if result["holds"] else 1
    console = Console()
    show(table_of(rows, f"{work.problems} problems × {work.samples}, {options.draft} and {options.target}"))
    console.print("answer: median, from a problem's first chain to its last; KV: peak of open requests; * other work")
    console.print(
        f"least work: draft {bound['draft_s']:.0f} s, target {bound['target_s']:.0f} s; longest chain "
        f"{bound['longest_chain_s']:.0f} s; bound: {bound['bound_s']:.0f} s"
    )
    console.print(
        f"atts: {result['atts_faster_than_reference']:.1f} times shorter than the reference, "
        f"{result['atts_over_bound']:.2f} of the bound"
    )
    if recorded is not None:
        console.print(f"the record itself, on the servers that it was made with: {recorded:.0f} s")
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
