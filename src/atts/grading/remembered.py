"""Verdicts that are kept: what a grader that is not this package's has said stays known where the grader is not.

verdicts.jsonl  beside the journal, one line an answer: problem, answer, correct, vote, and why there is no verdict
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, NamedTuple

from atts.errors import RunError
from atts.grading.rules import Grader
from atts.types import Problem

FILE = "verdicts.jsonl"
"""The file's name in a run folder."""


class Said(NamedTuple):
    """What a grader has said of an answer: its verdict, what votes together with it, why there is no verdict."""

    correct: bool | None
    vote: str
    reason: str = ""


class Remembered(Grader):
    """The verdicts of a file, and for others the grader itself, if it is here.

    With `writes`, what it says is added to the file, and an answer without a verdict is asked about again; without, the
    file is what counts, as for the reader of a run.
    """

    describe = "what another grader has said"

    def __init__(self, path: Path, grader: Grader | None, *, writes: bool = False) -> None:
        self._path = path
        self._grader = grader
        self._writes = writes
        self._lock = threading.Lock()
        self._said = _read(path)
        self._before = b"\n"  # a line that was torn when the process was killed ends here
        self._votes = {answer: said.vote for (_, answer), said in self._said.items()}

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """What was said, or is. Raises `RunError` where the disk does not take it."""
        if answer is None:
            return False
        said = self._said.get((problem.id, answer))
        if said is not None and not (self._writes and said.correct is None):
            return said.correct
        if self._grader is None:
            return None
        correct = self._grader.grade(answer, problem)
        reason = "" if correct is not None else self._grader.why(answer, problem)
        self._keep(problem.id, answer, Said(correct, self.key(answer), reason))
        return correct

    def key(self, answer: str) -> str:
        """As the grader has it or had it."""
        if answer in self._votes:
            return self._votes[answer]
        return self._grader.key(answer) if self._grader is not None else super().key(answer)

    def why(self, answer: str | None, problem: Problem) -> str:
        """What the grader said, or that it is not here."""
        said = self._said.get((problem.id, answer or ""))
        if said is not None:
            return said.reason
        return "its grader is not here" if self._grader is None else self._grader.why(answer, problem)

    def complaint(self) -> str:
        """That of the grader."""
        return "" if self._grader is None else self._grader.complaint()

    def close(self) -> None:
        """Close the grader."""
        if self._grader is not None:
            self._grader.close()

    def _keep(self, problem: str, answer: str, said: Said) -> None:
        with self._lock:
            self._said[problem, answer] = said
            self._votes[answer] = said.vote
            if self._writes:
                _append(self._path, {"problem": problem, "answer": answer, **said._asdict()}, self._before)
                self._before = b""


def _append(path: Path, line: dict[str, Any], before: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(before + json.dumps(line).encode() + b"\n")
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


def _read(path: Path) -> dict[tuple[str, str], Said]:
    """The last word on each answer; lines that cannot be read are left out, and those answers graded again."""
    said: dict[tuple[str, str], Said] = {}
    for text in path.read_bytes().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
            correct, vote, reason = line["correct"], line["vote"], line["reason"]
            if correct in (True, False, None) and isinstance(vote, str) and isinstance(reason, str):
                said[line["problem"], line["answer"]] = Said(correct, vote, reason)
        except (ValueError, KeyError, TypeError):
            continue
    return said
