"""NumPy files as plain data, pickled ones included, without ever executing a pickle."""

from __future__ import annotations

import io
import math
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

_CODES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


def read(path: Path) -> Any:
    """The content of a `.npy` file: nested lists of numbers, or the plain data that an object array was pickled from.

    An array without dimensions gives its item. Raises OSError, or ValueError if the file is damaged or its pickle asks
    for anything but plain data and numbers.
    """
    with path.open("rb") as file:
        major, _ = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        if not dtype.hasobject:
            _require_whole(file, shape, dtype)
            file.seek(0)
            return np.load(file, allow_pickle=False).tolist()
        items = decode_pickle(file.read())
    return items[0] if shape == () and isinstance(items, list) and len(items) == 1 else items


def _require_whole(file: BinaryIO, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Raise ValueError before as much memory is taken as a damaged header asks for."""
    asked, there = math.prod(shape) * dtype.itemsize, os.fstat(file.fileno()).st_size - file.tell()
    if asked > there or any(length < 0 for length in shape):
        raise ValueError(f"its header speaks of shape {shape}, and {there:,} bytes follow")


def decode_pickle(data: bytes) -> Any:
    """Plain data out of a pickle, arrays as lists. Raises ValueError on anything else, whatever the bytes are."""
    try:
        return _plain(_Decoder(io.BytesIO(data)).load(), {})
    except Exception as error:  # a hostile pickle can fail in any way; none of them matters beyond this line
        raise ValueError(f"not a pickle of plain data ({str(error)[:60]})") from error


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """Arrays and tuples as lists. What stands in many places is converted once (`done`, by identity), so that a small
    pickle of lists in lists in lists stays small.
    """
    if isinstance(value, _Array):
        return _plain(value.items, done)
    if not isinstance(value, dict | list | tuple):
        return value
    if id(value) not in done:
        if isinstance(value, dict):
            done[id(value)] = {key: _plain(item, done) for key, item in value.items()}
        else:
            done[id(value)] = [_plain(item, done) for item in value]
    return done[id(value)]


class _Dtype:
    """Stands in for numpy.dtype in a pickle: remembers its code."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code = code if isinstance(code, str) else ""
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        if state[1] == ">":
            self.order = ">"

    def decode(self, data: Any) -> list[float]:
        """The numbers in a block of bytes."""
        if self.code not in _CODES or not isinstance(data, bytes | bytearray):
            raise pickle.UnpicklingError(f"an array of {self.code or 'something'} in the pickle")
        return [float(value) for value in np.frombuffer(data, dtype=self.order + self.code)]


class _Array:
    """Stands in for numpy.ndarray in a pickle: remembers its items."""

    def __init__(self, *_: Any) -> None:
        self.items: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        _, _, dtype, _, data = state
        self.items = data if isinstance(data, list) else dtype.decode(data)


def _scalar(dtype: _Dtype, data: Any = b"") -> float:
    return dtype.decode(data)[0]


def _from_buffer(data: Any, dtype: _Dtype, *_: Any) -> list[float]:
    return dtype.decode(data)


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding[:20]}")
    return text.encode("latin1")


_STANDINS: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1,  # how old protocols write bytes
    **{
        (f"numpy.{core}.multiarray", name): standin
        for core in ("core", "_core")
        for name, standin in (("_reconstruct", _Array), ("scalar", _scalar))
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _Decoder(pickle.Unpickler):
    """Decodes plain data and numbers of NumPy. Every name in the pickle is looked up in the table above and nowhere
    else, so nothing that the file names is ever imported or called.
    """

    def find_class(self, module: str, name: str) -> Any:
        standin = _STANDINS.get((module, name))
        if standin is None:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}")
        # A new function each time, since a pickle may write on what it is given.
        return lambda *arguments: standin(*arguments)  # noqa: PLW0108

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("the pickle refers to something outside of it")
