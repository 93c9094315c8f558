"""Answers as models write them, with the verdict that is due: `cases.csv`, kind by kind.

Columns: kind, grader, known answer, answer, verdict, and the options of a multiple choice between `|`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from atts.grading.graders import named
from atts.grading.mathematics import Math
from atts.grading.rules import Grader
from atts.types import Problem

pytest.importorskip("math_verify")

Case = Mapping[str, str]
CASES: list[Case] = list(csv.DictReader(Path(__file__).with_name("cases.csv").read_text("utf-8").splitlines()))
KINDS = list(dict.fromkeys(case["kind"] for case in CASES))


def problem(case: Case) -> Problem:
    return Problem("p", "?", case["known"], tuple(case["choices"].split("|")) if case["choices"] else ())


@pytest.fixture(scope="module")
def graders() -> Iterator[dict[str, Grader]]:
    made: dict[str, Grader] = {name: named(name) for name in ("numeric", "choice", "suited")}
    made["math"] = Math(workers=1, seconds=30)
    yield made
    for grader in made.values():
        grader.close()


@pytest.mark.parametrize("kind", KINDS)
def test_verdicts(graders: dict[str, Grader], kind: str) -> None:
    cases = [case for case in CASES if case["kind"] == kind]
    verdicts = [graders[case["grader"]].grade(case["answer"], problem(case)) for case in cases]
    wrong = [
        (case["grader"], case["known"], case["answer"], verdict)
        for case, verdict in zip(cases, verdicts, strict=True)
        if verdict is not (case["verdict"] == "right")
    ]
    assert not wrong


def test_the_table_is_long_enough() -> None:
    assert len({(case["grader"], case["known"], case["answer"], case["choices"]) for case in CASES}) >= 600


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("f(2)=9", "f(3)=9"),
        ("x+y=1", "x-y=1"),
        ("5 cm", "5 m"),
        ("2 hours", "2 minutes"),
        ("x^2=9", "9"),
        ("xy=4", "4"),
        (r"\angle A=30^\circ", r"\angle B=30^\circ"),
        ("25°C", "25°F"),
        ("ab", "AB"),
        ("5 = 6", "6"),
    ],
)
def test_different_answers_do_not_vote_together(graders: dict[str, Grader], ours: str, theirs: str) -> None:
    assert graders["math"].key(ours) != graders["math"].key(theirs)


@pytest.mark.parametrize(
    "answers",
    [
        (r"\frac12", "0.5", "1/2", "x = 1/2"),
        ("x=5", "5", "5.0", "**5**", "five"),
        (r"2\sqrt2", r"2\sqrt{2}"),
        ("A", "(A)"),
    ],
)
def test_equal_answers_vote_together(graders: dict[str, Grader], answers: tuple[str, ...]) -> None:
    grader = graders["choice" if answers[0] == "A" else "math"]
    assert len(set(map(grader.key, answers))) == 1
