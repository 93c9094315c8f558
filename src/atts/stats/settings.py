"""What a user may say of rate control, made consistent and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from atts.errors import InputError

Scope = Literal["run", "question"]
Compat = Literal["none", "reference"]

DEFAULT_RATE = 0.4


@dataclass(frozen=True, slots=True)
class CalibratorSettings:
    """Everything a calibrator is made from.

    `name`: a key of `atts.stats.calibrators.CALIBRATORS`. `rate`: the promised share of takeovers, in [0, 1].
    `scope`: hold it over the run, or for each question too (the paper's marginal and conditional coverage).
    `samples`: m, chains a question. `hard_budget`: caps that no stream can break; `slack`: what a round (the samples
    of a question at one turn) may take over beyond `rate * samples`. `by_turn`: rank a chunk among chunks of its turn
    (None: the calibrator's own habit). `window`: keep only the latest scores of each bank.
    `gain`: how fast trackers correct the rate, as a share of their usual steps.
    `strength`: lambda, how much of a question's shrunk effect is taken off its scores (question scope of `tracked`).
    `threshold`: for `fixed`, the score from which chunks are taken over.
    `compat="reference"`: the reference's p-value instead of the smoothed one.
    """

    name: str = "tracked"
    rate: float = DEFAULT_RATE
    scope: Scope = "run"
    samples: int = 16
    hard_budget: bool = False
    slack: int = 1
    by_turn: bool | None = None
    window: int | None = None
    strength: float = 1.0
    gain: float = 1.0
    compat: Compat = "none"
    threshold: float | None = None


def resolve_rate(
    samples: int, *, takeover_rate: float | None = None, budget: float | None = None, alpha: float | None = None
) -> float:
    """The takeover rate from whichever of its three names was given; 0.4 if none was.

    `budget` is B takeovers among the `samples` of a question at a turn: rate B/m. `alpha` is the paper's word for
    1 - rate. Raises InputError if two are given or the value is out of range.
    """
    if samples < 1:
        raise InputError(f"samples = {samples} is less than 1: a question needs a chain")
    given: Mapping[str, float | None] = {"takeover_rate": takeover_rate, "budget": budget, "alpha": alpha}
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} say the same thing in different words: give one of them")
    for name, value in named.items():
        top, why = (samples, ": it counts takeovers among `samples` chains") if name == "budget" else (1, "")
        if not (isfinite(value) and 0 <= value <= top):
            raise InputError(f"{name} = {value:g} is outside [0, {top}]{why}")
    if budget is not None:
        return budget / samples
    if alpha is not None:
        return round(1 - alpha, 12)  # 1 - 0.7 is 0.3, not 0.30000000000000004
    return DEFAULT_RATE if takeover_rate is None else takeover_rate
