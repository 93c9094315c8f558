"""What a run came to, in a few lines of text: what a terminal and a notebook show of its summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

UNSEEN = "there the interval is how far other questions could still part them, not a difference that was seen"


def outline(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The figures of a summary by name. Models and servers say part of it: escape it where markup means something."""
    chains, tokens, time = summary["chains"], summary["tokens"], summary["time"]
    if summary["status"] != "complete":
        yield "status", _status(summary)
    if summary.get("data"):
        yield "data", summary["data"]
    yield "problems × samples", f"{summary['problems']} × {summary['samples']}"
    yield "chains", _chains(chains)
    if ways := by_ways(summary):
        yield "answers found by", ways
    for name in metrics(summary["accuracy"], summary["samples"]):
        said = interval(summary["accuracy"][name]) + _rests_on(name, summary)
        yield name.replace("@k", f"@{summary['samples']}"), said
    if (takeover := summary["takeover"]) is not None:
        yield "takeover rate", rate_line(takeover, chains["done"])
        if unbound := _unbound(takeover):
            yield "no promise", unbound
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
    yield "time", f"{seconds(running(time))} running, after {seconds(time.get('loading_s', 0.0))} of loading"
    chain, answer = time["chain_s"], time["answer_s"]
    yield "a chain, an answer", f"{seconds(chain['p50'])} (p99 {seconds(chain['p99'])}), {seconds(answer['p50'])}"
    for reason, count in summary["errors"].items():
        yield "failed", f"{count} × {reason}"
    for warning in summary["warnings"]:
        yield "warning", warning


def by_ways(summary: Mapping[str, Any]) -> str:
    """How many answers which way of the answer rule found; "" where it has but one, and for older runs."""
    ways = summary.get("answers", {}).get("ways", {})
    return ", ".join(f"{way} {count:,}" for way, count in sorted(ways.items(), key=lambda item: -item[1]))


def metrics(names: Iterable[str], samples: int) -> list[str]:
    """The metrics that say something: with one sample a problem all of them are pass@1."""
    return [name for name in names if samples > 1 or name == "pass@1"]


def running(time: Mapping[str, Any]) -> float | None:
    """Seconds of a run without those in which its models loaded (of which older runs say nothing)."""
    value: float | None = time.get("running_s", time.get("wall_s"))
    return value


TOO_FEW = 50
"""Decisions below which a rate says little of what was promised."""


def hardly_decided(takeover: Mapping[str, Any], done: int) -> bool:
    """Whether fewer than a tenth of the chains were ever decided on, so that the rate is not one of the run."""
    return done > 0 and takeover.get("undecided_chains", 0) > 0.9 * done


def rate_line(takeover: Mapping[str, Any], done: int) -> str:
    """The takeover rate in words: with its interval and its promise, or why it says nothing."""
    if hardly_decided(takeover, done):
        return f"none: {takeover['undecided_chains']} of {done} chains ended before any decision"
    promised, decisions = takeover["target_rate"], takeover.get("decisions")
    words = "no rate promised" if promised is None else f"promised {percent(promised)}"
    few = f"; too few decisions ({decisions})" if decisions is not None and decisions < TOO_FEW else ""
    return f"{interval(takeover['rate'])}, {words}{few}"


def bound_groups(takeover: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The groups of the certificate whose deviation is bounded whatever the stream, and those without a bound."""
    groups = takeover.get("certificate") or {}
    bound = [name for name, entry in groups.items() if "bound" in entry or "theta" in entry]
    return bound, [name for name in groups if name not in bound]


def _unbound(takeover: Mapping[str, Any]) -> str:
    """Which rates nobody promised, beside one that is: they are what the scores made of them."""
    bound, others = bound_groups(takeover)
    turns = [name.partition(":")[2] for name in others if name.startswith("turn:")]
    return f"rates of single turns (the run's is held to {_held(takeover)})" if "all" in bound and turns else ""


def _held(takeover: Mapping[str, Any]) -> str:
    bound = takeover["certificate"]["all"].get("bound")
    return "its promise" if bound is None else f"within {100 * bound:.1f} points whatever the scores"


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


def _status(summary: Mapping[str, Any]) -> str:
    """What a reader has to know before any figure."""
    chains = summary["chains"]
    if summary["status"] == "failed":
        return f"failed: {chains['error']} of {chains['wanted']} chains"
    ended = chains["done"] + chains["error"] + chains["cancelled"]
    return f"{summary['status']}: {ended} of {chains['wanted']} chains have ended"


def _rests_on(metric: str, summary: Mapping[str, Any]) -> str:
    """On how little a figure rests, where that is less than the run was to give."""
    chains, questions = summary["chains"], summary["accuracy"][metric].get("questions")
    if summary["status"] == "complete":
        return ""
    if metric == "pass@1":
        return f" of {chains['done']} of {chains['wanted']} chains"
    return f" of {questions} of {summary['problems']} problems"


def _chains(chains: Mapping[str, int]) -> str:
    parts = [f"{chains['done']} of {chains['wanted']} done", f"{chains['answered']} answered"]
    parts += [
        f"{chains[name]} {word}" for name, word in (("error", "failed"), ("cancelled", "cancelled")) if chains[name]
    ]
    return ", ".join(parts)
