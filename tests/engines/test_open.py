from __future__ import annotations

from pathlib import Path

import pytest

from atts.engines import SCHEMES, open_engine
from atts.engines.base import Engine
from atts.errors import InputError


def test_names_open_engines() -> None:
    assert isinstance(open_engine("scripted:3,0.5"), Engine)
    assert isinstance(open_engine("bundled:draft"), Engine)
    assert {"bundled", "local", "scripted"} <= set(SCHEMES)


@pytest.mark.parametrize("name", ["nope:x", "nope", ""])
def test_an_unknown_scheme_names_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match=r"there is no engine .*; there are: bundled, local, .*scheme:address"):
        open_engine(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("local:./nowhere", "no model there"),
        ("bundled:third", "a draft and a target"),
        ("scripted:zero", "give steps"),
        ("scripted:0", "give steps"),
    ],
)
def test_an_address_that_cannot_be_right(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        open_engine(name)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        open_engine(f"local:{tmp_path}")
