"""Results as tables that fit a screen, and the screen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO, Any, cast

from rich.console import Console
from rich.table import Table

from atts.cli.streams import Forgiving

_WIDEST = 1000  # characters of a line


def screen(*, stderr: bool = False) -> Console:
    """Where results are printed. Nothing in them is markup: models, servers and file names say much of it."""
    file = Forgiving(sys.stderr) if stderr and sys.stderr is not None else None
    return Console(file=cast(IO[str] | None, file), stderr=stderr, markup=False, emoji=False, highlight=False)


def summary_table(summary: Mapping[str, Any], folder: str) -> Table:
    """What a run came to, in one table of two columns."""
    chains, tokens, time = summary["chains"], summary["tokens"], summary["time"]
    table = Table(title=f"{summary['strategy']}: {summary['status']}", title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    if summary.get("data"):
        table.add_row("data", summary["data"])
    table.add_row("problems × samples", f"{summary['problems']} × {summary['samples']}")
    table.add_row("chains", _chains(chains))
    for name, estimate in summary["accuracy"].items():
        table.add_row(name.replace("@k", f"@{summary['samples']}"), interval(estimate))
    if (takeover := summary["takeover"]) is not None:
        table.add_row("takeover rate", f"{interval(takeover['rate'])}, promised {percent(takeover['target_rate'])}")
    table.add_row("tokens kept", f"{tokens['kept']:,}, {percent(tokens['target_share'])} written by the target")
    table.add_row(
        "tokens written", f"draft {tokens['draft']:,} (dropped {tokens['discarded']:,}), target {tokens['target']:,}"
    )
    if tokens["scored"]:
        table.add_row(
            "tokens scored", f"{tokens['scored']:,} (prefilled {tokens['prefilled']:,}, cached {tokens['cached']:,})"
        )
    table.add_row(
        "time",
        f"{seconds(time['wall_s'])}, a chain {seconds(time['chain_s']['p50'])} (p99 {seconds(time['chain_s']['p99'])})"
        f", an answer {seconds(time['answer_s']['p50'])}",
    )
    for reason, count in summary["errors"].items():
        table.add_row("failed", f"{count} × {reason}")
    for warning in summary["warnings"]:
        table.add_row("warning", warning)
    table.add_row("folder", folder)
    return table


def show(table: Table) -> None:
    """Print a table of figures as wide as it has to be: a terminal may break its lines, but no figure is cut short."""
    console = screen()
    needed = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    console.width = max(console.width, needed)
    console.print(table)


def interval(estimate: Mapping[str, Any]) -> str:
    """A share with its interval: `87.2 % (83.0 to 90.9)`."""
    if estimate["value"] is None:
        return "–"
    return f"{percent(estimate['value'])} ({100 * estimate['low']:.1f} to {100 * estimate['high']:.1f})"


def percent(share: float | None) -> str:
    """A share as per cent, one decimal."""
    return "–" if share is None else f"{100 * share:.1f} %"


def seconds(value: float | None) -> str:
    """A duration at the precision that a reader can use."""
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _chains(chains: Mapping[str, int]) -> str:
    parts = [f"{chains['done']} of {chains['wanted']} done", f"{chains['answered']} answered"]
    parts += [
        f"{chains[name]} {word}" for name, word in (("error", "failed"), ("cancelled", "cancelled")) if chains[name]
    ]
    return ", ".join(parts)
