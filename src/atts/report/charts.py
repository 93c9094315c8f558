"""Plots, with matplotlib (extra `report`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atts.errors import InputError, needs_extra

if TYPE_CHECKING:
    from atts.calibration.replay import Replayed
    from atts.results.compare import Compared

WINDOW = 200  # decisions


def draw_replay(path: Path, done: Sequence[Replayed]) -> None:
    """Rates by turn (mean of the orders), by question and over time (first order), every calibrator beside the promise.

    The format follows from the suffix. Raises InputError if matplotlib is missing or the file cannot be written.
    """
    page = figure(12, 3.5)
    panels = page.subplots(1, 3)
    by_turn, by_question, over_time = panels
    rate = done[0].settings.rate
    for axes, label in zip(panels, ("turn", "questions, sorted", f"decision (mean of {WINDOW})"), strict=True):
        axes.axhline(rate, color="black", linewidth=0.8, linestyle="--")
        axes.set_xlabel(label)
        axes.set_ylabel("takeover rate")
        axes.set_ylim(0, 1)
    turns = done[0].audit.by_turn
    noise = np.array([2 * np.sqrt(rate * (1 - rate) / turn.n) for turn in turns])
    places = [turn.turn for turn in turns]
    by_turn.fill_between(places, rate - noise, rate + noise, color="0.88", label="a coin, 95 %")
    for height, one in enumerate(reversed(done)):  # the first one lies on top
        label = one.settings.name + (" (question)" if one.settings.scope == "question" else "")
        color = f"C{len(done) - 1 - height}"
        rates = [turn.rate for turn in one.audit.by_turn]
        by_turn.plot([turn.turn for turn in one.audit.by_turn], rates, "o-", markersize=3, color=color, label=label)
        by_question.plot(sorted(question.rate for question in one.audits[0].by_question), linewidth=1, color=color)
        over_time.plot(_running([decision.rejected for decision in one.decisions[0]]), linewidth=1, color=color)
    by_turn.legend(frameon=False, fontsize="small", reverse=True)
    save(page, path)


def draw_frontier(path: Path, runs: Sequence[Compared]) -> None:
    """Accuracy of each run with its interval against the target's tokens, and against time; each frontier is joined.

    The format follows from the suffix. Raises InputError if matplotlib is missing or the file cannot be written.
    """
    page = figure(9, 3.5)
    tokens, time = page.subplots(1, 2, sharey=True)
    for axes, label, cost in (
        (tokens, "tokens written by the target", "target_tokens"),
        (time, "time running, s", "running_s"),
    ):
        for one in runs:
            estimate, at = one.accuracy["maj@k"], getattr(one, cost)
            error = [[estimate.value - estimate.low], [estimate.high - estimate.value]]
            axes.errorbar(at, estimate.value, yerr=error, fmt="o", capsize=2, label=one.name)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
        axes.grid(color="0.9")
    for group in {one.group for one in runs if one.best}:
        best = sorted(
            (one.target_tokens, one.accuracy["maj@k"].value) for one in runs if one.best and one.group == group
        )
        tokens.plot(*zip(*best, strict=True), color="0.6", zorder=0) if len(best) > 1 else None
    tokens.set_ylabel("maj@k")
    tokens.legend(frameon=False, fontsize="small")
    save(page, path)


def draw_rates(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """pass@1 with its interval against the realised takeover rate, a line a method: the rows of `benchmarks/rates.py`.

    The format follows from the suffix. Raises InputError if matplotlib is missing or the file cannot be written.
    """
    page = figure(6, 3.8)
    axes = page.subplots()
    for line in dict.fromkeys(row["line"] for row in rows):
        own = sorted((row for row in rows if row["line"] == line), key=lambda row: float(row["rate"]))
        estimates = [row["accuracy"]["pass@1"] for row in own]
        values = [100 * estimate["value"] for estimate in estimates]
        error = [
            [100 * (estimate["value"] - estimate["low"]) for estimate in estimates],
            [100 * (estimate["high"] - estimate["value"]) for estimate in estimates],
        ]
        rates = [100 * row["realised"]["value"] for row in own]
        axes.errorbar(rates, values, yerr=error, marker="o", markersize=4, capsize=2, label=line)
    axes.set_xlabel("takeover rate, realised, %")
    axes.set_ylabel("pass@1, %")
    axes.set_ylim(0, 100)
    axes.grid(color="0.9")
    axes.legend(frameon=False, fontsize="small", loc="lower right")
    save(page, path)


def draw_plan(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Time and GPU hours of every plan against the target's share of what is kept; a strategy's rates are joined.

    The format follows from the suffix. Raises InputError if matplotlib is missing or the file cannot be written.
    """
    page = figure(9, 3.5)
    both = page.subplots(1, 2)
    for axes, label, key in zip(both, ("time, s", "GPU hours"), ("makespan_s", "gpu_hours"), strict=True):
        for name in dict.fromkeys(row["strategy"] for row in rows):
            points = sorted((100 * (row["target_share"] or 0), row[key]) for row in rows if row["strategy"] == name)
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
        axes.set_xlabel("tokens kept that the target wrote, %")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(color="0.9")
    both[1].legend(frameon=False, fontsize="small")
    save(page, path)


def draw_intensity(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """How much of its requests' time a method spends with an engine as samples and turns grow: `benchmarks/scaling.py`.

    The rest they wait, for a slot or at a barrier; with r for working over waiting it is r / (1 + r). The format
    follows from the suffix. Raises InputError if matplotlib is missing or the file cannot be written.
    """
    page = figure(9, 3.5)
    both = page.subplots(1, 2, sharey=True)
    for axes, grows, label in zip(
        both, ("samples", "turns"), ("samples a problem", "most turns of a chain"), strict=True
    ):
        for name in dict.fromkeys(row["strategy"] for row in rows):
            own = [row for row in rows if (row["strategy"], row["grows"]) == (name, grows)]
            shares = [100.0 if (r := row["served"]) is None else 100 * r / (1 + r) for row in own]
            axes.plot([row["value"] for row in own], shares, marker="o", markersize=4, label=name)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(label)
        axes.grid(color="0.9")
    both[0].set_ylim(0, 105)
    both[0].set_ylabel("request time with an engine, %")
    both[0].legend(frameon=False, fontsize="small", loc="lower left")
    save(page, path)


def save(page: Any, path: Path) -> None:
    """Write a figure in the format of the suffix. Raises InputError if that cannot be done."""
    try:
        page.savefig(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be drawn: {str(error)[:80]}") from error


def refuse_if_undrawable(path: Path) -> None:
    """Raise InputError if `save` could not write there: no matplotlib, no such format, no such folder."""
    known = figure(1, 1).canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise InputError(f"{path}: cannot be drawn: give a suffix that is a format ({', '.join(sorted(known))})")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be drawn: there is no such folder, or it cannot be written to")


def figure(width: float, height: float) -> Any:
    """An empty figure, in inches. Raises InputError if matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise needs_extra("plots need matplotlib", "report") from error
    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def _running(taken: Sequence[bool]) -> Any:
    width = min(WINDOW, len(taken))
    return np.convolve(np.asarray(taken, dtype=np.float64), np.full(width, 1 / width), "valid")
