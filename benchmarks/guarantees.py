"""The table and the plots of docs/guarantees.md, from generated streams.

    python benchmarks/guarantees.py [--plots docs/plots] [--json]

Everything is computed from `atts.stats.synthetic`: chains whose scores drift by turn, depend on the question and
answer to the decisions. Every figure is the mean of ten worlds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from atts.calibration.replay import Replayed
from atts.report.charts import draw_replay, figure, save
from atts.stats.audit import Audit, audit, averaged
from atts.stats.calibrators import CalibrationScore, make_calibrator
from atts.stats.drift import DriftAlarm
from atts.stats.settings import CalibratorSettings
from atts.stats.synthetic import World, simulate
from atts.types import Decision

WORLD = World(questions=100)
SEEDS = range(10)
RATE = 0.4
TRACKED = CalibratorSettings("tracked", RATE)
QUESTION = replace(TRACKED, scope="question")
STATIC = replace(TRACKED, name="static")
ROWS = {
    "coin": replace(TRACKED, name="coin"),
    "static, first chunks": STATIC,
    "online, by turn": replace(TRACKED, name="online"),
    "aci": replace(TRACKED, name="aci"),
    "tracked": TRACKED,
    "tracked, hard budget": replace(TRACKED, hard_budget=True),
    "tracked, question": QUESTION,
    "tracked, question, hard budget": replace(QUESTION, hard_budget=True),
}
COLUMNS = {
    "rate": "rate",
    "worst turn": "worst_turn",
    "turns": "turn_rms",
    "questions": "question_rms",
    "windows": "window_rms",
    "over K": "overflow",
    "excess": "window_excess",
    "selectivity": "selectivity",
    "in question": "question_selectivity",
}


def first_chunks(seed: int) -> list[CalibrationScore]:
    """A calibration set as the paper's: turn-0 chunks of questions of another split."""
    coin = make_calibrator(replace(TRACKED, name="coin"))
    chunks = simulate(replace(WORLD, turns=1), coin, 1000 + seed)
    return [CalibrationScore(f"calibration {d.chunk.problem}", 0, d.score) for d in chunks if d.score is not None]


def run(settings: CalibratorSettings, seed: int, world: World = WORLD) -> list[Decision]:
    calibrator = make_calibrator(settings, first_chunks(seed) if settings.name == "static" else ())
    return simulate(world, calibrator, seed)


def mean_audit(settings: CalibratorSettings) -> Audit:
    """The mean over the worlds. They differ in their last turns' sizes, so rates by group are those of the first."""
    audits = [audit(run(settings, seed), RATE, WORLD.samples) for seed in SEEDS]
    groups = {name: getattr(audits[0], name) for name in ("by_turn", "by_question", "by_window")}
    return averaged([replace(found, **groups) for found in audits])


def draw(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draw_replay(folder / "rates.png", [replayed(ROWS[name]) for name in ("tracked", "aci", "online, by turn", "coin")])
    draw_questions(folder / "questions.png")
    draw_p_values(folder / "p-values.png")
    draw_alarm(folder / "alarm.png")


def replayed(settings: CalibratorSettings) -> Replayed:
    decisions = run(settings, 0)
    return Replayed(settings, [audit(decisions, RATE, WORLD.samples)], [decisions], {})


def draw_questions(path: Path) -> None:
    """The rate of every question, sorted, with and without question scope."""
    page = figure(5, 3.5)
    axes = page.subplots()
    for name in ("tracked", "tracked, question", "coin"):
        axes.plot(np.sort(question_rates(run(ROWS[name], 0))), label=name)
    axes.axhline(RATE, color="black", linewidth=0.8, linestyle="--")
    axes.set(xlabel="questions, sorted", ylabel="takeover rate", ylim=(0, 1))
    axes.legend(frameon=False, fontsize="small")
    save(page, path)


def question_rates(decisions: Sequence[Decision]) -> list[float]:
    by_question: dict[str, list[bool]] = {}
    for decision in decisions:
        by_question.setdefault(decision.chunk.problem, []).append(decision.rejected)
    return [float(np.mean(taken)) for taken in by_question.values()]


def draw_p_values(path: Path) -> None:
    """p-values against first chunks, by turn: flat where chunks are exchangeable with the calibration set."""
    decisions = [decision for seed in SEEDS for decision in run(STATIC, seed)]
    page = figure(9, 2.8)
    for axes, turn in zip(page.subplots(1, 4, sharey=True), (0, 1, 3, 8), strict=True):
        p_values = [d.p_value for d in decisions if d.chunk.turn == turn and d.p_value is not None]
        axes.hist(p_values, bins=20, range=(0, 1), density=True, color="0.6")
        axes.axhline(1, color="black", linewidth=0.8, linestyle="--")
        axes.set(title=f"turn {turn}", xlabel="p-value")
    save(page, path)


def draw_alarm(path: Path) -> None:
    """The alarm's capital when the questions change half-way, and when they do not."""
    page = figure(5, 3.5)
    axes = page.subplots()
    shifted = replace(WORLD, questions=160, shift_at=80, shift=2.5, turns=1)
    for label, world in (("questions change at 80", shifted), ("no change", replace(shifted, shift_at=None))):
        alarm = DriftAlarm(1, world.samples)
        capital = []
        for decision in run(TRACKED, 1, world):
            seen = alarm.seen
            alarm.observe(decision.chunk, decision.score)
            if alarm.seen > seen:
                capital.append(alarm.martingale)
        axes.semilogy(capital, label=label)
    axes.axhline(100, color="black", linewidth=0.8, linestyle="--")
    axes.set(xlabel="questions seen", ylabel="capital (alarm at 100)")
    axes.legend(frameon=False, fontsize="small")
    save(page, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plots", type=Path, help="folder to draw the plots into")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.plots:
        draw(options.plots)
    found = {name: mean_audit(settings) for name, settings in ROWS.items()}
    figures: dict[str, dict[str, Any]] = {
        name: {head: getattr(one, field) for head, field in COLUMNS.items()} for name, one in found.items()
    }
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    table = Table(box=None)
    for head in ("", *COLUMNS):
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    for name, row in figures.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
