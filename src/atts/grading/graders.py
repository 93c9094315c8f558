"""Graders by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from atts.grading.foreign import Foreign, FromFunction
from atts.grading.rules import Grader
from atts.registry import Registry, ShapeError, first_line, takes


class Kind(NamedTuple):
    """A grader that can be had by name: what it does in one line, and how to make one."""

    describe: str
    make: Callable[[], Grader]


def as_kind(name: str, thing: Any, *, describe: str = "") -> Kind:
    """A class derived from `Grader`, or a function (answer, problem) -> bool | None."""
    if isinstance(thing, type):
        if not issubclass(thing, Grader):
            raise ShapeError("a grader is a class derived from atts.grading.rules.Grader, or a function")
        if missing := ", ".join(sorted(getattr(thing, "__abstractmethods__", ()))):
            raise ShapeError(f"it does not define {missing}")
        takes(thing)
        return Kind(describe or getattr(thing, "describe", "") or first_line(thing), thing)
    takes(thing, "answer", "problem")
    return Kind(describe or first_line(thing), lambda: FromFunction(thing))


GRADERS: Registry[Kind] = Registry(
    "grader",
    "atts.graders",
    {
        "exact": "atts.grading.rules:Exact",
        "numeric": "atts.grading.rules:Numeric",
        "choice": "atts.grading.rules:Choice",
        "suited": "atts.grading.rules:Suited",
        "math": "atts.grading.mathematics:Math",
    },
    shape=as_kind,
    line=lambda kind: kind.describe,
)


def grader(name: Any, *, describe: str = "") -> Any:
    """Decorates a function (answer, problem) -> bool | None, or a class derived from `Grader`, to be had as a grader.

    Functions are asked about answers that there are; None says that the rule cannot tell.
    """
    return GRADERS.register(name, describe=describe)


def named(name: str) -> Grader:
    """A grader by name; close it after use. Raises InputError where there is none or its extra is not installed."""
    kind = GRADERS[name]
    with GRADERS.blaming(name):
        made = kind.make()
    return made if GRADERS.is_builtin(name) else Foreign(name, made)
