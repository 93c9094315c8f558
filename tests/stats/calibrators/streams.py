"""Streams of scores, and every calibrator that they are decided by."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from atts.stats.calibrators import (
    CALIBRATORS,
    CalibrationScore,
    RateCalibrator,
    make_calibrator,
)
from atts.stats.calibrators.tracked import Tracked
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk, Decision

R1 = CalibratorSettings("tracked", 0.4, by_turn=True)
R3 = replace(R1, scope="question")
RECORDED = [CalibrationScore(str(i % 4), i % 3, i / 10) for i in range(60)]
ALL = [
    *(replace(R1, name=name, threshold=0.5 if name == "fixed" else None) for name in CALIBRATORS),
    replace(R1, hard_budget=True),
    R3,
    replace(R3, strength=0.5, hard_budget=True),
    replace(R1, window=5),
    replace(R1, by_turn=False),
    replace(R1, name="static", scope="question"),
    replace(R1, name="static", compat="reference"),
    replace(R1, name="dtaci", hard_budget=True, window=3),
]
SCORES = st.one_of(st.none(), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0, 1.5]), st.floats(-9, 9))
STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 15), st.integers(0, 4), SCORES, st.floats(1e-9, 1 - 1e-9)),
    max_size=120,
)
Steps = list[tuple[str, int, int, float | None, float]]


def made(settings: CalibratorSettings) -> RateCalibrator:
    calibrator = make_calibrator(settings, RECORDED if settings.name == "static" else ())
    assert isinstance(calibrator, RateCalibrator)
    return calibrator


def decided(calibrator: RateCalibrator, steps: Steps) -> list[Decision]:
    return [calibrator.decide(Chunk(q, s, t, s == 15), score, u) for q, s, t, score, u in steps]


def members(decisions: list[Decision], group: str) -> list[Decision]:
    kind, _, name = group.partition(":")
    inside: dict[str, Callable[[Decision], bool]] = {
        "all": lambda d: True,
        "start": lambda d: d.index < Tracked.START,
        "turn": lambda d: str(d.chunk.turn) == name,
        "question": lambda d: d.chunk.problem == name,
    }
    return [decision for decision in decisions if inside[kind](decision)]


def residuals(calibrator: RateCalibrator, decisions: list[Decision]) -> list[float]:
    """|sum(rejected - rate) + theta / eta| of every tracked group, the sum taken from the decisions alone."""
    return [
        abs(math.fsum(d.rejected - calibrator.rate for d in members(decisions, group)) + entry["theta"] / entry["eta"])
        for group, entry in calibrator.certificate().items()
        if "theta" in entry
    ]
