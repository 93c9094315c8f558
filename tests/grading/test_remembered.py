"""Verdicts of graders that are not here any more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from atts.errors import RunError
from atts.grading.foreign import Foreign, FromFunction
from atts.grading.remembered import Remembered
from atts.grading.rules import Grader
from atts.types import Problem

PROBLEM = Problem("p", "?", "red")


class Shades(Grader):
    """Says what is red, cannot tell of purple, and breaks on nothing."""

    describe = "shades"

    def __init__(self) -> None:
        self.asked: Counter[str | None] = Counter()

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        self.asked[answer] += 1
        if answer == "nothing":
            raise KeyError(answer)
        return None if answer == "purple" else answer in ("red", "scarlet")

    def key(self, answer: str) -> str:
        return {"scarlet": "red"}.get(answer, answer)


ANSWERS = {"red": True, "scarlet": True, "blue": False, "purple": None, "nothing": None, None: False}


def said(grader: Grader) -> dict[str | None, bool | None]:
    return {answer: grader.grade(answer, PROBLEM) for answer in ANSWERS}


def test_what_was_said_is_known_without_the_grader(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    assert said(Remembered(file, Foreign("shades", Shades()), writes=True)) == ANSWERS
    read = Remembered(file, None)
    assert said(read) == ANSWERS
    assert read.key("scarlet") == read.key("red") == "red" != read.key("blue")
    assert "KeyError" in read.why("nothing", PROBLEM) and read.why("red", PROBLEM) == ""
    assert read.grade("green", PROBLEM) is None and read.why("green", PROBLEM) == "its grader is not here"


def test_the_reader_asks_only_about_what_is_new_and_writes_nothing(tmp_path: Path) -> None:
    file, grader = tmp_path / "verdicts.jsonl", Shades()
    said(Remembered(file, Foreign("shades", Shades()), writes=True))
    before = file.read_bytes()
    reader = Remembered(file, grader)
    assert said(reader) == ANSWERS and reader.grade("green", PROBLEM) is False
    assert grader.asked == {"green": 1} and file.read_bytes() == before


def test_a_resumed_run_asks_again_where_there_was_no_verdict(tmp_path: Path) -> None:
    file, grader = tmp_path / "verdicts.jsonl", Shades()
    said(Remembered(file, Foreign("shades", Shades()), writes=True))
    assert said(Remembered(file, Foreign("shades", grader), writes=True)) == ANSWERS
    assert grader.asked == {"purple": 1, "nothing": 1}


@pytest.mark.parametrize("torn", [b'{"problem": "p", "ans', b"\n\xff\n", b'{"problem": "p"}\n', b"[]\n", b"7\n"])
def test_a_damaged_line_costs_that_answer_only(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "verdicts.jsonl"
    said(Remembered(file, Foreign("shades", Shades()), writes=True))
    file.write_bytes(file.read_bytes() + torn)
    grader = Shades()
    assert said(Remembered(file, grader)) == ANSWERS and not grader.asked
    assert Remembered(file, grader, writes=True).grade("green", PROBLEM) is False
    assert Remembered(file, None).grade("green", PROBLEM) is False


def test_a_disk_that_does_not_take_it_is_a_run_error(tmp_path: Path) -> None:
    kept = Remembered(tmp_path / "none" / "verdicts.jsonl", FromFunction(lambda a, p: True), writes=True)
    with pytest.raises(RunError, match="cannot be written"):
        kept.grade("1", PROBLEM)
