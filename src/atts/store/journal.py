"""The journal: what happened, line by line. It is the truth; everything else can be computed from it.

Append-only; `kind` is `turn` or `chain`: one line a turn, one a finished chain. A torn last line is cut off before the
next one is written; a line that cannot be read is numbered and skipped.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter

from atts.errors import InputError, RunError
from atts.types import Chain, Key, Problem, Turn

_TURN = TypeAdapter(Turn)
_CHAIN = TypeAdapter(Chain)
_TURN_LINE = b'{"kind":"turn"'
_BULKY = {"log_probabilities"}  # and never needed again
_LEFT_OUT: Any = {"draft": _BULKY, "takeover": _BULKY, "more": {"__all__": _BULKY}, "dropped": {"__all__": _BULKY}}
_NAMED = 20  # damaged lines that a sentence numbers


@dataclass(slots=True)
class Journal:
    """What a journal says: the turns of every chain in order, the chains that ended, and what cannot be used.

    `damaged` numbers the lines that cannot be read; `unused` counts, for each chain, the turns whose predecessor is
    missing.
    """

    turns: dict[Key, list[Turn]] = field(default_factory=dict)
    chains: dict[Key, Chain] = field(default_factory=dict)
    damaged: list[int] = field(default_factory=list)
    unused: Counter[Key] = field(default_factory=Counter)

    def only(self, problems: Iterable[Problem], samples: int) -> None:
        """Forget lines about chains that the run does not have (a line damaged into another valid one)."""
        known = {problem.id for problem in problems}

        def wanted(key: Key) -> bool:
            return key[0] in known and 0 <= key[1] < samples

        self.turns = {key: turns for key, turns in self.turns.items() if wanted(key)}
        self.chains = {key: chain for key, chain in self.chains.items() if wanted(key)}
        self.unused = Counter({key: count for key, count in self.unused.items() if wanted(key)})

    @property
    def last_time(self) -> float:
        """The latest moment that the journal speaks of, in seconds since the run began."""
        ends = [chain.end for chain in self.chains.values()]
        ends += [piece.span.end for turns in self.turns.values() for turn in turns[-1:] for piece in turn.written]
        return max(ends, default=0.0)


def read(path: Path) -> Journal:
    """All that a journal says. Damaged lines are numbered and skipped; what a later line says of a chain wins."""
    journal = Journal()
    for entry in entries(path):
        if isinstance(entry, int):
            journal.damaged.append(entry)
        elif isinstance(entry, Chain):
            journal.chains[_key(entry)] = entry
        elif not _goes_on(journal.turns.setdefault(_key(entry), []), entry):
            journal.unused[_key(entry)] += 1
    return journal


def entries(path: Path) -> Iterator[Turn | Chain | int]:
    """The lines of a journal in order, one at a time; the number of a line that is damaged in its place."""
    yield from (_decode(line, number) for number, line in _lines(path))


def chains(path: Path) -> Iterator[Chain]:
    """The chains that ended, in that order, without decoding turns; damaged lines are skipped."""
    for number, line in _lines(path):
        if not line.startswith(_TURN_LINE) and isinstance(entry := _decode(line, number), Chain):
            yield entry


def histories(path: Path) -> Iterator[tuple[Chain, list[Turn]]]:
    """The chains that ended, each once with all its turns; memory holds the turns of the chains that are open only.

    The journal is read twice: a chain that failed and was tried again has ended where it is spoken of last.
    """
    last = {_key(entry): place for place, entry in enumerate(entries(path)) if not isinstance(entry, int)}
    turns: dict[Key, list[Turn]] = {}
    ended: dict[Key, Chain] = {}
    for place, entry in enumerate(entries(path)):
        if isinstance(entry, int):
            continue
        key = _key(entry)
        if isinstance(entry, Chain):
            ended[key] = entry
        else:
            _goes_on(turns.setdefault(key, []), entry)
        if place == last.get(key):
            own = turns.pop(key, [])
            if key in ended:
                yield ended.pop(key), own


def missing(path: Path, wanted: int) -> list[str]:
    """What there is no history of, in sentences: lines and turns that cannot be used, chains that are open.

    `wanted` is the number of chains that the run has.
    """
    damaged: list[int] = []
    unused: Counter[Key] = Counter()
    reached: Counter[Key] = Counter()
    ended: set[Key] = set()
    for entry in entries(path):
        if isinstance(entry, int):
            damaged.append(entry)
        elif isinstance(entry, Chain):
            ended.add(_key(entry))
        elif entry.turn > reached[_key(entry)]:
            unused[_key(entry)] += 1
        else:
            reached[_key(entry)] = max(reached[_key(entry)], entry.turn + 1)
    open_ = [f"{wanted - len(ended):,} of {wanted:,} chains have not ended."] if len(ended) < wanted else []
    return gaps(damaged, unused) + open_


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that were written whole, numbered from 1; none where there is no journal yet."""
    if path.exists():
        with path.open("rb") as file:
            yield from ((number, line) for number, line in enumerate(file, start=1) if line.endswith(b"\n"))


class JournalWriter:
    """Appends lines from a thread of its own, so that a slow disk never holds the event loop.

    Raises `RunError` from `write` or `close` once the disk has failed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open_alone(path)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def turn(self, turn: Turn) -> None:
        """Write a turn."""
        self._write(_TURN_LINE + b"," + _TURN.dump_json(turn, exclude=_LEFT_OUT)[1:])

    def chain(self, chain: Chain) -> None:
        """Write a chain that has ended."""
        self._write(b'{"kind":"chain",' + _CHAIN.dump_json(chain)[1:])

    def close(self) -> None:
        """Write what is left, to the disk itself, and let go of the file."""
        self._lines.put(None)
        self._thread.join()
        try:
            if self._error is None:
                os.fsync(self._file.fileno())
        except OSError as error:
            self._error = error
        with suppress(OSError):  # it tries once more to write what could not be written
            self._file.close()
        self._raise_if_failed()

    def _write(self, line: bytes) -> None:
        self._raise_if_failed()
        self._lines.put(line + b"\n")

    def _run(self) -> None:
        open_ = True
        while open_:
            batch = [self._lines.get()]
            while not self._lines.empty():
                batch.append(self._lines.get())
            open_ = None not in batch
            try:
                self._file.write(b"".join(line for line in batch if line is not None))
                self._file.flush()
            except OSError as error:
                self._error = error
                return

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            raise RunError(f"{self._path}: cannot write the journal: {self._error.strerror or self._error}")

    @staticmethod
    def _open_alone(path: Path) -> BinaryIO:
        try:
            file = path.open("a+b")
        except OSError as error:
            raise InputError(f"{path}: cannot write there: {error.strerror or error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise InputError(f"{path.parent} is in use by another process") from error
        file.truncate(_end_of_whole_lines(file))
        return file


def _end_of_whole_lines(file: BinaryIO) -> int:
    """Where the last line that was written whole ends."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _key(entry: Turn | Chain) -> Key:
    return entry.problem, entry.sample


def _goes_on(turns: list[Turn], turn: Turn) -> bool:
    """Take the next turn of a chain; False where one before it is missing. A chain goes on only from turns that are
    all there; what is there already stands."""
    if turn.turn == len(turns):
        turns.append(turn)
    return turn.turn < len(turns)


def _decode(line: bytes, number: int) -> Turn | Chain | int:
    try:
        values = json.loads(line)
        kind = values.pop("kind")
        entry = _TURN.validate_python(values) if kind == "turn" else _CHAIN.validate_python(values)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return number
    return entry if all(map(isfinite, _times(entry))) else number


def _times(entry: Turn | Chain) -> Iterator[float]:
    """Every time that a line speaks of; all figures lean on them."""
    if isinstance(entry, Chain):
        yield from (entry.start, entry.end)
        return
    for span in (entry.scoring, *(piece.span for piece in entry.written)):
        if span is not None:
            yield from (span.ready, span.start, span.end)


def gaps(damaged: Sequence[int], unused: Mapping[Key, int]) -> list[str]:
    """What of a journal could not be used, in a sentence or two; nothing where all of it could."""
    said = []
    if damaged:
        numbers = ", ".join(map(str, damaged[:_NAMED])) + (" and more" if len(damaged) > _NAMED else "")
        said.append(f"Damaged lines of the journal were left out: {numbers}.")
    if unused:
        turns, chains = counted(sum(unused.values()), "further turn"), counted(len(unused), "chain")
        said.append(f"{turns} of {chains} could not be used, because a turn before them is missing.")
    return said


def counted(number: int, noun: str) -> str:
    """A number of things: `1 chain`, `2 chains`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
