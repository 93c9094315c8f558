"""Tables in files: rows of CSV, JSONL and Parquet, one at a time, with their line numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from atts.errors import InputError

Row = tuple[int, Mapping[str, Any] | str]  # the line's number from 1, and its content or what is wrong with it


def rows(path: Path) -> Iterator[Row]:
    """The rows of a file whose suffix is one of `SUFFIXES`; a row that does not parse is a text that says why.

    CSV values are text. Raises InputError if the file is missing, of another kind, or cannot be read at all.
    """
    if not path.is_file():
        raise InputError(f"no file {path}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: not a table that can be read (known: {', '.join(_READERS)})")
    return reader(path)


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for line, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:  # ValueError: neither JSON nor UTF-8
                yield line, f"not JSON ({str(error)[:60]})"
            else:
                yield line, row if isinstance(row, dict) else "not a JSON object"


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                short = None in row or None in row.values()
                yield reader.line_num, f"{len(reader.fieldnames or ())} columns expected" if short else row
        except csv.Error as error:
            yield reader.line_num, f"not CSV ({error}); nothing after it was read"


def _parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError(f"{path}: reading Parquet needs pyarrow; pip install 'atts-llm[data]'") from error
    try:
        line = 0
        for batch in parquet.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                line += 1
                yield line, row
    except (ArrowException, OSError) as error:
        raise InputError(f"{path} is not a Parquet file: {str(error).splitlines()[0]}") from error


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
SUFFIXES = tuple(_READERS)
