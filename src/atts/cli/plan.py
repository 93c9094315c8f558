"""`atts plan`: what a run would take, before any GPU is paid for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from atts.cli.streams import in_json
from atts.cli.tables import say, screen, show
from atts.errors import InputError
from atts.results.outline import percent

if TYPE_CHECKING:
    from atts.planning.plan import Outcome, Plan


ASSUMED = "*"  # behind a rate that nobody controls


def _finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not isfinite(value):
        raise click.BadParameter(f"{value} is no price")
    return value


@click.command(epilog="Efficiencies are assumptions; docs/planning.md says which, and what is left out.")
@click.option("--draft", "draft_name", default="8b@h100", metavar="TEXT", help="draft model and its GPUs [8b@h100]")
@click.option("--target", "target_name", default="32b@2xh100", metavar="TEXT", help="target and its GPUs [32b@2xh100]")
@click.option("--shapes", default="typical", metavar="TEXT", help="chains: typical, a run folder, or a file [typical]")
@click.option("--problems", type=click.IntRange(1), metavar="N", help="problems [30, or all that are recorded]")
@click.option("--samples", type=click.IntRange(1, 4096), metavar="N", help="chains a problem [16, or as recorded]")
@click.option("--strategies", default="all", metavar="TEXT", help="methods, with commas [all]")
@click.option("--rates", default="0.4", metavar="TEXT", help="takeover rates; assumed where none is controlled [0.4]")
@click.option("--chains", type=click.IntRange(1), default=256, metavar="N", help="chains open at once [256]")
@click.option("--draft-slots", type=click.IntRange(1), metavar="N", help="draft requests at once [as chains]")
@click.option("--score-slots", type=click.IntRange(1), metavar="N", help="score requests at once [as chains]")
@click.option("--takeover-slots", type=click.IntRange(1), metavar="N", help="takeover requests at once [as chains]")
@click.option("--tokens", type=click.IntRange(1), default=500, metavar="N", help="most tokens of a piece [500]")
@click.option("--on-reject", type=click.Choice(["continue", "replace"]), default="continue", help="as in atts run")
@click.option("--vote-stop", type=click.Choice(["off", "exact", "statistical"]), default="off", help="as in atts run")
@click.option("--price", type=click.FloatRange(0), callback=_finite, metavar="X", help="of a GPU for an hour: the cost")
@click.option("--seed", type=click.IntRange(0), default=0, metavar="N", help="seed of everything random [0]")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="draw time against target share")
@click.option("--json", "as_json", is_flag=True, help="print as JSON")
def plan(
    draft_name: str, target_name: str, strategies: str, rates: str, price: float | None, plot: Path | None,
    as_json: bool, **options: Any,
) -> int:  # fmt: skip
    """Simulate a run: time, throughput, GPU hours and target share, for each strategy and rate.

    The pipeline itself runs, on simulated model servers whose clock jumps. Machines are written MODEL@GPU or
    MODEL@NxGPU, with models 1.5b, 7b, 8b, 14b, 32b and 70b and GPUs h100, h200, a100 and l40s. Exit status 1 if chains
    fail.

    \b
        atts plan --problems 100 --rates 0.2,0.4
        atts plan --draft 1.5b@l40s --target 70b@4xa100 --shapes runs/earlier --price 2.5
    """
    from atts.planning.plan import simulate
    from atts.report.charts import draw_plan, refuse_if_undrawable

    if plot is not None:
        refuse_if_undrawable(plot)
    base = _base(draft_name, target_name, options)
    plans = list(_variants(base, _names(strategies), _numbers(rates)))
    console = screen(stderr=True)
    rows = []
    for number, one in enumerate(plans, start=1):
        with console.status(f"simulating {one.strategy} ({number} of {len(plans)})"):
            rows.append(_row(simulate(one), price))
    if plot is not None:
        draw_plan(plot, rows)
    if as_json:
        click.echo(in_json({"draft": draft_name, "target": target_name, "rows": rows}))
    else:
        title = f"{base.work.problems} problems × {base.work.samples}, draft {draft_name}, target {target_name}"
        show(_table(rows, title, priced=price is not None))
        for note in _notes(rows):
            say(note)
    return 0 if all(row["status"] == "complete" for row in rows) else 1


def _base(draft_name: str, target_name: str, options: Mapping[str, Any]) -> Plan:
    from atts.engines.simulated.hardware import Machine
    from atts.pipeline.settings import ChainSettings, SlotSettings
    from atts.planning.plan import Plan
    from atts.planning.shapes import load_work

    tokens, chains = options["tokens"], options["chains"]
    work = load_work(
        options["shapes"],
        problems=options["problems"],
        samples=options["samples"],
        limit=tokens,
        seed=options["seed"],
    )
    slots = (options[f"{stage}_slots"] or chains for stage in ("draft", "score", "takeover"))
    return Plan(
        work,
        Machine.named(draft_name),
        Machine.named(target_name),
        slots=SlotSettings(chains, *slots),
        vote_stop=options["vote_stop"],
        settings=ChainSettings(
            turns=work.most_turns, draft_tokens=tokens, target_tokens=tokens, on_reject=options["on_reject"]
        ),
    )


def _variants(base: Plan, strategies: list[str], rates: list[float]) -> Iterator[Plan]:
    """Every strategy, those that a rate concerns at every rate; refuses before anything is simulated."""
    for name in strategies:
        one = replace(base, strategy=name)
        one.refuse_if_impossible()
        yield from (replace(one, rate=rate) for rate in (rates if one.rated else rates[:1]))


def _names(text: str) -> list[str]:
    from atts.pipeline.strategies import STRATEGIES

    if text == "all":
        return list(STRATEGIES)
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(f"--strategies {text}: names no strategy")
    return names


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError as error:
        raise InputError(f"--rates {text}: give numbers with commas between them, e.g. 0.2,0.4") from error
    if not all(0 <= number <= 1 for number in numbers):
        raise InputError(f"--rates {text}: a rate lies in [0, 1]")
    return numbers


def _row(outcome: Outcome, price: float | None) -> dict[str, Any]:
    summary, plan = outcome.summary, outcome.plan
    return {
        "strategy": plan.strategy,
        "rate": plan.rate if plan.rated else None,
        "rate_assumed": plan.rated and not plan.method.controlled,
        "realised_rate": summary["takeover"]["rate"]["value"] if summary["takeover"] else None,
        "status": summary["status"],
        "makespan_s": outcome.makespan,
        "answer_s": summary["time"]["answer_s"],
        "chain_s": summary["time"]["chain_s"],
        "tokens_a_second": outcome.tokens_a_second,
        "target_share": summary["tokens"]["target_share"],
        "busy": {role.value: outcome.busy(role) for role in outcome.loads},
        "peak_kv_gb": {role.value: outcome.peak_bytes(role) / 1e9 for role in outcome.loads},
        "preempted": {role.value: load.preempted for role, load in outcome.loads.items()},
        "intensity": summary["time"]["intensity"],
        "engine_intensity": outcome.intensity,
        "gpu_hours": outcome.gpu_hours,
        "cost": None if price is None else price * outcome.gpu_hours,
        "chains": summary["chains"],
        "errors": summary["errors"],
    }


def _table(rows: list[dict[str, Any]], title: str, *, priced: bool) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("strategy", no_wrap=True)
    names = ["rate", "time\ns", "answer\ns", "tokens\n/s", "target\nshare", "busy, %\ndraft", "\ntarget", "GPU\nhours"]
    for name in [*names, "cost"] if priced else names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        busy = row["busy"]
        cells = [
            "–" if row["rate"] is None else f"{row['rate']:g}" + (ASSUMED if row["rate_assumed"] else ""),
            f"{row['makespan_s']:,.0f}",
            f"{row['answer_s']['p50']:,.0f}" if row["answer_s"]["p50"] is not None else "–",
            f"{row['tokens_a_second']:,.0f}",
            percent(row["target_share"]),
            *(f"{100 * busy[role]:.0f}" if role in busy else "–" for role in ("draft", "target")),
            f"{row['gpu_hours']:.2f}",
        ]
        failed = "" if row["status"] == "complete" else " (failed)"
        table.add_row(row["strategy"] + failed, *cells, *([f"{row['cost']:.2f}"] if priced else []))
    return table


def _notes(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What the table cannot say."""
    if any(row["rate_assumed"] for row in rows):
        yield f"{ASSUMED} assumed: how often the target is called is up to what the models write"
    for row in rows:
        if row["errors"]:
            reason, count = next(iter(row["errors"].items()))
            at = f" at rate {row['rate']:g}" if row["rate"] is not None else ""
            yield f"{row['strategy']}{at}: {row['chains']['error']} chains failed, most often ({count}): {reason}"
