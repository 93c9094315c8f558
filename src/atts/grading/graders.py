"""Graders by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from atts.errors import InputError
from atts.grading.mathematics import Math
from atts.grading.rules import Choice, Exact, Grader, Numeric, Suited


class Kind(NamedTuple):
    """A grader that can be had by name: what it does in one line, and how to make one."""

    describe: str
    make: Callable[[], Grader]


GRADERS: dict[str, Kind] = {
    "exact": Kind(Exact.describe, Exact),
    "numeric": Kind(Numeric.describe, Numeric),
    "choice": Kind(Choice.describe, Choice),
    "suited": Kind(Suited.describe, Suited),
    "math": Kind(Math.describe, Math),
}


def named(name: str) -> Grader:
    """A grader by name; close it after use. Raises InputError where there is none or its extra is not installed."""
    if name not in GRADERS:
        raise InputError(f"unknown grader {name!r}; there are: {', '.join(GRADERS)}")
    return GRADERS[name].make()
