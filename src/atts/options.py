"""Typed options of variants and keys of runs: checked where they are made, and what is wrong said in one line."""

from __future__ import annotations

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from atts.errors import InputError

CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)

options = dataclass(frozen=True, config=CONFIG)
"""Decorates a class whose annotated fields are options, each with its default and its check."""


def refused(error: ValidationError, prefix: str = "") -> InputError:
    """The first thing that is wrong, with its key (after `prefix`), its value and what would be right."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    key = ".".join(map(str, first["loc"]))
    return InputError(f"{prefix}{key} = {first['input']!r}: {message}" if key else message)
