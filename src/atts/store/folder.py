"""The run folder: what was asked, what happened, what came of it. The journal is the truth.

    run.json        the resolved configuration, its fingerprint, versions and environment
    problems.jsonl  the problems with their answers, one a line, in the order of the run
    journal.jsonl   append-only: `kind` is `turn` or `chain`; one line a turn, one a finished chain
    sessions.jsonl  when the run was begun and resumed; information only, nothing is computed from it
    summary.json    figures; can be computed again from the rest
    verdicts.jsonl  what a grader that is not this package's said; only where one was used

A process that is killed at any moment leaves a folder that can be resumed: what the journal holds whole is never done
again, a torn last line is cut off.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from atts import atomic
from atts.config.earlier import in_todays_words
from atts.config.run import FREE_ON_RESUME, RunConfig, validated
from atts.errors import InputError, RunError
from atts.store import journal
from atts.store.journal import Journal, JournalWriter
from atts.types import Chain, EngineInfo, Problem, Role, Turn

_PROBLEM = TypeAdapter(Problem)
_INFO = TypeAdapter(EngineInfo)
_PACKAGES = ("atts-llm", "numpy", "torch", "transformers", "aiohttp")

FILES = ("run.json", "problems.jsonl", "journal.jsonl", "sessions.jsonl", "summary.json", "verdicts.jsonl")
"""What a run writes into its folder."""

SCHEMA = 1
"""Of the folder's layout; a version reads the one that it writes."""


class RunFolder:
    """A run folder that exists: its configuration, problems, journal and summary."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journal = path / "journal.jsonl"
        self._made: list[Path] = []  # folders that `create` made for it, the innermost first
        self.run = _read_json(path / "run.json")
        self.config = _config(path, self.run)

    @classmethod
    def create(
        cls,
        path: Path,
        config: RunConfig,
        problems: Sequence[Problem],
        contents: Mapping[str, str] | None = None,
        plugins: Mapping[str, str] | None = None,
    ) -> RunFolder:
        """A new folder. Nothing counts as written until `run.json` stands, which is last.

        `contents` are digests of the files that the configuration names, beside the problems; `plugins` says of each
        plug-in that it uses which version that is. Raises `InputError` where it cannot be written, and where another
        run's or somebody's own files stand.
        """
        lines = b"".join(_PROBLEM.dump_json(problem) + b"\n" for problem in problems)
        _refuse_foreign(path, lines)
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            path.mkdir(parents=True, exist_ok=True)
            atomic.write(path / "problems.jsonl", lines)
            atomic.write_json(path / "run.json", _description(config, contents or {}, plugins or {}))
        except OSError as error:
            raise InputError(f"{path}: cannot write there: {error.strerror or error}") from error
        folder = cls(path)
        folder._made = made
        return folder

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
            raise InputError(
                f"{self.path} holds another run: {changes} (choose another --out to start anew; "
                f"--config {self.path / 'run.json'} --out {self.path} goes on with it)"
            )

    def refuse_if_changed(
        self, problems: Sequence[Problem], contents: Mapping[str, str], plugins: Mapping[str, str] | None = None
    ) -> None:
        """Raise `InputError` if the same names now stand for other problems, files of other content, or plug-ins of
        another version.
        """
        before, now = ([(p.id, p.question, p.answer, p.choices) for p in ps] for ps in (self.problems(), problems))
        if before != now:
            number = next((n for n, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1]), None)
            what = f"there were {len(before)}, are {len(now)}" if number is None else f"{now[number][0]!r} is another"
            raise InputError(f"{self.path} holds another run: the problems have changed, {what} (choose another --out)")
        known = self.run.get("contents", {})
        for name, digest in contents.items():
            if known.get(name, digest) != digest:
                raise InputError(f"{self.path} holds another run: the {name} has changed (choose another --out)")
        self._refuse_other_plugins(plugins or {})

    def _refuse_other_plugins(self, now: Mapping[str, str]) -> None:
        before = self.run.get("plugins", now)
        for name in sorted(before.keys() | now.keys()):
            was, is_ = before.get(name, "not a plug-in"), now.get(name, "not a plug-in")
            if was != is_:
                change = f"{name} was {was}, is {is_}"
                raise InputError(f"{self.path} holds another run: {change} (choose another --out)")

    @property
    def begun(self) -> bool:
        """Whether anything has happened: the journal holds a line."""
        return self._journal.is_file() and self._journal.stat().st_size > 0

    def discard(self) -> None:
        """Take back a run that could not begin: its files, and the folders that were made for it if nothing else is
        in them."""
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):
            for folder in self._made or [self.path]:
                folder.rmdir()

    def problems(self) -> list[Problem]:
        """The problems of the run, in its order."""
        path = self.path / "problems.jsonl"
        try:
            found = [_PROBLEM.validate_json(line) for line in path.read_bytes().splitlines() if line.strip()]
        except (OSError, ValidationError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
        if not found:
            raise InputError(f"{path}: there is no problem in it")
        return found

    def journal(self) -> Journal:
        """All that the journal says; see `journal.read`."""
        return journal.read(self._journal)

    def entries(self) -> Iterator[Turn | Chain | int]:
        """The journal's lines in order, one at a time; see `journal.entries`."""
        return journal.entries(self._journal)

    def histories(self) -> Iterator[tuple[Chain, list[Turn]]]:
        """The chains that ended, each once with all its turns; see `journal.histories`."""
        return journal.histories(self._journal)

    def chains(self) -> Iterator[Chain]:
        """The chains that ended, in that order, without decoding turns; damaged lines are skipped."""
        return journal.chains(self._journal)

    def gaps(self) -> list[str]:
        """What there is no history of, in sentences; see `journal.missing`."""
        return journal.missing(self._journal, len(self.problems()) * self.config.samples)

    def append(self) -> JournalWriter:
        """Open the journal for writing, alone. Raises `InputError` if another process has it."""
        return JournalWriter(self._journal)

    def begin_session(self, time: float, ended: int, loading: float, engines: Mapping[Role, EngineInfo]) -> None:
        """Note that the run begins or goes on, at this time of the run, with so many chains that have ended, after its
        engines took so many seconds to be ready.

        Raises `RunError` where the disk does not take it.
        """
        line = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "time": time,
            "ended": ended,
            "loading_s": loading,
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
            atomic.write_json(path, summary)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error

    def summary_if_any(self) -> dict[str, Any] | None:
        """The figures of the run, if it has any yet."""
        return self.summary() if (self.path / "summary.json").is_file() else None

    def summary(self) -> dict[str, Any]:
        """The figures of the run; raises `InputError` if it has none yet."""
        return _read_json(self.path / "summary.json")


def _config(path: Path, run: Mapping[str, Any]) -> RunConfig:
    """The configuration of a run folder; raises `InputError` if this version cannot read it."""
    if run.get("schema") != SCHEMA or not isinstance(run.get("config"), Mapping):
        raise InputError(f"{path / 'run.json'}: not a run of layout {SCHEMA}, which this version of atts reads")
    try:
        return validated(in_todays_words(run["config"]))
    except InputError as error:
        versions = run.get("versions")
        writer = versions.get("atts-llm", "?") if isinstance(versions, Mapping) else "?"
        raise InputError(f"{path / 'run.json'}, written by atts {writer}, cannot be read: {error}") from error


def _refuse_foreign(path: Path, problems: bytes) -> None:
    """Raise `InputError` if a folder without `run.json` holds what a run would take for its own, or would replace."""
    for name in ("journal.jsonl", "summary.json", "verdicts.jsonl"):
        if (path / name).exists():
            raise InputError(f"{path} has a {name} but no run.json: not a whole run (choose another --out)")
    own = path / "problems.jsonl"
    if own.is_file() and own.read_bytes() != problems:  # equal if the run was killed before it had a run.json
        raise InputError(f"{own} is there already, and is not this run's (choose another --out)")


def _description(config: RunConfig, contents: Mapping[str, str], plugins: Mapping[str, str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "fingerprint": config.fingerprint(plugins),
        "config": config.model_dump(),
        "contents": dict(contents),
        "plugins": dict(plugins),
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
