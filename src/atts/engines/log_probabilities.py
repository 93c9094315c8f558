"""Which numbers can be log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from atts.errors import ScoreError

LOWEST = -200.0
"""Nats. No model is surer than that of what it does not write: servers say -9999 and the like for minus infinity."""

_ROUNDING = 0.01  # nats above zero that low precision explains


def finite(values: Sequence[Any], source: str) -> tuple[float, ...]:
    """The values, all of them finite log-probabilities.

    Raises a retryable `ScoreError` for whatever else stands there: null, text, NaN, infinity, numbers below `LOWEST`
    that stand for it, and numbers above zero.
    """
    for value in values:
        if not _is_number(value):
            raise ScoreError(f"{source}: log-probabilities are missing or not finite ({value!r})", retryable=True)
        if value < LOWEST:
            raise ScoreError(f"{source}: a log-probability of {value:g} stands for minus infinity", retryable=True)
        if value > _ROUNDING:
            raise ScoreError(f"{source}: {value:g} is no log-probability", retryable=True)
    return tuple(map(float, values))


def told(values: Sequence[Any], source: str) -> tuple[float, ...] | None:
    """What an author says of its own tokens; None where it says of one that it could not have been written.

    The text stands all the same. Raises `ScoreError` for what is no number at all: who draws from NaN writes anything.
    """
    if any(_is_number(value, infinite=True) and value < LOWEST for value in values):
        return None
    return finite(values, source)


def _is_number(value: Any, *, infinite: bool = False) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) or (infinite and math.isinf(value))
