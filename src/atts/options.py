"""Typed options of variants and keys of runs: checked where they are made, and what is wrong said in one line."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, get_origin, get_type_hints

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from atts.errors import InputError

CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)

options = dataclass(frozen=True, config=CONFIG)
"""Decorates a class whose annotated fields are options, each with its default and its check."""


def declared(cls: type) -> Any:
    """The options of a class whose objects are more than their options: a checked dataclass of its annotated fields.

    Fields count that have a default; those marked `ClassVar`, or that begin with an underscore, do not.
    """
    return _declared(cls)


@cache
def _declared(cls: type) -> Any:
    hints = get_type_hints(cls, include_extras=True)
    fields = {
        name: hint
        for name, hint in hints.items()
        if hasattr(cls, name) and not name.startswith("_") and ClassVar not in (hint, get_origin(hint))
    }
    defaults = {name: getattr(cls, name) for name in fields}
    return options(type(cls.__name__, (), {"__annotations__": fields, **defaults}))


def refused(error: ValidationError, prefix: str = "") -> InputError:
    """The first thing that is wrong, with its key (after `prefix`), its value and what would be right."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    key = ".".join(map(str, first["loc"]))
    return InputError(f"{prefix}{key} = {first['input']!r}: {message}" if key else message)
