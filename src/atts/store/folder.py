"""The run folder: what was asked, what happened, what came of it. The journal is the truth.

    run.json        the resolved configuration, its fingerprint, versions and environment
    problems.jsonl  the problems with their answers, one a line, in the order of the run
    journal.jsonl   append-only: `kind` is `turn` or `chain`; one line a turn, one a finished chain
    sessions.jsonl  when the run was begun and resumed; information only, nothing is computed from it
    summary.json    figures; can be computed again from the rest

A process that is killed at any moment leaves a folder that can be resumed: what the journal holds whole is never done
again, a torn last line is cut off.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import queue
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from atts.config.run import FREE_ON_RESUME, RunConfig, validated
from atts.errors import InputError, RunError
from atts.types import Chain, EngineInfo, Problem, Role, Turn

_TURN = TypeAdapter(Turn)
_CHAIN = TypeAdapter(Chain)
_PROBLEM = TypeAdapter(Problem)
_INFO = TypeAdapter(EngineInfo)
_TURN_LINE = b'{"kind":"turn"'
_BULKY = {"log_probabilities"}  # and never needed again
_LEFT_OUT: Any = {"draft": _BULKY, "takeover": _BULKY, "more": {"__all__": _BULKY}, "dropped": {"__all__": _BULKY}}
_NAMED = 20  # damaged lines that a sentence numbers
_PACKAGES = ("atts-llm", "numpy", "torch", "transformers", "aiohttp")

SCHEMA = 1
"""Of the folder's layout; a version reads the one that it writes."""

Key = tuple[str, int]


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


class RunFolder:
    """A run folder that exists: its configuration, problems, journal and summary."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run = _read_json(path / "run.json")
        self.config = _config(path, self.run)

    @classmethod
    def create(
        cls, path: Path, config: RunConfig, problems: Sequence[Problem], contents: Mapping[str, str] | None = None
    ) -> RunFolder:
        """A new folder. Nothing counts as written until `run.json` stands, which is last.

        `contents` are digests of the files that the configuration names, beside the problems. Raises `InputError`
        where it cannot be written, and where another run's or somebody's own files stand.
        """
        lines = b"".join(_PROBLEM.dump_json(problem) + b"\n" for problem in problems)
        _refuse_foreign(path, lines)
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_atomically(path / "problems.jsonl", lines)
            write_json(path / "run.json", _description(config, contents or {}))
        except OSError as error:
            raise InputError(f"{path}: cannot write there: {error.strerror or error}") from error
        return cls(path)

    @classmethod
    def exists(cls, path: Path) -> bool:
        """Whether a run was begun there."""
        return (path / "run.json").is_file()

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run; raises `InputError` if there is none."""
        if not cls.exists(path):
            raise InputError(f"{path}: no run there (a folder with run.json is needed)")
        return cls(path)

    def refuse_if_different(self, config: RunConfig) -> None:
        """Raise `InputError` naming every key in which the configuration differs from that of the folder."""
        before, now = self.config.model_dump(), config.model_dump()
        differing = [key for key in now if key not in FREE_ON_RESUME and before[key] != now[key]]
        if differing:
            changes = ", ".join(f"{key} was {before[key]!r}, is {now[key]!r}" for key in differing)
            raise InputError(f"{self.path} holds another run: {changes} (choose another --out to start anew)")

    def refuse_if_changed(self, problems: Sequence[Problem], contents: Mapping[str, str]) -> None:
        """Raise `InputError` if the same names now stand for other problems, or for files of other content."""
        before, now = ([(p.id, p.question, p.answer, p.choices) for p in ps] for ps in (self.problems(), problems))
        if before != now:
            number = next((n for n, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1]), None)
            what = f"there were {len(before)}, are {len(now)}" if number is None else f"{now[number][0]!r} is another"
            raise InputError(f"{self.path} holds another run: the problems have changed, {what} (choose another --out)")
        known = self.run.get("contents", {})
        for name, digest in contents.items():
            if known.get(name, digest) != digest:
                raise InputError(f"{self.path} holds another run: the {name} has changed (choose another --out)")

    def discard(self) -> None:
        """Take back a run that could not begin: its files, and the folder if nothing else is in it."""
        for name in ("run.json", "problems.jsonl", "journal.jsonl", "sessions.jsonl", "summary.json"):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    def problems(self) -> list[Problem]:
        """The problems of the run, in its order."""
        path = self.path / "problems.jsonl"
        try:
            return [_PROBLEM.validate_json(line) for line in path.read_bytes().splitlines() if line.strip()]
        except (OSError, ValidationError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error

    def journal(self) -> Journal:
        """All that the journal says. Damaged lines are numbered and skipped; what a later line says of a chain wins."""
        journal = Journal()
        for entry in self.entries():
            if isinstance(entry, int):
                journal.damaged.append(entry)
            elif isinstance(entry, Chain):
                journal.chains[_key(entry)] = entry
            elif not _goes_on(journal.turns.setdefault(_key(entry), []), entry):
                journal.unused[_key(entry)] += 1
        return journal

    def entries(self) -> Iterator[Turn | Chain | int]:
        """The journal's lines in order, one at a time; the number of a line that is damaged in its place."""
        path = self.path / "journal.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    yield _decode(line, number)

    def histories(self) -> Iterator[tuple[Chain, list[Turn]]]:
        """The chains that ended, each once with all its turns; memory holds the turns of the chains that are open only.

        The journal is read twice: a chain that failed and was tried again has ended where it is spoken of last.
        """
        last = {_key(entry): place for place, entry in enumerate(self.entries()) if not isinstance(entry, int)}
        turns: dict[Key, list[Turn]] = {}
        ended: dict[Key, Chain] = {}
        for place, entry in enumerate(self.entries()):
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

    def chains(self) -> Iterator[Chain]:
        """The chains that ended, in that order, without decoding turns; damaged lines are skipped."""
        path = self.path / "journal.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n") and not line.startswith(_TURN_LINE):
                    entry = _decode(line, number)
                    if isinstance(entry, Chain):
                        yield entry

    def gaps(self) -> list[str]:
        """What there is no history of, in sentences: lines and turns that cannot be used, chains that are open."""
        damaged: list[int] = []
        unused: Counter[Key] = Counter()
        reached: Counter[Key] = Counter()
        ended: set[Key] = set()
        for entry in self.entries():
            if isinstance(entry, int):
                damaged.append(entry)
            elif isinstance(entry, Chain):
                ended.add(_key(entry))
            elif entry.turn > reached[_key(entry)]:
                unused[_key(entry)] += 1
            else:
                reached[_key(entry)] = max(reached[_key(entry)], entry.turn + 1)
        wanted = len(self.problems()) * self.config.samples
        open_ = [f"{wanted - len(ended):,} of {wanted:,} chains have not ended."] if len(ended) < wanted else []
        return gaps(damaged, unused) + open_

    def append(self) -> JournalWriter:
        """Open the journal for writing, alone. Raises `InputError` if another process has it."""
        return JournalWriter(self.path / "journal.jsonl")

    def begin_session(self, time: float, ended: int, engines: Mapping[Role, EngineInfo]) -> None:
        """Note that the run begins or goes on, at this time of the run, with so many chains that have ended.

        Raises `RunError` where the disk does not take it.
        """
        line = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "time": time,
            "ended": ended,
            "engines": {role.value: _INFO.dump_python(info, mode="json") for role, info in engines.items()},
        }
        path = self.path / "sessions.jsonl"
        try:
            with path.open("ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error

    def sessions(self) -> list[dict[str, Any]]:
        """When the run was begun and resumed; lines that cannot be read are left out."""
        path = self.path / "sessions.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [line for line in map(_object, lines) if line is not None]

    def engines(self) -> dict[Role, EngineInfo]:
        """What the engines of the latest session said of themselves; empty if that is not known."""
        known = [session["engines"] for session in self.sessions() if session.get("engines")]
        try:
            return {Role(role): _INFO.validate_python(info) for role, info in known[-1].items()} if known else {}
        except (ValueError, AttributeError):
            return {}

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write `summary.json`. Raises `RunError` where the disk does not take it; it can be computed again."""
        path = self.path / "summary.json"
        try:
            write_json(path, summary)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error

    def summary_if_any(self) -> dict[str, Any] | None:
        """The figures of the run, if it has any yet."""
        return self.summary() if (self.path / "summary.json").is_file() else None

    def summary(self) -> dict[str, Any]:
        """The figures of the run; raises `InputError` if it has none yet."""
        return _read_json(self.path / "summary.json")


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


def _config(path: Path, run: Mapping[str, Any]) -> RunConfig:
    """The configuration of a run folder; raises `InputError` if this version cannot read it."""
    if run.get("schema") != SCHEMA or not isinstance(run.get("config"), Mapping):
        raise InputError(f"{path / 'run.json'}: not a run of layout {SCHEMA}, which this version of atts reads")
    try:
        return validated(run["config"])
    except InputError as error:
        versions = run.get("versions")
        writer = versions.get("atts-llm", "?") if isinstance(versions, Mapping) else "?"
        raise InputError(f"{path / 'run.json'}, written by atts {writer}, cannot be read: {error}") from error


def _refuse_foreign(path: Path, problems: bytes) -> None:
    """Raise `InputError` if a folder without `run.json` holds what a run would take for its own, or would replace."""
    for name in ("journal.jsonl", "summary.json"):
        if (path / name).exists():
            raise InputError(f"{path} has a {name} but no run.json: not a whole run (choose another --out)")
    own = path / "problems.jsonl"
    if own.is_file() and own.read_bytes() != problems:  # equal if the run was killed before it had a run.json
        raise InputError(f"{own} is there already, and is not this run's (choose another --out)")


def _description(config: RunConfig, contents: Mapping[str, str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "fingerprint": config.fingerprint(),
        "config": config.model_dump(),
        "contents": dict(contents),
        "versions": {"python": platform.python_version(), **_versions()},
        "environment": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "executable": sys.implementation.name,
        },
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: an object is needed")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in one step: a reader sees the old one or the new one."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
