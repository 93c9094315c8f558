"""What `atts` promises, by name: a name that is added, renamed or dropped is a change of the promise."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import atts

PROMISED = [
    "AttsError",
    "EngineError",
    "InputError",
    "LoadedRun",
    "Message",
    "NoRoomError",
    "Problem",
    "RunError",
    "ScoreError",
    "__version__",
    "calibrator",
    "check",
    "check_async",
    "compare",
    "dataset",
    "engine",
    "extract",
    "grade",
    "grader",
    "load_run",
    "prompt",
    "rule",
    "run",
    "run_async",
    "score",
    "strategy",
    "vote_key",
]


def test_the_names_are_those_that_are_promised() -> None:
    assert sorted(atts.__all__) == sorted(PROMISED)
    assert set(PROMISED) <= set(dir(atts))


@pytest.mark.parametrize("name", sorted(set(PROMISED) - {"__version__"}))
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    thing = getattr(atts, name)
    assert inspect.getdoc(thing)
    assert getattr(atts, name) is thing


def test_type_checkers_see_the_same_names_from_the_same_places() -> None:
    [types] = [node for node in ast.parse(Path(atts.__file__).read_text()).body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in types.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == atts._EXPORTS


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        atts.runn  # noqa: B018


def test_importing_costs_nothing_and_names_are_loaded_one_by_one() -> None:
    program = """if True:
        import sys, atts
        print(sum(name.startswith("atts") for name in sys.modules))
        atts.Problem
        print("numpy" in sys.modules)"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["1", "False"]
