"""The methods, one small file each: how a turn is made. Selected by name; plug-ins by entry point `atts.strategies`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from atts.errors import InputError
from atts.pipeline.strategies.atts import Atts, Coin
from atts.pipeline.strategies.atts_self import AttsSelf
from atts.pipeline.strategies.base import Strategy
from atts.pipeline.strategies.lockstep import Lockstep
from atts.pipeline.strategies.single import DraftOnly, TargetOnly
from atts.pipeline.strategies.specreason import SpecReason
from atts.pipeline.strategies.speculative_thinking import SpeculativeThinking

STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy
    for strategy in (Atts, DraftOnly, TargetOnly, Coin, Lockstep, SpecReason, SpeculativeThinking, AttsSelf)
}


def strategies() -> dict[str, str]:
    """Every method by name, with what it does, plug-ins included."""
    known = {name: strategy.description for name, strategy in STRATEGIES.items()}
    return known | {point.name: f"plug-in {point.value}" for point in entry_points(group="atts.strategies")}


def strategy_class(name: str) -> type[Strategy]:
    """The method of that name; raises `InputError` if there is none."""
    if name in STRATEGIES:
        return STRATEGIES[name]
    plugins = entry_points(group="atts.strategies", name=name)
    if not plugins:
        raise InputError(f"strategy {name!r} is unknown (known: {', '.join(sorted(strategies()))})")
    strategy: type[Strategy] = next(iter(plugins)).load()
    return strategy


def strategy_named(name: str, options: Mapping[str, Any] | None = None) -> Strategy:
    """The method of that name with these options; raises `InputError` naming the option that is wrong."""
    strategy = strategy_class(name)
    try:
        return strategy(**(options or {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "unexpected_keyword_argument":
            known = ", ".join(option_defaults(strategy)) or "none"
            raise InputError(f"options.{key}: strategy {name} has no such option (its options: {known})") from error
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"options.{key} = {first['input']!r}: {message}" if key else message) from error


def option_defaults(strategy: type[Strategy]) -> dict[str, Any]:
    """The options of a method with their defaults."""
    return dict(vars(strategy()))
