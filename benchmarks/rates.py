"""Accuracy against the takeover rate, from nothing to everything: the frontier of `atts`, and of a coin.

    python benchmarks/rates.py [--problems 50] [--samples 16] [--rates 0,0.1,…] [--out FOLDER] [--plot FILE] [--json]

Intervals are 95 %, their unit is the problem. `target` is the share of the kept tokens that the target wrote.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from atts.report.charts import draw_rates
from runs import arguments, configuration, folder_of, made, screen

RATES = "0,0.05,0.1,0.2,0.3,0.5,0.7,1"
LINES: Mapping[str, Mapping[str, Any]] = {
    "atts, replace": {"strategy": "atts", "on_reject": "replace"},
    "atts, continue": {"strategy": "atts", "on_reject": "continue"},
    "coin, replace": {"strategy": "coin", "on_reject": "replace"},
}
"""What is swept, by name: keys of the configuration beside the rate."""


def main(given: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = arguments(__doc__)
    parser.add_argument("--rates", default=RATES, help=f"takeover rates [{RATES}]")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it (the format follows from the suffix)")
    options = parser.parse_args(given)
    try:
        rates = [float(rate) for rate in options.rates.split(",")]
    except ValueError:
        parser.error(f"--rates {options.rates}: write them as 0,0.1,0.5")
    with folder_of(options) as folder:
        rows = [
            _row(line, rate, made(_configuration(options, line, rate), folder / _name(line, rate)).summary)
            for rate in rates
            for line in LINES
        ]
    if options.plot is not None:
        draw_rates(options.plot, rows)
    if options.json:
        print(json.dumps({"rows": rows}, indent=2))
    else:
        screen().print(_table(rows, options))
    return 0


def _configuration(options: argparse.Namespace, line: str, rate: float) -> Any:
    return configuration(options, takeover_rate=rate, **LINES[line])


def _name(line: str, rate: float) -> str:
    return f"{line.replace(', ', '-')}-{rate:g}"


def _row(line: str, rate: float, summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "line": line,
        "rate": rate,
        "status": summary["status"],
        "realised": summary["takeover"]["rate"],
        "accuracy": summary["accuracy"],
        "target_share": summary["tokens"]["target_share"],
        "tokens": summary["tokens"],
        "time": summary["time"],
    }


def _table(rows: Sequence[Mapping[str, Any]], options: argparse.Namespace) -> Table:
    title = f"{options.problems} problems × {options.samples} samples; all figures in %"
    table = Table(title=title, title_justify="left")
    table.add_column("method", no_wrap=True)
    for column in ("rate", "realised", "target", "pass@1", "majority"):
        table.add_column(column, justify="right")
    for row in sorted(rows, key=lambda row: (list(LINES).index(row["line"]), row["rate"])):
        table.add_row(
            row["line"],
            f"{100 * row['rate']:.0f}",
            _percent(row["realised"]["value"]),
            _percent(row["target_share"]),
            _interval(row["accuracy"]["pass@1"]),
            _interval(row["accuracy"]["maj@k"]),
        )
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _interval(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "–"
    return f"{100 * estimate['value']:.1f} ({100 * estimate['low']:.1f} to {100 * estimate['high']:.1f})"


if __name__ == "__main__":
    sys.exit(main())
