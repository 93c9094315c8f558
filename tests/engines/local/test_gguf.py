"""A GGUF file is no folder of a model; whoever names one is told how to make it one."""

from __future__ import annotations

from pathlib import Path

import pytest

from atts.engines.local import LocalEngine
from atts.errors import InputError

pytest.importorskip("torch")


@pytest.mark.parametrize("name", ["model.gguf", "other/model.Q4_0.GGUF", "folder"])
def test_a_gguf_file_is_answered_with_the_command_that_converts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path(name) / "small model.gguf" if name == "folder" else Path(name)
    if name != "folder":
        with pytest.raises(InputError, match="there is no such file"):
            LocalEngine.open(name)
    file.parent.mkdir(exist_ok=True)
    file.touch()
    with pytest.raises(InputError, match="GGUF is not read; convert it once") as refused:
        LocalEngine.open(name)
    message = str(refused.value)
    assert "\n" not in message and "pip install gguf accelerate" in message
    assert "gguf_file=f" in message and f"local:./{file.with_suffix('').name}" in message
