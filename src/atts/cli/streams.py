"""Standard output and standard error as they are found: any encoding, a closed pipe, a full disk."""

from __future__ import annotations

import codecs
import json
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from atts.errors import InputError

_STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
PLAIN = "atts.plain"
"""The name of our error handler for encoding."""
_ALIKE = str.maketrans("–—‘’“”×·…→≤≥✓✗━╸╺•", "--''\"\"x*~><>+-----")
"""What stands for our own signs where the encoding has none; each is one character wide: tables stay straight."""
_ASCII = "atts_ascii"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """An error handler for encoding: our own signs by what is like them, all others by their number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    shown = (_numbered(sign) for sign in error.object[error.start : error.end].translate(_ALIKE))
    return "".join(shown), error.end


def _numbered(sign: str) -> str:
    """As JSON, TOML and Python write it in a text."""
    return sign if sign.isascii() else f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"


def _ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII by another name: click takes a stream of that encoding for a mistake, and writes UTF-8 to it."""
    if name != _ASCII:
        return None
    own = codecs.lookup("ascii")
    return codecs.CodecInfo(
        *own, incrementalencoder=own.incrementalencoder, incrementaldecoder=own.incrementaldecoder, name=_ASCII
    )


codecs.register_error(PLAIN, _plain)
codecs.register(_ascii)


def show_anything() -> None:
    """From now on no text fails for the terminal's encoding, whoever prints it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            known = codecs.lookup(stream.encoding).name
            stream.reconfigure(encoding=_ASCII if known == "ascii" else None, errors=PLAIN)


def flush() -> None:
    """Write what is left. Raises `OSError` where it cannot be written."""
    if sys.stdout is not None:
        sys.stdout.flush()


def abandon() -> None:
    """Nobody reads our output any more; the interpreter must not complain when it flushes."""
    sys.stdout = None


def in_json(value: Any) -> str:
    """A value as JSON that standard output can show, whatever its encoding."""
    whole = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").startswith("utf")
    return json.dumps(value, indent=2, ensure_ascii=not whole)


def is_standard_output(path: Path) -> bool:
    """Whether a file that is to be written is standard output: `-`, `/dev/stdout`."""
    return str(path) in _STANDARD_OUTPUT


def data_output(*, binary: bool) -> BinaryIO:
    """Standard output for data. Raises `InputError` where it is closed, or a terminal and the data no text."""
    if sys.stdout is None:
        raise InputError("standard output is closed")
    if binary and sys.stdout.isatty():
        raise InputError("this is no text for a terminal: name a file with --out, or send standard output to one")
    sys.stdout.flush()
    return sys.stdout.buffer


class Forgiving:
    """A text stream for progress: when nobody can read it any more, the work goes on without."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, if that is possible."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is left, if that is possible."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
