"""Plots of a run as SVG that follows the page's colours, each with its figures as a table for those who cannot see it.

matplotlib draws; its colours are replaced by the page's variables, so that one drawing serves light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from atts.errors import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from atts.stats.estimate import Estimate

INK, MUTED, GRID = "#0a0b01", "#0a0b02", "#0a0b03"
DRAFT, TARGET, GOOD, OTHER = "#0a0b04", "#0a0b05", "#0a0b06", "#0a0b07"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--line",
    DRAFT: "--draft",
    TARGET: "--target",
    GOOD: "--good",
    OTHER: "--other",
}
SERIES = (DRAFT, TARGET, GOOD, OTHER)
_MOST_ROWS = 60  # of a table behind a plot

Rows = Sequence[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing, what it shows in a sentence, and its figures."""

    name: str
    title: str
    caption: str
    svg: str
    head: Sequence[str]
    rows: Rows


def draw(
    name: str, title: str, caption: str, paint: Callable[[Axes], None], head: Sequence[str] = (), rows: Rows = ()
) -> Plot:
    """A plot painted on axes. Raises InputError where matplotlib is missing."""
    return Plot(name, title, caption, svg(name, title, paint), head, rows[:_MOST_ROWS])


def svg(name: str, title: str, paint: Callable[[Axes], None]) -> str:
    """The drawing alone, as an SVG element."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise needs_extra("plots need matplotlib", "report") from error
    with mpl.rc_context(_style(name)):
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.subplots()
        paint(axes)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside upper right", ncols=4, frameon=False, fontsize=8, columnspacing=1.2)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_page(drawn.getvalue(), title)


def _style(name: str) -> dict[str, Any]:
    return {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": name,  # the same run gives the same file
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "axes.prop_cycle": _cycle(),
    }


def _cycle() -> Any:
    from cycler import cycler

    return cycler(color=SERIES)


def _for_page(drawn: str, title: str) -> str:
    """Only the `svg` element, in the page's colours, with a name, and without ids that plots would share."""
    body = drawn[drawn.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 role="img" aria-label="TITLE">', body, count=1)
    body = body.replace("TITLE", re.sub(r'[&<>"]', " ", title), 1)
    for color, variable in _VARIABLES.items():
        body = body.replace(color, f"var({variable})")
    return re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px sans-serif", body)


def percents(axes: Axes, which: str = "y") -> None:
    """Shares as per cent on an axis."""
    from matplotlib.ticker import PercentFormatter

    (axes.yaxis if which == "y" else axes.xaxis).set_major_formatter(PercentFormatter(1.0, decimals=0))


def band(axes: Axes, at: Sequence[float], estimates: Sequence[Estimate], label: str, color: str) -> None:
    """A line with its interval."""
    values, low, high = (np.array([getattr(e, key) for e in estimates]) for key in ("value", "low", "high"))
    axes.plot(at, values, color=color, label=label, marker="o" if len(at) < 30 else "", markersize=3)
    axes.fill_between(at, low, high, color=color, alpha=0.15, linewidth=0)


def steps(axes: Axes, values: Iterable[float], label: str, color: str) -> None:
    """The share of values up to each one."""
    ordered = np.sort(np.fromiter(values, dtype=float))
    if len(ordered) > 500:
        ordered = np.quantile(ordered, np.linspace(0, 1, 500))
    if len(ordered):
        axes.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", label=label, color=color)


def whole_numbers(axes: Axes) -> None:
    """Ticks at whole numbers only, on the horizontal axis; a single point stands between its neighbours."""
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_xlim()
    if high - low < 1:
        axes.set_xlim((low + high) / 2 - 1, (low + high) / 2 + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
