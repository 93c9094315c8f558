"""Options made from the configuration, so that the two cannot differ."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from atts.config.run import RunConfig, parse_assignment

F = TypeVar("F", bound=Callable[..., Any])


def config_options(
    *,
    without: Collection[str] = (),
    only: Collection[str] | None = None,
    also: Mapping[str, str] | None = None,
    model: type[BaseModel] = RunConfig,
) -> Callable[[F], F]:
    """One option for every key of the model (or `only` for these), described as there; not given, it is None.

    `also` has other ways of writing an option, as click takes them.
    """

    def decorate(function: F) -> F:
        for key, field in reversed(model.model_fields.items()):
            if key not in without and (only is None or key in only):
                function = _option(key, field, *(other for name, other in (also or {}).items() if name == key))(
                    function
                )
        return function

    return decorate


def _option(key: str, field: FieldInfo, *also: str) -> Callable[[F], F]:
    name = "--" + key.replace("_", "-")
    kind = _value_type(field.annotation)
    help_ = f"{field.description}{_default(field)}"
    if get_origin(kind) is dict:
        return click.option(name, key, multiple=True, callback=_table, help=field.description, metavar="NAME=VALUE")
    if get_origin(kind) is tuple:
        item = get_args(get_args(kind)[0])[0]
        return click.option(
            name, key, type=item, multiple=True, callback=_given, help=field.description, metavar=_metavar(item)
        )
    if kind is bool:
        return click.option(f"{name}/--no-{name[2:]}", *also, key, default=None, help=help_)
    return click.option(name, key, type=_click_type(kind), default=None, help=help_, metavar=_metavar(kind))


def _default(field: FieldInfo) -> str:
    if field.is_required() or field.default is None:
        return ""
    return f" [{str(field.default).lower() if isinstance(field.default, bool) else field.default}]"


def _table(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any] | None:
    """A table from `NAME=VALUE` given once or more."""
    return dict(map(parse_assignment, texts)) or None


def _given(context: click.Context, parameter: click.Parameter, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What was given once or more; None says nothing."""
    return values or None


def _value_type(annotation: Any) -> Any:
    """The type of a key without its `| None`."""
    if isinstance(annotation, types.UnionType):
        return next(member for member in get_args(annotation) if member is not type(None))
    return annotation


def _click_type(kind: Any) -> Any:
    return click.Choice(get_args(kind)) if get_origin(kind) is Literal else kind


def _metavar(kind: Any) -> str | None:
    return None if get_origin(kind) is Literal else {int: "N", float: "X", str: "TEXT"}[kind]
