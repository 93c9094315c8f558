"""Imports point downward only: surfaces → evals → pipeline → {engines, stats} → vocabulary."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import atts

PACKAGE = Path(atts.__file__).parent
VOCABULARY = {"types", "errors", "events", "seeds"}
MAY_IMPORT = {
    "stats": {"stats"},
    "engines": {"engines", "bundled"},
    "pipeline": {"pipeline", "engines", "stats"},
    "config": {"pipeline", "engines", "stats", "config", "presets"},
    "presets": set(),
    "serving": {"serving"},
    "testing": {"testing", "engines"},
    "bundled": {"bundled"},
    "evals": {"evals", "pipeline", "engines", "stats", "config", "bundled", "serving", "presets", "virtual"},
    "virtual": set(),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def layer(module: str) -> str:
    """The first part of a module's name below the package."""
    return module.split(".")[1] if "." in module else ""


def module_name(path: Path) -> str:
    parts = ("atts", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "atts":
                yield from (f"atts.{alias.name}" for alias in node.names)
            elif node.module:
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_downward(path: Path) -> None:
    own = layer(module_name(path))
    for name in imported(path):
        if not name.startswith("atts.") or layer(name) in VOCABULARY:
            continue
        if own in VOCABULARY:
            pytest.fail(f"the vocabulary imports {name}")
        if own in MAY_IMPORT:
            assert layer(name) in MAY_IMPORT[own], f"{module_name(path)} imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if layer(module_name(p)) in VOCABULARY], ids=module_name)
def test_the_vocabulary_needs_the_standard_library_only(path: Path) -> None:
    third_party = {"numpy", "pydantic", "aiohttp", "rich", "click", "stamina", "torch", "transformers"}
    assert not {name.split(".")[0] for name in imported(path)} & third_party


def test_the_pipeline_knows_engines_as_a_protocol() -> None:
    for path in (PACKAGE / "pipeline").rglob("*.py"):
        engines = [name for name in imported(path) if name.startswith("atts.engines")]
        assert set(engines) <= {"atts.engines.base"}, path


@pytest.mark.parametrize("library", ["torch", "transformers", "aiohttp"])
def test_heavy_libraries_stay_where_they_belong(library: str) -> None:
    users = {module_name(path) for path in MODULES if any(n.split(".")[0] == library for n in imported(path))}
    allowed = {
        "torch": ("atts.engines.local", "atts.bundled"),
        "transformers": ("atts.engines.local", "atts.bundled", "atts.engines.tokenizer"),
        "aiohttp": ("atts.engines.http", "atts.testing"),
    }[library]
    assert all(user.startswith(allowed) for user in users), users
