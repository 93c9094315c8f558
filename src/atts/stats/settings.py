"""What a user may say of rate control, made consistent and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from atts.errors import InputError
from atts.options import CONFIG

Scope = Literal["run", "question"]
Compat = Literal["none", "reference"]

DEFAULT_RATE = 0.2


@dataclass(frozen=True, slots=True)
class Own:
    """Marks an option that calibrators without it refuse, in these words; the others are passed over by who has them
    not, since presets give them to all.
    """

    refusal: str


@dataclass(frozen=True, init=False, repr=False, eq=False, kw_only=True)
class CalibratorOptions:
    """Every option of the calibrators, once: its name, type, check, default, and what it is.

    Run file, command line and settings all read them here; which calibrator has which, its `has` says.
    """

    scope: Annotated[
        Scope,
        Own("calibrator {name} has no question scope: use tracked or static, or scope = run"),
        Field(description="hold the rate over the run, or for each question too"),
    ] = "run"
    by_turn: Annotated[
        bool | None,
        Field(description="hold the rate turn by turn, or over the run only; default: the calibrator's habit"),
    ] = None
    window: Annotated[int | None, Field(ge=1, description="rank among the latest N scores only")] = None
    gain: Annotated[
        float, Field(gt=0, le=10, description="how fast the rate is corrected; below 1: over longer stretches")
    ] = 1.0
    strength: Annotated[
        float, Field(ge=0, le=1, description="question scope: how much of a question's effect is taken off")
    ] = 1.0
    compat: Annotated[
        Compat,
        Own("compat = {value} belongs to calibrator static, not to {name}"),
        Field(description="static only: the reference's p-value"),
    ] = "none"
    threshold: Annotated[
        float | None,
        Own("threshold = {value} belongs to calibrator fixed, not to {name}"),
        Field(description="fixed only: the score from which chunks are taken over"),
    ] = None
    hard_budget: Annotated[bool, Field(description="caps that no stream of scores can break")] = False


OPTIONS: Mapping[str, Any] = {option.name: option.default for option in fields(CalibratorOptions)}
"""The names of all options, with their defaults."""


@checked(frozen=True, config=CONFIG)
class CalibratorSettings(CalibratorOptions):
    """Everything a calibrator is made from: its name, the promise, and its options.

    `rate`: the promised share of takeovers, in [0, 1]. `samples`: m, chains a question. `slack`: what a round (the
    samples of a question at one turn) may take over beyond `rate * samples` under a hard budget. `own`: what is said of
    the options that this calibrator alone has, by name.
    """

    name: str = "budgeted"
    rate: Annotated[float, Field(ge=0, le=1)] = DEFAULT_RATE
    samples: Annotated[int, Field(ge=1)] = 16
    slack: int = 1
    own: Mapping[str, Any] = field(default_factory=dict, hash=False)


OWN: Mapping[str, Own] = {
    key: mark
    for key, hint in get_type_hints(CalibratorOptions, include_extras=True).items()
    for mark in hint.__metadata__
    if isinstance(mark, Own)
}
"""The options that not every calibrator puts up with."""


def resolve_rate(
    samples: int, *, takeover_rate: float | None = None, budget: float | None = None, alpha: float | None = None
) -> float:
    """The takeover rate from whichever of its three names was given; 0.2 if none was.

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
