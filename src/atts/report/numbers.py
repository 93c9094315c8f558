"""Numbers as a page or a trace can hold them: JSON has no NaN and no infinity, and a reader no use for ten digits."""

from __future__ import annotations

from math import isfinite


def finite(value: float | None) -> float | None:
    """The number; None where it is none."""
    return value if value is not None and isfinite(value) else None


def short(value: float | None, digits: int = 3) -> float | None:
    """So many significant digits."""
    known = finite(value)
    return None if known is None else float(f"{known:.{digits}g}")


def apart(one: float | None, other: float | None) -> tuple[float | None, float | None]:
    """Two numbers that are compared, with as many digits as show that they differ."""
    for digits in range(3, 17):
        pair = short(one, digits), short(other, digits)
        if None in pair or pair[0] != pair[1] or one == other:
            return pair
    return finite(one), finite(other)
