"""Answers without a run: the same rules and graders as in one."""

from __future__ import annotations

from typing import Any

import pytest

import atts
from atts.grading.rules import Numeric


@pytest.mark.parametrize(
    ("answer", "known", "options", "right"),
    [
        ("1/2", "0.5", {}, True),
        ("0.51", "0.5", {}, False),
        (None, "0.5", {}, False),
        ("B", "B", {"choices": ["red", "blue"]}, True),
        ("blue", "B", {"choices": ["red", "blue"]}, True),
        ("B", "blue", {"choices": ["red", "blue"]}, True),
        ("A", "blue", {"choices": ("red", "blue")}, False),
        ("x", "y", {"grader": "numeric"}, None),
        ("7.0", "7", {"grader": "exact"}, False),
        ("7.0", "7", {"grader": Numeric()}, True),
        ("x", "X", {"grader": lambda answer, problem: answer.upper() == problem.answer}, True),
        (None, "X", {"grader": lambda answer, problem: True}, False),
    ],
)
def test_grade(answer: str | None, known: str, options: dict[str, Any], right: bool | None) -> None:
    assert atts.grade(answer, known, **options) is right


def test_votes_of_answers_that_are_the_same() -> None:
    assert atts.vote_key("7.0") == atts.vote_key("7") == atts.vote_key(" 7 ")
    assert atts.vote_key("7") != atts.vote_key("8")
    assert atts.vote_key("(b)", grader="choice") == "B"


def test_extract() -> None:
    assert atts.extract(r"so \boxed{4}, no: \boxed{5}") == "5"
    assert atts.extract("nothing") is None
    assert atts.extract("done\n#### 12", rule="hashes") == "12"
    assert atts.extract("it is <12>", pattern="<([0-9]+)>") == "12"
    assert atts.extract("thinking of 3", rule=lambda text: text[-1]) == "3"
    assert atts.extract("still thinking of 3", rule=lambda text: text[-1], thinking=True) is None
    assert atts.extract("<think>1</think> so 3", rule=lambda text: text.strip()) == "so 3"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda: atts.grade("1", "1", grader="numeri"), "no grader 'numeri'.*did you mean 'numeric'"),
        (lambda: atts.grade(1, "1"), "answer = 1: a text is needed"),
        (lambda: atts.grade("1", 1), "known = 1: a text is needed"),
        (lambda: atts.vote_key(1), "answer = 1: a text is needed"),
        (lambda: atts.extract("x", rule="boxd"), "no answer rule 'boxd'.*did you mean 'boxed'"),
        (lambda: atts.extract("x", pattern="("), "pattern"),
        (lambda: atts.extract(None), "text = None: a text is needed"),
    ],
)
def test_bad_input_is_one_line(asked: Any, message: str) -> None:
    with pytest.raises(atts.InputError, match=message) as error:
        asked()
    assert "\n" not in str(error.value)


def test_errors_of_ones_own_grader_are_ones_own() -> None:
    def broken(answer: str, problem: atts.Problem) -> bool:
        raise KeyError(answer)

    with pytest.raises(KeyError):
        atts.grade("1", "1", grader=broken)


def test_a_rule_of_ones_own_gives_a_text_or_none() -> None:
    assert atts.extract("x", rule=lambda text: None) is None
    with pytest.raises(TypeError, match="gave 5, which is neither a text nor None"):
        atts.extract("x", rule=lambda text: 5)  # type: ignore[arg-type, return-value]
