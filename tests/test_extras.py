"""What is optional and not installed is said in one way, which works from a clone."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from atts.engines.local import LocalEngine
from atts.errors import InputError
from atts.grading import graders
from atts.report.plots import svg
from atts.results.export import Table, write_parquet

ROOT = Path(__file__).parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
NEEDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "torch": ("local", lambda folder: LocalEngine.open(str(folder))),
    "math_verify": ("math", lambda folder: graders.named("math")),
    "matplotlib": ("report", lambda folder: svg("name", "title", lambda axes: None)),
    "pyarrow": ("data", lambda folder: write_parquet(BytesIO(), Table({}, iter(())))),
}


@pytest.mark.parametrize("module", NEEDS)
def test_a_missing_extra_is_named_with_a_command_for_a_clone(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else found(name))
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    extra, use = NEEDS[module]
    with pytest.raises(InputError, match=re.escape(f'pip install -c constraints.txt ".[{extra}]"')):
        use(tmp_path)
    assert extra in EXTRAS


def test_no_text_names_a_package_of_an_index() -> None:
    texts = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]
    assert [str(path) for path in texts if "atts-llm[" in path.read_text(encoding="utf-8")] == []


def test_every_command_for_a_clone_names_extras_that_there_are() -> None:
    texts = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        extra
        for path in texts
        for names in re.findall(r'pip install[^`\n]*"\.\[([a-z,]+)\]"', path.read_text(encoding="utf-8"))
        for extra in names.split(",")
    }
    assert {"local", "report", "math", "data", "test"} <= named <= set(EXTRAS)
