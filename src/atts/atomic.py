"""Writing files whole: whoever reads finds the old file or the new one, and a process that dies leaves no half of one.

Standard library only, so that every room writes in this one way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def whole(path: Path, *, new: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, which takes its place in one step if the block ends well, and is gone if it does not.

    `new` never replaces: it raises `FileExistsError` where something stands. A device or a pipe is written to
    directly, because a file in its place would be of no use. Raises `OSError` where it cannot be written.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()  # a link stays, and what it points to is replaced
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
        if new:
            os.link(temporary, path)  # unlike a rename, it fails where the name is taken
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, content: bytes, *, new: bool = False) -> None:
    """Write a file whole; see `whole`."""
    with whole(path, new=new) as file:
        file.write(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as JSON, indented, whole; see `whole`."""
    write(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
