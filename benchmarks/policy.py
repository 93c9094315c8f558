"""What a policy is worth: pass@1 behind the best fixed threshold in hindsight, at the same realised rate.

    python benchmarks/policy.py [--problems 50] [--samples 8] [--rates 0.05,0.1,…] [--orders samples,problems] [--json]
    python benchmarks/policy.py SCORES.csv … [--score ppl]

Without files, whole runs of the bundled pair: every calibrator in every order, and fixed thresholds between whose
outcomes lies what hindsight would have got at the same rate. All runs see the same draws (`--cache FILE` keeps them).
`regret` is in points of pass@1; the default is marked.

With files of recorded scores (columns problem, sample, turn and the score) nothing is known of right and wrong. There
`end` is how far the rate of the run is from its promise, `later` how far it ever is after 1,000 decisions (worst of
three arrival orders and ten seeds), and `missed` the share of what hindsight would have taken over, the highest scores,
that was not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from atts.calibration.arrival import parse_order
from atts.calibration.replay import Record, decide_all, read_record
from atts.config.run import RunConfig, resolve
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.types import Decision, Role
from remembered import Remembered
from runs import progress, screen

RATES = "0.05,0.1,0.15,0.2,0.3"
CALIBRATORS: Mapping[str, Mapping[str, Any]] = {
    "budgeted": {"calibrator": "budgeted"},
    "tracked": {"calibrator": "tracked", "by_turn": False},
    "tracked, gain .05": {"calibrator": "tracked", "by_turn": False, "gain": 0.05},
    "tracked by turn": {"calibrator": "tracked", "by_turn": True},
    "online": {"calibrator": "online", "by_turn": False},
    "coin": {"calibrator": "coin"},
}
"""By name: keys of a run, and options of a calibrator's settings."""

DEFAULT = ("budgeted", "samples")
ARRIVALS = ("fifo:16,4", "inflight:64", "merge", "samples:64")
SEEDS = 10
QUANTILES = (0.4, 0.55, 0.66, 0.74, 0.8, 0.85, 0.89, 0.92, 0.95, 0.98)
"""Of the scores of a draft alone: the fixed thresholds that are tried."""


@dataclass(frozen=True)
class Outcome:
    """One run: the rate that was realised, pass@1 and the number of decisions."""

    rate: float
    right: float
    decisions: int


@dataclass(frozen=True)
class Row:
    """One policy at one rate."""

    calibrator: str
    order: str
    promised: float
    rate: float
    right: float
    hindsight: float
    decisions: int

    @property
    def regret(self) -> float:
        """Pass@1 that hindsight has more."""
        return self.hindsight - self.right


def main(given: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    options = _arguments().parse_args(given)
    rates = [float(rate) for rate in options.rates.split(",")]
    if options.scores:
        rows = [row for path in options.scores for row in _recorded(Path(path), options.score, rates)]
        found: Any = rows
        table = _recorded_table(rows)
    else:
        measured = asyncio.run(_Pair(options).measure(rates, options.orders.split(",")))
        found = [asdict(row) | {"regret": row.regret, "default": _default(row)} for row in measured]
        table = _table(measured)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        screen().print(table)
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", nargs="*", help="recorded scores, instead of runs")
    parser.add_argument("--score", default="ppl", help="column of the score [ppl]")
    parser.add_argument("--draft", default="bundled:draft", help="draft engine")
    parser.add_argument("--target", default="bundled:target", help="target engine")
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--rates", default=RATES, help=f"takeover rates [{RATES}]")
    parser.add_argument("--orders", default="samples,problems", help="orders of the chains [samples,problems]")
    parser.add_argument("--only", help="calibrators, separated by semicolons [all]")
    parser.add_argument("--calibration", action="store_true", help="begin with the scores of ten other problems")
    parser.add_argument(
        "--cache", type=Path, metavar="FILE", help="keep what the models said in FILE.draft and .target"
    )
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    return parser


class _Pair:
    """Runs on two engines that remember."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        names = [name.strip() for name in options.only.split(";")] if options.only else list(CALIBRATORS)
        self._calibrators = {name: CALIBRATORS[name] for name in names}
        self._engines: dict[Role, Remembered] = {}

    async def measure(self, rates: Sequence[float], orders: Sequence[str]) -> list[Row]:
        """Every calibrator in every order at every rate, and what hindsight would have got."""
        setup = prepare(self._config())
        cache = self._options.cache
        self._engines = {
            role: Remembered(engine, cache and Path(f"{cache}.{role.value}")) for role, engine in setup.engines.items()
        }
        try:
            fixed = [outcome async for outcome in self._fixed(orders[0])]
            rows = []
            for order in orders:
                for name, keys in self._calibrators.items():
                    for rate in rates:
                        progress.print(f"{name}, {order}, {rate:g} …")
                        one, _ = await self._run(order=order, takeover_rate=rate, **keys)
                        known = np.interp(one.rate, [each.rate for each in fixed], [each.right for each in fixed])
                        rows.append(Row(name, order, rate, one.rate, one.right, float(known), one.decisions))
                for engine in self._engines.values():
                    engine.save()
            return rows
        finally:
            for opened in setup.engines.values():
                await opened.close()

    async def _fixed(self, order: str) -> Any:
        """Fixed thresholds from everything to nothing, by the rates that they come to."""
        nothing, scores = await self._run(order=order, takeover_rate=0.0, calibrator="online")
        found = [nothing]
        for threshold in np.quantile(scores, QUANTILES):
            progress.print(f"threshold {threshold:.3g} …")
            one, _ = await self._run(order=order, calibrator="fixed", threshold=float(threshold))
            found.append(one)
        for engine in self._engines.values():
            engine.save()
        for one in sorted(found, key=lambda each: each.rate):
            yield one

    async def _run(self, **keys: Any) -> tuple[Outcome, list[float]]:
        setup = replace(prepare(self._config(**keys)), engines=self._engines)
        with tempfile.TemporaryDirectory() as folder:
            run = Run(setup, Path(folder) / "run")
            summary = await run.execute()
            lines = map(json.loads, (run.path / "journal.jsonl").read_text().splitlines())
            scores = [line["decision"]["score"] for line in lines if line["kind"] == "turn" and line["decision"]]
        takeover = summary["takeover"]
        right = summary["accuracy"]["pass@1"]["value"]
        return Outcome(takeover["rate"]["value"], right, takeover["decisions"]), scores

    def _config(self, **keys: Any) -> RunConfig:
        options = self._options
        common = {"draft": options.draft, "target": options.target, "limit": options.problems}
        return resolve(options={**common, "samples": options.samples, **keys})


def _default(row: Row) -> bool:
    return (row.calibrator, row.order) == DEFAULT


def _table(rows: Sequence[Row]) -> Table:
    rates = sorted({row.promised for row in rows})
    decisions = [row.decisions for row in rows]
    table = Table(title=f"regret in points (rate) of runs of {min(decisions):,} to {max(decisions):,} decisions")
    table.add_column("calibrator, order", no_wrap=True)
    for rate in rates:
        table.add_column(f"{rate:g}", justify="right")
    table.add_column("mean", justify="right")
    table.add_column("off by", justify="right")
    for name, order in dict.fromkeys((row.calibrator, row.order) for row in rows):
        own = {row.promised: row for row in rows if (row.calibrator, row.order) == (name, order)}
        cells = [f"{100 * own[rate].regret:.1f} ({own[rate].rate:.3f})" for rate in rates]
        mean = f"{100 * np.mean([row.regret for row in own.values()]):.1f}"
        off = f"{max(abs(row.rate - row.promised) for row in own.values()):.3f}"
        mark = " ← default" if (name, order) == DEFAULT else ""
        table.add_row(f"{name}, {order}{mark}", *cells, mean, off)
    return table


def _recorded(path: Path, score: str, rates: Sequence[float]) -> Iterator[dict[str, Any]]:
    record = read_record(path, score)
    for arrival in ARRIVALS:
        for name, keys in CALIBRATORS.items():
            for rate in rates:
                yield {"file": path.name, "arrival": arrival, "calibrator": name, "promised": rate} | _replayed(
                    record, arrival, CalibratorSettings(**{"name": keys["calibrator"], "rate": rate} | _settings(keys))
                )


def _settings(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if key != "calibrator"}


def _replayed(record: Record, arrival: str, settings: CalibratorSettings) -> dict[str, float]:
    """The worst deviations over the seeds, and the mean share missed."""
    end, later, missed = [], [], []
    for seed in range(SEEDS):
        taken = decide_all(record, parse_order(arrival), make_calibrator(settings), seed)
        rejected = np.array([decision.rejected for decision in taken], dtype=float)
        running = np.cumsum(rejected) / np.arange(1, len(rejected) + 1)
        end.append(abs(running[-1] - settings.rate))
        later.append(float(np.abs(running[1000:] - settings.rate).max()) if len(running) > 1000 else float("nan"))
        missed.append(_missed(taken))
    return {"end": float(max(end)), "later": max(later), "missed": float(np.mean(missed))}


def _missed(taken: Sequence[Decision]) -> float:
    """Of the k highest scores, with k takeovers, the share that was not taken over."""
    ordered = sorted(taken, key=lambda decision: -(float("inf") if decision.score is None else decision.score))
    k = sum(decision.rejected for decision in taken)
    return sum(not decision.rejected for decision in ordered[:k]) / k if k else 0.0


def _recorded_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="recorded scores: worst over rates, mean share missed")
    for head in ("file", "arrival", "calibrator", "end", "later", "missed"):
        table.add_column(head, justify="left" if head in ("file", "arrival", "calibrator") else "right", no_wrap=True)
    for key in dict.fromkeys((row["file"], row["arrival"], row["calibrator"]) for row in rows):
        own = [row for row in rows if (row["file"], row["arrival"], row["calibrator"]) == key]
        worst = [f"{max(row[name] for row in own):.3f}" for name in ("end", "later")]
        table.add_row(*key, *worst, f"{np.mean([row['missed'] for row in own]):.3f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
