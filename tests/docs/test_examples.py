"""The Python code of the pages is run, from top to bottom, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["extending.md", "how-to/python.md"])
def test_a_page_runs(tmp_path: Path, page: str) -> None:
    blocks = BLOCK.findall((DOCS / page).read_text())
    assert len(blocks) > 5
    (tmp_path / "page.py").write_text("\n".join(blocks))
    env = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-W", "error", "page.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_kind_that_can_be_registered_has_an_example() -> None:
    page = (DOCS / "extending.md").read_text()
    kinds = ("score", "strategy", "engine", "grader", "rule", "dataset", "prompt", "calibrator")
    assert [kind for kind in kinds if not re.search(rf"^@atts\.{kind}\(", page, re.MULTILINE)] == []
