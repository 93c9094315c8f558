"""What a run came to, in a few lines of text: what a terminal and a notebook show of its summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any


def outline(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The figures of a summary by name. Models and servers say part of it: escape it where markup means something."""
    chains, tokens, time = summary["chains"], summary["tokens"], summary["time"]
    if summary.get("data"):
        yield "data", summary["data"]
    yield "problems × samples", f"{summary['problems']} × {summary['samples']}"
    yield "chains", _chains(chains)
    for name, estimate in summary["accuracy"].items():
        yield name.replace("@k", f"@{summary['samples']}"), interval(estimate)
    if (takeover := summary["takeover"]) is not None:
        yield "takeover rate", f"{interval(takeover['rate'])}, promised {percent(takeover['target_rate'])}"
    yield "tokens kept", f"{tokens['kept']:,}, {percent(tokens['target_share'])} written by the target"
    yield (
        "tokens written",
        f"draft {tokens['draft']:,} (dropped {tokens['discarded']:,}), target {tokens['target']:,}",
    )
    if tokens["scored"]:
        yield (
            "tokens scored",
            f"{tokens['scored']:,} (prefilled {tokens['prefilled']:,}, cached {tokens['cached']:,})",
        )
    yield (
        "time",
        f"{seconds(time['wall_s'])}, a chain {seconds(time['chain_s']['p50'])} (p99 {seconds(time['chain_s']['p99'])})"
        f", an answer {seconds(time['answer_s']['p50'])}",
    )
    for reason, count in summary["errors"].items():
        yield "failed", f"{count} × {reason}"
    for warning in summary["warnings"]:
        yield "warning", warning


def html_table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Rows of names and texts as a small table, escaped."""
    cell = '<td style="text-align: left">{}</td>'
    body = "".join(f"<tr>{cell.format(escape(name))}{cell.format(escape(said))}</tr>" for name, said in rows)
    return f'<table><caption style="text-align: left">{escape(title)}</caption><tbody>{body}</tbody></table>'


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
