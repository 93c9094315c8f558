from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.calibration.numpy_file import decode_pickle, read

CANARY: list[str] = []


def explode(word: str) -> None:
    CANARY.append(word)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return explode, ("it ran",)


class HostileState:
    def __reduce__(self) -> tuple[Any, ...]:
        return np.dtype, ("f8",), {"code": Hostile()}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_and_numbers_of_every_protocol(protocol: int) -> None:
    data = {"q": [1.5, np.float64(2.5)], 3: np.array([1.0, 2.0]), 4: np.float32(0.5), 5: (1, None)}
    assert decode_pickle(pickle.dumps(data, protocol=protocol)) == {
        "q": [1.5, 2.5],
        3: [1.0, 2.0],
        4: 0.5,
        5: [1, None],
    }


@pytest.mark.parametrize("values", [[1.0, 2.5], [[1.0], [2.0]], []])
def test_arrays_of_numbers(tmp_path: Path, values: list[Any]) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array(values))
    assert read(path) == values


def test_a_pickled_dictionary_in_an_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, {"one": np.array([1.0, 2.0], dtype=">f8"), "two": [3.0]})  # type: ignore[arg-type]
    assert read(path) == {"one": [1.0, 2.0], "two": [3.0]}


@pytest.mark.parametrize("hostile", [Hostile(), {"q": [Hostile()]}, HostileState(), print, Path("x"), open])
@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_never_executed(hostile: object, protocol: int) -> None:
    with pytest.raises(ValueError, match="not a pickle of plain data"):
        decode_pickle(pickle.dumps(hostile, protocol=protocol))
    assert not CANARY


@given(st.binary(max_size=200))
def test_any_bytes_give_data_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        decode_pickle(b"\x80\x04" + data)


def test_a_pickle_cannot_change_how_the_next_one_is_read() -> None:
    """BUILD on a looked-up name would write its attributes: on a copy that is thrown away."""
    lookup = b"\x80\x02cnumpy.core.multiarray\nscalar\n"
    state = pickle.dumps((None, {"__defaults__": (b"x" * 8,)}), protocol=2)[2:-1]
    decode_pickle(lookup + state + b"b0N.")
    assert decode_pickle(pickle.dumps(np.float64(2.5), protocol=2)) == 2.5


def test_lists_in_lists_in_lists_stay_small() -> None:
    nested: list[Any] = [0.5]
    for _ in range(60):
        nested = [nested, nested]
    found = decode_pickle(pickle.dumps(nested))
    for _ in range(60):
        assert found[0] is found[1]
        found = found[0]
    assert found == [0.5]


@pytest.mark.parametrize("shape", [(10**12,), (10**30,), (-3, -4), (3,)])
def test_a_header_that_speaks_of_more_than_there_is(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(16))
    with pytest.raises(ValueError, match="shape"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array at all"])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError):
        read(path)
