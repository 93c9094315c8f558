"""The plots of one run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from atts.report.plots import (
    DRAFT,
    GOOD,
    GRID,
    MUTED,
    OTHER,
    TARGET,
    Plot,
    band,
    draw,
    percents,
    steps,
    whole_numbers,
)
from atts.report.timeline import works_of
from atts.results.loaded import LoadedRun
from atts.runs.summary import taken_over
from atts.stats.estimate import Bootstrap, Curve, Estimate, by_samples, by_turns
from atts.types import Stage, Status, Turn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METRICS = {"pass@1": OTHER, "pass@k": DRAFT, "maj@k": TARGET}
_QUANTILES = (10, 25, 50, 75, 90, 99)
_POINTS = 240  # of the plot of open requests


def plots(run: LoadedRun) -> list[Plot]:
    """Every plot that the run has data for, in reading order."""
    return [plot for plot in _all(run) if plot is not None]


def _all(run: LoadedRun) -> Iterator[Plot | None]:
    turns = [turn for chain in run.turns.values() for turn in chain]
    yield _rate(run, turns)
    yield _p_values(turns)
    graded = (run.outcomes.graded > 0).any()
    yield _accuracy_by_samples(run) if graded and run.config.samples > 1 else None
    yield _accuracy_by_turns(run) if graded else None
    yield _tokens(run) if turns else None
    yield _latency(run)
    yield _open_requests(turns) if turns else None


def _rate(run: LoadedRun, turns: Sequence[Turn]) -> Plot | None:
    """The takeover rate of each turn with its interval over questions, beside the promise."""
    takeover = run.summary["takeover"]
    if takeover is None or not takeover["by_turn"]:
        return None
    order = {problem.id: row for row, problem in enumerate(run.problems)}
    counts: dict[int, np.ndarray] = defaultdict(lambda: np.zeros((2, len(order))))
    for turn in turns:
        if (taken := taken_over(turn)) is not None:
            counts[turn.turn][:, order[turn.problem]] += (1, taken)
    at = sorted(counts)
    bootstrap = Bootstrap(len(order))
    rates = [bootstrap.ratio(counts[turn][1], counts[turn][0]) for turn in at]

    def paint(axes: Axes) -> None:
        if (promised := takeover["target_rate"]) is not None:
            axes.axhline(promised, color=MUTED, linestyle="--", linewidth=1, label="promised")
        low, high = zip(*((e.value - e.low, e.high - e.value) for e in rates), strict=True)
        values = [e.value for e in rates]
        axes.errorbar(
            at, values, yerr=(low, high), fmt="o", color=TARGET, markersize=4, linewidth=1, label="taken over"
        )
        # A last turn that few chains reach has an interval as wide as the scale; it is cut off.
        top = max(2.5 * (promised or 0), 1.3 * max(values), 0.05)
        axes.set(xlabel="turn", ylabel="takeover rate", ylim=(0, min(1, top)))
        percents(axes)
        whole_numbers(axes)

    rows = [(turn, int(counts[turn][0].sum()), *_interval(rate)) for turn, rate in zip(at, rates, strict=True)]
    text = "Share of each turn's chunks that the target took over; 95 % intervals over questions, a promise dashed."
    return draw("rate", "Takeover rate by turn", text, paint, ("turn", "decisions", "rate", "from", "to"), rows)


def _p_values(turns: Sequence[Turn]) -> Plot | None:
    """p-values of chunks against earlier scores: flat where the scores of a run are exchangeable."""
    values = [t.decision.p_value for t in turns if t.decision is not None and t.decision.p_value is not None]
    if not values:
        return None
    heights, edges = np.histogram(values, bins=20, range=(0, 1))

    def paint(axes: Axes) -> None:
        axes.bar(edges[:-1], heights, width=0.05, align="edge", color=DRAFT, edgecolor=GRID, linewidth=0.5)
        axes.axhline(len(values) / 20, color=MUTED, linestyle="--", linewidth=1, label="if exchangeable")
        axes.set(xlabel="p-value", ylabel="chunks", xlim=(0, 1))

    rows = [(f"{left:.2f} to {left + 0.05:.2f}", int(n)) for left, n in zip(edges, heights, strict=False)]
    text = "p-value of every scored chunk; small ones are the strangest chunks, which the target takes over."
    return draw("p-values", "p-values", text, paint, ("p-value", "chunks"), rows)


def _accuracy_by_samples(run: LoadedRun) -> Plot:
    text = "What fewer samples a problem would have given; 95 % bands over questions."
    return _curve("samples", "Accuracy against samples", text, "samples a problem", by_samples(run.outcomes))


def _accuracy_by_turns(run: LoadedRun) -> Plot | None:
    curve = by_turns(run.outcomes)
    if not curve.at:
        return None
    text = "What stopping every chain after so many turns would have given; 95 % bands over questions."
    return _curve("turns", "Accuracy against turns", text, "turns a chain", curve)


def _curve(name: str, title: str, text: str, label: str, curve: Curve) -> Plot:
    def paint(axes: Axes) -> None:
        for metric, estimates in curve.metrics.items():
            band(axes, curve.at, estimates, metric, _METRICS[metric])
        axes.set(xlabel=label, ylabel="right", ylim=(0, 1.02))
        percents(axes)
        whole_numbers(axes)

    head = (label, *(column for metric in curve.metrics for column in (metric, "from", "to")))
    rows = [
        (at, *(cell for estimates in curve.metrics.values() for cell in _interval(estimates[place])))
        for place, at in enumerate(curve.at)
    ]
    return draw(name, title, text, paint, head, rows)


def _tokens(run: LoadedRun) -> Plot:
    """Who wrote what stands, what was dropped, and what the target only read."""
    tokens = run.summary["tokens"]
    kept = {"draft, kept": 0, "target, kept": 0}
    for turns in run.turns.values():
        for turn in turns:
            for piece in () if turn.anew else turn.kept:  # a copy of what a sibling wrote counts there
                kept[f"{piece.author.value}, kept"] += len(piece.ids)
    bars = {
        "draft, kept": (kept["draft, kept"], DRAFT),
        "draft, dropped": (tokens["discarded"], GRID),
        "target, kept": (kept["target, kept"], TARGET),
        "scored by the target": (tokens["scored"], OTHER),
        "read by the target": (tokens["prefilled"], GOOD),
    }

    def paint(axes: Axes) -> None:
        names = list(bars)[::-1]
        axes.barh(names, [bars[name][0] for name in names], color=[bars[name][1] for name in names], edgecolor=MUTED)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="tokens")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g} k" if value >= 1000 else f"{value:g}")

    rows = [(name, f"{count:,}") for name, (count, _) in bars.items()]
    text = "Tokens that stand by author, drafts that were dropped, and what the target read to score."
    return draw("tokens", "Tokens by author", text, paint, ("tokens", "count"), rows)


def _latency(run: LoadedRun) -> Plot | None:
    """How long chains took, and answers: from a problem's first chain to the end of its last."""
    chains = [chain.end - chain.start for chain in run.chains.values() if chain.status is Status.DONE]
    if not chains:
        return None
    answers = answer_seconds(run)

    def paint(axes: Axes) -> None:
        steps(axes, chains, "chains", DRAFT)
        steps(axes, answers.values(), "answers", TARGET)
        axes.set(xlabel="seconds", ylabel="share that is through", ylim=(0, 1.02))
        percents(axes)

    columns = [np.percentile(values, _QUANTILES) for values in (chains, list(answers.values())) if values]
    cells = zip(*([f"{value:.3g} s" for value in column] for column in columns), strict=True)
    rows = [(f"{q} %", *row) for q, row in zip(_QUANTILES, cells, strict=True)]
    text = "Share of chains that took at most so long, and of problems from first chain's start to last chain's end."
    return draw("latency", "Latency of chains and answers", text, paint, ("share", "chains", "answers"), rows)


def answer_seconds(run: LoadedRun) -> dict[str, float]:
    """For each problem that has an answer and whose samples have all ended: seconds from its first chain's beginning to
    its last one's end."""
    found = {}
    for problem in run.problems:
        keys = [(problem.id, sample) for sample in range(run.config.samples)]
        if all(key in run.chains for key in keys) and any(key in run.votes for key in keys):
            own = [run.chains[key] for key in keys]
            found[problem.id] = max(chain.end for chain in own) - min(chain.start for chain in own)
    return found


def _open_requests(turns: Sequence[Turn]) -> Plot | None:
    """How many requests of each stage were open at once, over the run."""
    works = [work for turn in turns for work in works_of(turn)]
    if not works:
        return None
    at = np.linspace(min(w.span.ready for w in works), max(w.span.end for w in works), _POINTS)
    lines = {}
    for stage in Stage:
        own = [work.span for work in works if work.stage is stage]
        if own:
            lines[stage.value] = _level(at, [s.start for s in own], [s.end for s in own])
    lines["waiting for a slot"] = _level(at, [w.span.ready for w in works], [w.span.start for w in works])
    colors = {"draft": DRAFT, "score": OTHER, "takeover": TARGET, "waiting for a slot": MUTED}

    def paint(axes: Axes) -> None:
        for name, level in lines.items():
            axes.plot(at, level, label=name, color=colors[name], linewidth=1)
        axes.set(xlabel="seconds since the run began", ylabel="requests", ylim=(0, None))

    rows = [(name, f"{level.mean():.1f}", int(level.max())) for name, level in lines.items()]
    text = "Requests that each stage had open, and those that waited for a slot."
    return draw("requests", "Requests over time", text, paint, ("stage", "mean", "most"), rows)


def _level(at: np.ndarray, begins: Sequence[float], ends: Sequence[float]) -> np.ndarray:
    """How many intervals are open at each moment."""
    return np.searchsorted(np.sort(begins), at, "right") - np.searchsorted(np.sort(ends), at, "right")


def _interval(estimate: Estimate) -> tuple[str, str, str]:
    values = (estimate.value, estimate.low, estimate.high)
    return tuple("–" if np.isnan(value) else f"{100 * value:.1f} %" for value in values)  # type: ignore[return-value]
