from __future__ import annotations

from pathlib import Path

import pytest

from atts.config.run import resolve
from atts.store.folder import RunFolder
from tests.store.made import PROBLEMS


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", resolve(), PROBLEMS)
