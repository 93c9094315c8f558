"""Imports point downward, from floor to floor, lazy and type-checking imports included; no modules form a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import atts

PACKAGE = Path(atts.__file__).parent
FLOORS = (  # from the ground up; a room imports only what stands on a floor below its own
    {"types", "errors", "seeds", "atomic", "origins", "own"},
    {"events", "registry"},
    {"options"},
    {"stats", "launch", "bundled"},
    {"engines"},
    {"grading", "pipeline", "testing"},
    {"problems", "config"},
    {"store"},
    {"calibration"},
    {"runs"},
    {"results", "planning"},
    {"report"},
    {"cli"},
    {"api"},
    {"", "__main__"},  # what the package offers as a whole
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
VOCABULARY = FLOORS[0] | FLOORS[1]
OF_THE_PACKAGE = {"atts", "atts.__version__"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(module: str) -> str:
    """The first part of a module's name below the package."""
    return module.split(".")[1] if "." in module else ""


def module_name(path: Path) -> str:
    parts = ("atts", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


NAMES = {module_name(path) for path in MODULES}


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere in it; of `from package import module`, the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield inside if inside in NAMES or node.module == "atts" else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_room_has_a_floor() -> None:
    assert {room(name) for name in NAMES} == set(FLOOR)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_downward(path: Path) -> None:
    own = room(module_name(path))
    for name in imported(path):
        if name.startswith("atts.") and name not in OF_THE_PACKAGE and room(name) != own:
            assert FLOOR[room(name)] < FLOOR[own], f"{module_name(path)} imports {name}"


def test_no_two_modules_form_a_circle() -> None:
    graph = {module_name(path): {name for name in imported(path) if name in NAMES} - {"atts"} for path in MODULES}
    TopologicalSorter({name: others - {name} for name, others in graph.items()}).prepare()  # raises CycleError


@pytest.mark.parametrize("path", [p for p in MODULES if room(module_name(p)) in VOCABULARY], ids=module_name)
def test_the_vocabulary_needs_the_standard_library_only(path: Path) -> None:
    third_party = {"numpy", "pydantic", "aiohttp", "rich", "click", "torch", "transformers"}
    assert not {name.split(".")[0] for name in imported(path)} & third_party


def test_the_pipeline_knows_engines_as_a_protocol() -> None:
    for path in (PACKAGE / "pipeline").rglob("*.py"):
        engines = [name for name in imported(path) if name.startswith("atts.engines")]
        assert set(engines) <= {"atts.engines.base"}, path


@pytest.mark.parametrize("library", ["torch", "transformers", "aiohttp"])
def test_heavy_libraries_stay_where_they_belong(library: str) -> None:
    users = {module_name(path) for path in MODULES if any(n.split(".")[0] == library for n in imported(path))}
    allowed = {
        "torch": ("atts.engines.local",),
        "transformers": ("atts.engines.local",),
        "aiohttp": ("atts.engines.servers.http", "atts.testing"),
    }[library]
    assert all(user.startswith(allowed) for user in users), users
