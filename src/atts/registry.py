"""Variants by name: one `Registry` for each kind of thing that is chosen by its name.

A name is looked for among what is built in, then among what decorators have registered and installed packages bring
(entry points of the registry's group); `module:name` leads to that module, which may stand in the current folder.
Nothing is imported before it is asked for, and a plug-in that is broken harms only who asks for it.

To add a variant: write it, and give it a line in the registry of its kind (`SCORES`, `STRATEGIES`, `SCHEMES`, …), as
itself or as "module:attribute". From outside this package a decorator or an entry point does the same.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import reduce
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Generic, TypeVar

from atts.errors import AttsError, InputError
from atts.origins import Origin, attribute, import_from_here, module_of, origin, package, place
from atts.own import is_own, own_name

T = TypeVar("T")

_IN_MODULE = re.compile(r"[^\W\d][\w.]*:[\w.-]+")


class ShapeError(TypeError):
    """What a name leads to is not of the kind's shape; the message says what would be."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a name leads to; `source` is the package's entry point or the module that brought it (None: built in)."""

    thing: Any
    source: EntryPoint | str | None = None
    declared: Mapping[str, Any] = field(default_factory=dict)


class Registry(Collection[str], Generic[T]):
    """All of one kind, by name. Whatever is wrong with a name raises `InputError`, in one line."""

    def __init__(
        self,
        kind: str,
        group: str,
        builtin: Mapping[str, Any],
        *,
        shape: Callable[..., T],
        line: Callable[[T], str],
        instead: str = "module:name",
    ) -> None:
        """`kind` is what messages call it, `group` the entry points' group.

        `shape(name, thing, **declared)` makes a variant of what a name leads to and of what its decorator declared, or
        raises `ShapeError`. `line` says in one line what a variant is. `instead` may be given in the place of a name.
        """
        self.kind = kind
        self.group = group
        self._builtin = builtin
        self._shape = shape
        self._line = line
        self._instead = instead
        self._registered: dict[str, _Found] = {}
        self._points: dict[str, EntryPoint] = {}  # found before: looking reads many files
        self._alone: set[str] = set()  # registered, and looked for in packages before, in vain

    def __getitem__(self, name: str) -> T:
        """The variant of that name; raises `InputError` where there is none or it cannot be used."""
        found = self._find(name)
        with self._blaming(name, found.source):
            return self._shape(name, found.thing, **found.declared)

    def __iter__(self) -> Iterator[str]:
        """All names: what is built in, what was registered (not what was given as itself), what packages bring."""
        registered = (name for name in self._registered if not is_own(name))
        installed = (point.name for point in entry_points(group=self.group))
        return iter(dict.fromkeys((*self._builtin, *registered, *installed)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._registered or name in tuple(self)

    def is_builtin(self, name: str | None) -> bool:
        """Whether the name is of something that is built in."""
        return name in self._builtin

    @property
    def builtin(self) -> dict[str, T]:
        """What is built in, by name."""
        return {name: self[name] for name in self._builtin}

    def origin(self, name: str) -> Origin | None:
        """Where a plug-in comes from; None of what is built in."""
        found = self._find(name)
        return None if found.source is None else origin(found.thing, found.source)

    def lines(self) -> dict[str, str]:
        """By name what it is, of a plug-in where it comes from too, and of one that cannot be used why not."""
        lines = {name: self._described(name) for name in self}
        for point in entry_points(group=self.group):
            if point.name in self._builtin:
                lines[point.name] += f" (what {package(point)} brings under this name is not used)"
        return lines

    def register(self, name: Any, **declared: Any) -> Any:
        """Decorates what is to be had under the name (or, without parentheses, under its own), which stays what it is.

        Raises `InputError` where the name is taken; to run the same definition again replaces it.
        """
        if not isinstance(name, str):
            return self.register(str(vars(name).get("name") or name.__name__))(name)
        if name.split() != [name] or ":" in name:
            raise InputError(f"{self.kind} {name!r}: a name has no blank and no colon")
        if name in self._builtin:
            raise InputError(f"{self.kind} {name!r} is built in: give yours another name")

        def decorate(thing: Any) -> Any:
            before = self._registered.get(name)
            if before is not None and place(before.thing) != place(thing):
                raise InputError(self._twice(name, place(before.thing), place(thing)))
            self._registered[name] = _Found(thing, module_of(thing), declared)
            return thing

        return decorate

    def adopt(self, thing: Any) -> str:
        """A name for something that is given as itself, under which it is found from now on; no other thing has it."""
        name = own_name(thing)
        self._registered[name] = self._with_declared(_Found(thing, module_of(thing)))
        return name

    @contextmanager
    def blaming(self, name: str) -> Iterator[None]:
        """What goes wrong inside is the plug-in's, and an `InputError` says so; built-ins answer for themselves."""
        with self._blaming(name, self._find(name).source):
            yield

    def _find(self, name: str) -> _Found:
        if not isinstance(name, str):  # a run file may have anything in the place of a name
            raise unknown(self.kind, name, self, instead=self._instead)
        if name in self._builtin:
            thing = self._builtin[name]
            return _Found(attribute(thing) if isinstance(thing, str) else thing)
        registered = self._registered.get(name)
        if registered is not None and (name in self._alone or is_own(name)):
            return registered
        if (point := self._installed(name)) is not None:
            if registered is not None and place(registered.thing) != point.value:
                raise InputError(self._twice(name, place(registered.thing), package(point)))
            with self._blaming(name, point):
                return self._with_declared(_Found(point.load(), point))
        if registered is not None:
            self._alone.add(name)
            return registered
        if _IN_MODULE.fullmatch(name):
            with self._blaming(name, name):
                return self._in_module(*name.split(":"))
        if is_own(name):
            raise InputError(f"{self.kind} {name!r} was given from Python as itself; give it again from there")
        raise unknown(self.kind, name, self, instead=self._instead)

    def _installed(self, name: str) -> EntryPoint | None:
        if name not in self._points:
            points = tuple(entry_points(group=self.group, name=name))
            if len(points) > 1:
                raise InputError(self._twice(name, *map(package, points)))
            if not points:
                return None
            self._points[name] = points[0]
        return self._points[name]

    def _in_module(self, module: str, path: str) -> _Found:
        """What stands there, or was registered there under that name."""
        found = _module(module)
        registered = self._registered.get(path)
        if registered is not None and registered.source == module:
            return registered
        try:
            return self._with_declared(_Found(reduce(getattr, path.split("."), found), module))
        except AttributeError:
            where = getattr(found, "__file__", None) or "built into Python"
            meant = guess(path, (other for other in vars(found) if not other.startswith("_")))
            raise ShapeError(f"{module} ({where}) has no {path!r}{meant}") from None

    def _with_declared(self, found: _Found) -> _Found:
        """The same with what its decorator declared, if it has one."""
        declared = (other.declared for other in self._registered.values() if other.thing is found.thing)
        return _Found(found.thing, found.source, next(filter(None, declared), {}))

    @contextmanager
    def _blaming(self, name: str, source: EntryPoint | str | None) -> Iterator[None]:
        try:
            yield
        except AttsError:
            raise
        except (Exception, SystemExit) as error:
            if source is None:
                raise
            whose = f" of {package(source)}" if isinstance(source, EntryPoint) else ""
            raise InputError(f"{self.kind} {name!r}{whose} cannot be used: {_reason(error)}") from error

    def _twice(self, name: str, *places: str) -> str:
        return f"{self.kind} {name!r} is brought by {' and by '.join(places)}: rename or remove one"

    def _described(self, name: str) -> str:
        try:
            text, whence = self._line(self[name]), self.origin(name)
        except InputError as error:
            return str(error)
        return text if whence is None else f"{text} (from {whence.file or whence})"


def load_module(name: str) -> ModuleType:
    """A module, which may stand in the current folder; its decorators register what they decorate.

    Raises `InputError` where there is none or it cannot be imported.
    """
    try:
        return _module(name)
    except (Exception, SystemExit) as error:
        raise InputError(f"module {name!r} cannot be used: {_reason(error)}") from error


def unknown(kind: str, name: object, known: Iterable[str], *, of: str = "", instead: str = "") -> InputError:
    """The error for a name that there is not (`of` what): what may have been meant, and what there is."""
    names = list(known)
    whose = f" of {of}" if of else ""
    other = f"; or give {instead}" if instead else ""
    there_are = f"there are: {', '.join(names) or 'none'}{other}"
    return InputError(f"there is no {kind} {str(name)[:80]!r}{whose}{guess(str(name), names)}; {there_are}")


def guess(name: str, known: Iterable[str]) -> str:
    """What may have been meant, in parentheses after a blank; or nothing."""
    spelt = {other.lower(): other for other in known}
    close = get_close_matches(name.lower(), spelt, n=1)
    return f" (did you mean {spelt[close[0]]!r}?)" if close else ""


def takes(thing: Any, *arguments: str) -> None:
    """Raise `ShapeError` unless the thing is a function that can be called with these, by position."""
    if not callable(thing):
        raise ShapeError(f"it is of type {type(thing).__name__}, not a function ({', '.join(arguments)})")
    try:
        inspect.signature(thing).bind(*arguments)
    except ValueError:  # some functions written in C do not say what they take
        return
    except TypeError as error:
        raise ShapeError(f"it has to take ({', '.join(arguments)}): {error}") from error


def first_line(thing: Any) -> str:
    """The first line of what a function or class says of itself."""
    own = thing.__doc__ if hasattr(thing, "__name__") else ""
    return (own or "").strip().partition("\n")[0].rstrip(".") or "not described"


def _module(name: str) -> ModuleType:
    try:
        return import_from_here(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise ShapeError(f"there is no module {error.name!r}, here or installed") from error
        raise


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ShapeError) else f"{type(error).__name__}: {text}".rstrip(": ")
