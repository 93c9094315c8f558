"""Problems from a local file: JSONL, CSV or Parquet, with columns of any name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from atts.errors import InputError
from atts.problems.rows import BadRowError, storable, text
from atts.problems.tables import rows
from atts.types import Problem

_SHOWN = 5  # bad rows named in one message


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what. `id` and `choices` may be absent from a file; the rest of its columns become `meta`.

    `choices` is a list, or in CSV a JSON list or options between `|`. `answers` says what answers to questions with
    options are: `letter` or `text`; empty: whichever it is, if it can be only one of them.
    """

    question: str = "question"
    answer: str = "answer"
    choices: str = "choices"
    id: str = "id"
    answers: str = ""

    @classmethod
    def parse(cls, text: str) -> Columns:
        """From `question=problem,answer=gold`. Raises InputError for anything else."""
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        named = {key.strip(): value.strip() for key, _, value in pairs}
        known = {field.name for field in fields(cls)}
        if not named.keys() <= known or not all(named.values()):
            raise InputError(f"columns {text!r}: write them as {'=…,'.join(sorted(known))}=…")
        if named.get("answers", "letter") not in ("letter", "text"):
            raise InputError(f"columns {text!r}: answers is letter or text, not {named['answers']!r}")
        return cls(**named)

    def asked_for(self) -> set[str]:
        """The columns that have other names than usual, and so must be there."""
        columns = [field for field in fields(self) if field.name != "answers"]
        return {getattr(self, field.name) for field in columns if getattr(self, field.name) != field.default}


def read(
    path: Path, columns: Columns, *, skip_bad: bool = False, told: Callable[[str], None] = lambda line: None
) -> list[Problem]:
    """The problems of a file in its order. Raises InputError that names the lines that cannot be used.

    Cannot be used: a row that does not parse, one without question or answer, and one that repeats an earlier
    question or id. With `skip_bad` such rows are left out, and `told` hears how many. A column that is asked for and
    that no row has is an error.
    """
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    bad: list[str] = []
    known: dict[str, None] = {}
    left_out: set[str] = set()
    for line, row in rows(path):
        known |= dict.fromkeys(row if isinstance(row, Mapping) else ())
        try:
            problem = _problem(row, columns, f"{path.stem}/{line}", left_out)
            _remember(problem, seen, line)
            problems.append(problem)
        except BadRowError as error:
            bad.append(f"line {line}: {error}")
    if known and (missing := columns.asked_for() - known.keys()):
        raise InputError(f"{path}: no column {', '.join(map(repr, sorted(missing)))}; it has {', '.join(known)}")
    more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    if bad and not skip_bad:
        raise InputError(f"{path}: {'; '.join(bad[:_SHOWN])}{more} (map the columns, or skip bad rows)")
    if bad:
        told(f"{path}: rows skipped: {len(bad)} ({'; '.join(bad[:_SHOWN])}{more})")
    if left_out:
        told(f"{path}: left out, since they hold no text and no numbers: {', '.join(sorted(left_out))}")
    return problems


def _problem(row: Mapping[str, Any] | str, columns: Columns, name: str, left_out: set[str]) -> Problem:
    if isinstance(row, str):
        raise BadRowError(row)
    known = {columns.question, columns.answer, columns.choices, columns.id}
    choices = _choices(row.get(columns.choices))
    answer = text(row, columns.answer)
    rest = {key: value for key, value in row.items() if key not in known}
    left_out |= {key for key, value in rest.items() if not storable(value)}
    return Problem(
        id=str(row[columns.id]).strip() if row.get(columns.id) not in (None, "") else name,
        question=text(row, columns.question),
        answer=_lettered(answer, choices, columns.answers) if choices else answer,
        choices=choices,
        meta={key: value for key, value in rest.items() if key not in left_out},
    )


def _choices(value: Any) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        value = _listed(value)
    options = tuple(str(option).strip() for option in value) if isinstance(value, list) else ()
    if not 2 <= len(options) <= len(ascii_uppercase) or not all(options) or len(set(options)) < len(options):
        raise BadRowError("choices must be 2 to 26 different texts")
    return options


def _listed(value: str) -> list[Any]:
    """A JSON list, or what stands between `|`; a text that only begins like a list may hold options too."""
    if value.lstrip().startswith("["):
        try:
            listed = json.loads(value)
        except (ValueError, RecursionError) as error:
            if "|" not in value:
                raise BadRowError(f"choices do not parse ({error})") from error
        else:
            return listed if isinstance(listed, list) else [listed]
    return value.split("|")


def _lettered(answer: str, choices: Sequence[str], meant: str) -> str:
    """The letter of the right option, given as the letter or as the option's text; `meant` says which, where both fit.

    Raises BadRowError where it is neither, and where it can be read both ways and nothing says which is meant.
    """
    letter = answer.upper() if len(answer) == 1 and answer.upper() in ascii_uppercase[: len(choices)] else ""
    text_ = _option(answer, choices)
    readings = {"letter": letter, "text": text_}
    if meant and readings[meant]:
        return readings[meant]
    if letter and text_ and letter != text_:
        raise BadRowError(
            f"answer {answer!r} is the letter of {choices[ascii_uppercase.index(letter)]!r} and the text of option "
            f"{text_}: say which with --columns answers=letter or answers=text"
        )
    if meant or not (letter or text_):
        raise BadRowError(f"answer {answer[:20]!r} is no {meant or 'letter and no text'} of a choice")
    return letter or text_


def _option(answer: str, choices: Sequence[str]) -> str:
    """The letter of the option with this text; of the only one that differs in capitals, if none has just this text."""
    same = [place for place, option in enumerate(choices) if option == answer]
    alike = same or [place for place, option in enumerate(choices) if option.casefold() == answer.casefold()]
    return ascii_uppercase[alike[0]] if len(alike) == 1 else ""


def _remember(problem: Problem, seen: dict[str, int], line: int) -> None:
    """Notes the question and the id; a row that repeats one is bad."""
    marks = {
        f"id {problem.id[:40]!r}": f"id:{problem.id}",
        "question": f"question:{' '.join(problem.question.split())}",
    }
    for what, mark in marks.items():
        if mark in seen:
            raise BadRowError(f"same {what} as line {seen[mark]}")
    seen.update(dict.fromkeys(marks.values(), line))
