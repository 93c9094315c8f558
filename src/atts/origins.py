"""Where what has a name stands ("module:attribute"), and where it comes from: a package or a module, with a version."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from importlib.metadata import EntryPoint, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class Origin:
    """The package or module that a plug-in comes from, its version, and the file of a module that is no package's."""

    source: str
    version: str
    file: str = ""

    def __str__(self) -> str:
        return f"{self.source} {self.version}"


def origin(thing: Any, source: EntryPoint | str) -> Origin:
    """Where the thing comes from that a package's entry point or a module brought.

    A package has a version. A module has one where it says so (`__version__`), else a digest of its file; and what
    stands in no module's file (a notebook, a script that is run) a digest of its source.
    """
    if isinstance(source, EntryPoint):
        return Origin(*_name_and_version(source))
    top = source.partition(".")[0]
    if packages := packages_distributions().get(top):
        return Origin(packages[0], version(packages[0]))
    file = "" if source == "__main__" else str(getattr(sys.modules.get(source), "__file__", None) or "")
    said = getattr(sys.modules.get(top), "__version__", None)
    return Origin(source, str(said or _content(thing, file)), file)


def package(point: EntryPoint) -> str:
    """The package of an entry point, with its version."""
    return " ".join(_name_and_version(point))


def attribute(place: str) -> Any:
    """What stands at "module:attribute"."""
    module, _, path = place.partition(":")
    return reduce(getattr, path.split("."), importlib.import_module(module))


def place(thing: Any) -> str:
    """Where something is defined, as "module:attribute"; a value without a name of its own is told by its content."""
    name = getattr(thing, "__qualname__", None) or f"{type(thing).__name__}-{_digest(repr(thing).encode())}"
    return f"{module_of(thing)}:{name}"


def module_of(thing: Any) -> str:
    """The name of the module that something is defined in."""
    return str(getattr(thing, "__module__", None) or "__main__")


def import_from_here(module: str) -> ModuleType:
    """Import a module, from the current folder too."""
    if module in sys.modules:
        return sys.modules[module]
    with _current_folder():
        return importlib.import_module(module)


def is_module(name: str) -> bool:
    """Whether there is a module of that name, here or installed; of `package.module`, whether there is the package."""
    top = name.partition(".")[0]
    if top in sys.modules or not top.isidentifier():
        return top in sys.modules
    with _current_folder():
        return find_spec(top) is not None


@contextmanager
def _current_folder() -> Iterator[None]:
    """The current folder comes first while something is imported and last from then on: what that imports later is
    found, and nothing of the folder hides what others import.
    """
    folder = str(Path.cwd())
    here = folder in sys.path
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        if not here:
            sys.path.append(folder)


def _name_and_version(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist is not None else (point.value, "of no version")


def _content(thing: Any, file: str) -> str:
    try:
        return _digest(Path(file).read_bytes() if file else inspect.getsource(thing).encode())
    except (OSError, TypeError):
        return "of no known version" if callable(thing) else _digest(repr(thing).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
