"""Reading a cell of a row: the text or number that it holds, or why it cannot be used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any


class BadRowError(Exception):
    """A row that cannot be used; the message says why."""


def text(row: Mapping[str, Any], column: str) -> str:
    """The text of a cell; a number as a person writes it, a list of one as its item. Raises BadRowError otherwise."""
    if column not in row:
        raise BadRowError(f"no column {column!r}; it has {', '.join(map(str, row))}")
    value = row[column]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or (isinstance(value, str) and not value.strip()):
        raise BadRowError(f"{column} is empty")
    if isinstance(value, Decimal):
        return _number(float(value)) if not value.is_finite() else f"{value.normalize():f}"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRowError(f"{column} is neither text nor a number")
    return _number(value) if isinstance(value, float) else str(value).strip()


def _number(value: float) -> str:
    """142.0 is "142"."""
    if not math.isfinite(value):
        raise BadRowError(f"{value} is not a number")
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def storable(value: Any) -> bool:
    """Whether a value can be kept beside a problem: everything but bytes, however deep inside."""
    if isinstance(value, Mapping):
        return all(map(storable, value.values()))
    if isinstance(value, list | tuple):
        return all(map(storable, value))
    return value is None or isinstance(value, str | int | float | Decimal | date | time)
