"""The methods, one small file each: how a turn is made. Selected by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from atts.options import options, refused
from atts.pipeline.strategies.base import Strategy
from atts.registry import Registry, ShapeError, first_line, unknown


def as_strategy(name: str, thing: Any) -> type[Strategy]:
    """A class derived from `Strategy`; its annotated fields are its options, each with a default."""
    if not (isinstance(thing, type) and issubclass(thing, Strategy)):
        raise ShapeError("a method is a class derived from atts.pipeline.strategies.base.Strategy")
    if missing := ", ".join(sorted(getattr(thing, "__abstractmethods__", ()))):
        raise ShapeError(f"it does not define {missing}")
    if not hasattr(thing, "roles"):
        raise ShapeError("it does not say which models it needs: roles = (Role.DRAFT, Role.TARGET), or one of them")
    own = vars(thing)
    if "__dataclass_fields__" not in own:
        options(thing)
    for key, value in (("name", name), ("description", first_line(thing))):
        if key not in own:
            setattr(thing, key, value)
    return thing


def option_defaults(method: type[Strategy]) -> dict[str, Any]:
    """The options of a method with their defaults."""
    return dict(vars(method()))


def _line(method: type[Strategy]) -> str:
    listed = ", ".join(f"{key}={value!r}" for key, value in option_defaults(method).items())
    return f"{method.description}; options: {listed}" if listed else method.description


STRATEGIES: Registry[type[Strategy]] = Registry(
    "strategy",
    "atts.strategies",
    {
        "atts": "atts.pipeline.strategies.atts:Atts",
        "draft-only": "atts.pipeline.strategies.single:DraftOnly",
        "target-only": "atts.pipeline.strategies.single:TargetOnly",
        "coin": "atts.pipeline.strategies.atts:Coin",
        "lockstep": "atts.pipeline.strategies.lockstep:Lockstep",
        "specreason": "atts.pipeline.strategies.specreason:SpecReason",
        "speculative-thinking": "atts.pipeline.strategies.speculative_thinking:SpeculativeThinking",
        "atts-self": "atts.pipeline.strategies.atts_self:AttsSelf",
    },
    shape=as_strategy,
    line=_line,
)


def strategy(name: Any) -> Any:
    """Decorates a class derived from `Strategy`, to be had as a method under that name; see `Strategy`."""
    return STRATEGIES.register(name)


def strategy_named(name: str, options: Mapping[str, Any] | None = None) -> Strategy:
    """The method of that name with these options; raises `InputError` naming the option that is wrong."""
    method = STRATEGIES[name]
    try:
        return method(**(options or {}))
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "unexpected_keyword_argument":
            raise unknown("option", first["loc"][0], option_defaults(method), of=f"strategy {name}") from error
        raise refused(error, "options.") from error
