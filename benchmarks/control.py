"""Does rate control hold on recorded scores, and what does a decision cost?

    python benchmarks/control.py scores.csv [--calibration calibration.csv] [--json]

`scores.csv` has the columns problem, sample, turn, ppl, chars and taken_over. Every figure is the mean of ten arrival
orders; a rate is the worst of them. Exit status 1 if a figure is out of bounds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from atts.calibration.arrival import parse_order
from atts.calibration.files import read_calibration
from atts.calibration.replay import Record, decide_all, read_record
from atts.stats.audit import Audit, audit, averaged
from atts.stats.calibrators import CalibrationScore, make_calibrator
from atts.stats.calibrators.tracked import Tracked
from atts.stats.conformal import ScoreBank
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk, Decision

RATE = 0.4
ORDERS = ("fifo:16,4", "inflight:64", "merge")
SEEDS = 10
R1 = CalibratorSettings("tracked", RATE)
R3 = replace(R1, scope="question")
VARIANTS = {
    "coin": replace(R1, name="coin"),
    "online": replace(R1, name="online"),
    "aci": replace(R1, name="aci"),
    "dtaci": replace(R1, name="dtaci"),
    "R1 tracked": R1,
    "R2 tracked, caps": replace(R1, hard_budget=True),
    "half-way": replace(R3, strength=0.5),
    "R3 question": R3,
    "R4 question, caps": replace(R3, hard_budget=True),
}
REFERENCE = {
    "reference, marginal": CalibratorSettings("static", RATE, compat="reference"),
    "reference, question": CalibratorSettings("static", RATE, scope="question", compat="reference"),
}


COLUMNS = {
    "rate": "rate",
    "worst turn": "worst_turn",
    "turn RMS": "turn_rms",
    "question RMS": "question_rms",
    "windows": "window_rms",
    "> 8 of 16": "overflow",
    "sel": "selectivity",
    "in question": "question_selectivity",
}


@dataclass(frozen=True)
class Trials:
    """One variant over the orders of one kind: the audits, and the worst identity residual of any group."""

    audits: Sequence[Audit]
    residual: float

    @property
    def mean(self) -> Audit:
        """Means; of the first decisions the root mean square, and the worst of what must never happen."""
        return averaged(self.audits)


TRACKED, QUESTION, CAPS, QUESTION_CAPS = "R1 tracked", "R3 question", "R2 tracked, caps", "R4 question, caps"
EVERY = (TRACKED, QUESTION, CAPS, QUESTION_CAPS)

BOUNDS: Sequence[tuple[str, Callable[[Trials], float], Mapping[str, float]]] = (
    (
        "|rate - 0.4|, worst order",
        lambda trials: max(abs(found.rate - RATE) for found in trials.audits),
        {TRACKED: 0.003, QUESTION: 0.003},
    ),
    ("worst turn with 100 decisions", lambda trials: trials.mean.worst_turn, {TRACKED: 0.030, QUESTION: 0.025}),
    ("turn RMS", lambda trials: trials.mean.turn_rms, {TRACKED: 0.010, QUESTION: 0.008}),
    ("RMS of windows of 200", lambda trials: trials.mean.window_rms, {TRACKED: 0.030, QUESTION: 0.022}),
    ("question RMS", lambda trials: trials.mean.question_rms, {QUESTION: 0.082}),
    ("0.5 - selectivity in turn", lambda trials: 0.5 - trials.mean.selectivity, {TRACKED: 0.5 - 0.415}),
    ("0.5 - in question", lambda trials: 0.5 - trials.mean.question_selectivity, {QUESTION: 0.5 - 0.41}),
    ("first 64, RMS", lambda trials: trials.mean.start_64, {TRACKED: 0.045, QUESTION: 0.035}),
    ("first 256, RMS", lambda trials: trials.mean.start_256, {TRACKED: 0.020, QUESTION: 0.016}),
    ("identity residual, worst group", lambda trials: trials.residual, dict.fromkeys(EVERY, 1e-9)),
    # The sum of 0.42 n is in floats here; the bucket itself counts in integers.
    ("worst window: taken - 0.42 n", lambda trials: trials.mean.window_excess, dict.fromkeys(EVERY[2:], 8 + 1e-9)),
    ("rounds above K", lambda trials: trials.mean.rounds_over, dict.fromkeys(EVERY[2:], 0)),
)
"""Every acceptance figure: its name, how to compute it, and the most that it may be for which variant."""


def attempt(record: Record, order: str, settings: CalibratorSettings, scores: Sequence[CalibrationScore]) -> Trials:
    """One variant through the orders of one kind."""
    settings = replace(settings, samples=record.samples)
    audits, residuals = [], []
    for seed in range(SEEDS):
        calibrator = make_calibrator(settings, scores)
        decisions = decide_all(record, parse_order(order), calibrator, seed)
        audits.append(audit(decisions, RATE, record.samples))
        residuals.append(residual(decisions, calibrator.certificate()))
    return Trials(audits, max(residuals))


def residual(decisions: Sequence[Decision], certificate: dict[str, dict[str, float]]) -> float:
    """The worst of `|sum(rejected - rate) + theta / eta|` over the tracked groups, summed over the decisions."""
    worst = 0.0
    for group, entry in certificate.items():
        if "theta" in entry:
            mine = [decision.rejected for decision in decisions if member(decision, group)]
            worst = max(worst, abs(sum(mine) - RATE * len(mine) + entry["theta"] / entry["eta"]))
    return worst


def member(decision: Decision, group: str) -> bool:
    kind, _, name = group.partition(":")
    memberships: dict[str, bool] = {
        "all": True,
        "start": decision.index < Tracked.START,
        "turn": name == str(decision.chunk.turn),
        "question": name == decision.chunk.problem,
    }
    return memberships[kind]


def measure(record: Record, calibration: Sequence[CalibrationScore]) -> dict[str, dict[str, Trials]]:
    """All trials, by order and variant."""
    none: Sequence[CalibrationScore] = ()
    variants = [(name, settings, none) for name, settings in VARIANTS.items()]
    if calibration:
        variants += [(name, settings, calibration) for name, settings in REFERENCE.items()]
    return {
        order: {name: attempt(record, order, settings, scores) for name, settings, scores in variants}
        for order in ORDERS
    }


def judge(trials: dict[str, dict[str, Trials]]) -> list[dict[str, Any]]:
    """Every acceptance figure: where, what, how much, how much is allowed, and whether it is kept."""
    return [
        verdict(order, variant, name, figure(by_variant[variant]), limit)
        for order, by_variant in trials.items()
        for name, figure, limits in BOUNDS
        for variant, limit in limits.items()
    ]


def verdict(order: str, variant: str, figure: str, value: float, bound: float) -> dict[str, Any]:
    return {
        "order": order,
        "variant": variant,
        "figure": figure,
        "value": value,
        "bound": bound,
        "kept": value <= bound,
    }


def overview(trials: dict[str, Trials]) -> list[dict[str, Any]]:
    """The means of one order, a row a variant."""
    return [
        {"": name} | {head: getattr(done.mean, field) for head, field in COLUMNS.items()}
        for name, done in trials.items()
    ]


def decision_cost(sizes: Sequence[int], repeats: int = 4000) -> list[dict[str, Any]]:
    """Median microseconds of a decision with insertion, of its parts, and of a full scan of the bank."""
    return [
        {
            "scores": size,
            "R1": cost_of_decisions(R1, size, repeats),
            "R3 with caps": cost_of_decisions(replace(R3, hard_budget=True), size, repeats),
            **cost_of_bank(size, repeats),
            "full scan": cost_of_scan(size),
        }
        for size in sizes
    ]


def cost_of_decisions(settings: CalibratorSettings, size: int, repeats: int) -> float:
    rng = random.Random(0)
    calibrator = make_calibrator(
        settings, [CalibrationScore(str(i % 100), 0, score) for i, score in enumerate(normals(size))]
    )
    chunks = [(Chunk(str(i % 100), i % 16, 0), rng.gauss(0, 1), rng.random()) for i in range(repeats)]
    return median_of([partial(calibrator.decide, *chunk) for chunk in chunks])


def cost_of_bank(size: int, repeats: int) -> dict[str, float]:
    bank = ScoreBank(normals(size))
    fresh = normals(repeats, seed=1)
    lookup = median_of([partial(bank.counts, score) for score in fresh])
    began = time.perf_counter()
    for score in fresh:
        bank.add(score)
    return {"lookup": lookup, "insertion, mean": (time.perf_counter() - began) / repeats * 1e6}


def cost_of_scan(size: int) -> float:
    bank = np.array(normals(size))
    return median_of([lambda: np.count_nonzero(bank > 0.3)] * 200)


def normals(size: int, seed: int = 0) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).normal(size=size)]


def median_of(calls: Sequence[Callable[[], object]]) -> float:
    """Median microseconds of a call."""
    times = []
    for call in calls:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times) * 1e6)


COST_BOUNDS = {
    (6_000, "R1"): 20.0,
    (6_000, "R3 with caps"): 30.0,
    (1_000_000, "R1"): 40.0,
    (1_000_000, "R3 with caps"): 40.0,
}


def print_table(rows: Sequence[dict[str, Any]], title: str) -> None:
    table = Table(title=title, title_justify="left", box=None)
    for number, head in enumerate(rows[0]):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(text, row.values()))
    Console(width=120).print(table, "")


def text(value: object) -> str:
    if isinstance(value, bool):
        return "kept" if value else "BROKEN"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scores", type=Path)
    parser.add_argument("--calibration", type=Path, help="scores of the reference's calibration, column ppl")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    record = read_record(options.scores, "ppl")
    calibration = read_calibration(options.calibration, "ppl").scores if options.calibration else ()
    trials = measure(record, calibration)
    verdicts, costs = judge(trials), decision_cost((1_000, 6_000, 100_000, 1_000_000))
    verdicts += [
        verdict("-", name, f"microseconds at {size}", next(row[name] for row in costs if row["scores"] == size), bound)
        for (size, name), bound in COST_BOUNDS.items()
    ]
    overviews = {order: overview(by_variant) for order, by_variant in trials.items()}
    if options.json:
        print(json.dumps({"figures": verdicts, "overview": overviews, "cost_us": costs}, indent=1))
    else:
        for order, rows in overviews.items():
            print_table(rows, f"{order}, mean of {SEEDS} orders")
        print_table(costs, "Median microseconds at n banked scores")
        print_table(verdicts, "Acceptance figures")
    return 0 if all(verdict["kept"] for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
