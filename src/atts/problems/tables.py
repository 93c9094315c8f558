"""Tables in files: rows of CSV, JSONL and Parquet, one at a time, with their line numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from atts.errors import InputError, needs_extra

_LONGEST_FIELD = 1 << 28  # characters; the csv module's own limit is 131,072
Row = tuple[int, Mapping[str, Any] | str]  # the line's number from 1, and its content or what is wrong with it


def rows(path: Path) -> Iterator[Row]:
    """The rows of a file whose suffix is one of `SUFFIXES`; a row that does not parse is a text that says why.

    CSV values are text. Raises InputError if the file is missing, of another kind, or cannot be read to its end.
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
                if b"\\u" in raw:  # an escape may stand for half a character, which no file can hold
                    json.dumps(row, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                yield line, f"half a character ({ascii(error.object[error.start])[1:-1]})"
            except (ValueError, RecursionError) as error:  # ValueError: neither JSON nor UTF-8
                yield line, f"not JSON ({str(error)[:60]})"
            else:
                yield line, row if isinstance(row, dict) else "not a JSON object"


def _csv(path: Path) -> Iterator[Row]:
    """Rows by their first line. A file that is not CSV throughout is refused: where it breaks, rows cannot be told."""
    csv.field_size_limit(_LONGEST_FIELD)
    names: list[str] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        first = 1
        try:
            for values in reader:
                line, first = first, reader.line_num + 1
                if not names:
                    names = values
                elif values:
                    fits = len(values) == len(names)
                    yield line, dict(zip(names, values, strict=True)) if fits else f"{len(names)} columns expected"
        except csv.Error as error:
            raise InputError(f"{path}: line {first}: not CSV ({error})") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: line {_first_undecodable(path)}: not UTF-8; save it as UTF-8") from error


def _first_undecodable(path: Path) -> int:
    with path.open("rb") as file:
        for line, raw in enumerate(file, 1):
            try:
                raw.decode()
            except UnicodeDecodeError:
                return line
    return 1


def _parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise needs_extra(f"{path}: reading Parquet needs pyarrow", "data") from error
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
