"""What somebody's own function is called: its name, and a digest of what it does.

A run is told apart from others by names. A function that is given as itself, and not by the name of a plug-in with a
version, gets one that another function does not have, so that a run is never continued with another function.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import CodeType, FunctionType, MethodType
from typing import Any

_MARK = "@"
_VALUES = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))


def own_name(thing: Any) -> str:
    """`name@digest` of a function, a class or an object with `__call__`.

    The digest is of the code, and of the values that it uses: its defaults, what it closes over, and of its module the
    numbers, texts, functions and classes, with all that these use in turn. Comments and places in a file do not count,
    nor the contents of lists and tables, which a function may fill while it works, nor what stands in other modules.
    Versions of Python compile differently, so that the same source is another function to another version.
    """
    function = thing.func if isinstance(thing, functools.partial) else thing
    name = getattr(function, "__name__", None) or type(function).__name__
    return with_digest(name, "\n".join(_parts(thing, set())))


def is_own(name: str) -> bool:
    """Whether a name is one that `own_name` gave."""
    return re.fullmatch(rf"[\w-]+{_MARK}[0-9a-f]{{12}}", name) is not None


def with_digest(name: str, content: str) -> str:
    """`name@digest` of something whose whole content is this text."""
    readable = re.sub(r"\W+", "-", name).strip("-") or "own"
    return f"{readable}{_MARK}{hashlib.sha256(content.encode(errors='surrogatepass')).hexdigest()[:12]}"


def _parts(thing: Any, seen: set[int]) -> Iterator[str]:
    """All that tells a thing from another, as lines; what was met before is not gone into again."""
    if isinstance(thing, _VALUES):
        yield f"{type(thing).__name__} {thing!r}"
    elif isinstance(thing, re.Pattern):
        yield f"pattern {thing.pattern!r} {thing.flags}"
    elif id(thing) in seen:
        yield "again"
    else:
        seen.add(id(thing))
        yield f"{type(thing).__module__}.{type(thing).__qualname__}"
        yield from _inside(thing, seen)


def _inside(thing: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(thing, FunctionType):
        yield from _function(thing, seen)
    elif isinstance(thing, MethodType):
        yield from (line for part in (thing.__func__, thing.__self__) for line in _parts(part, seen))
    elif isinstance(thing, functools.partial):
        given = (thing.func, thing.args, *sorted(thing.keywords.items()))
        yield from (line for part in given for line in _parts(part, seen))
    elif isinstance(thing, CodeType):
        yield from _code(thing, seen)
    elif isinstance(thing, type):
        yield from _class(thing, seen)
    elif isinstance(thing, tuple):
        yield from (line for item in thing for line in _parts(item, seen))
    elif isinstance(thing, frozenset):
        yield from sorted("\n".join(_parts(item, set(seen))) for item in thing)
    else:
        yield from _instance(thing, seen)


def _function(function: FunctionType, seen: set[int]) -> Iterator[str]:
    yield from _code(function.__code__, seen)
    kept: list[Any] = [function.__defaults__, *sorted((function.__kwdefaults__ or {}).items())]
    stored = _stored(function.__code__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name not in stored:  # a count that it keeps is no part of what it is
            try:
                kept.append(cell.cell_contents)
            except ValueError:  # not given yet
                continue
    yield from (line for part in kept for line in _parts(part, seen))
    for name in sorted(_used(function.__code__) - stored):
        used = function.__globals__.get(name)
        if isinstance(used, (*_VALUES, re.Pattern, tuple, frozenset)) or _of_module(used, function.__module__):
            yield name
            yield from _parts(used, seen)


def _code(code: CodeType, seen: set[int]) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_flags))
    yield from (line for part in code.co_consts for line in _parts(part, seen))


def _class(cls: type, seen: set[int]) -> Iterator[str]:
    """A class is what it and those of its module that it is derived from define."""
    for base in cls.__mro__:
        yield f"{base.__module__}.{base.__qualname__}"
        if base.__module__ == cls.__module__:
            for name, wrapped in vars(base).items():
                member = getattr(wrapped, "fget", None) or getattr(wrapped, "__func__", wrapped)
                if isinstance(member, (FunctionType, *_VALUES, tuple)) and name not in _OF_PLACE:
                    yield name
                    yield from _parts(member, seen)


def _instance(thing: Any, seen: set[int]) -> Iterator[str]:
    """An object is its class and the values that it holds; what it fills while it works is no part of it."""
    if type(thing).__module__ != "builtins":
        yield from _parts(type(thing), seen)
    slots = {field.name: getattr(thing, field.name) for field in fields(thing)} if is_dataclass(thing) else {}
    for name, value in sorted((slots | getattr(thing, "__dict__", {})).items()):
        if isinstance(value, (*_VALUES, re.Pattern, tuple, frozenset, FunctionType, type)):
            yield name
            yield from _parts(value, seen)


_OF_PLACE = frozenset({"__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__"})


def _of_module(thing: Any, module: str) -> bool:
    return isinstance(thing, FunctionType | type) and thing.__module__ == module


def _used(code: CodeType) -> set[str]:
    """The names that a function and those inside it look for in their module."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_used, inner))


def _stored(code: CodeType) -> set[str]:
    """The names outside itself that a function gives values to."""
    stores = {i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_GLOBAL", "STORE_DEREF")}
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return stores.union(*map(_stored, inner))
