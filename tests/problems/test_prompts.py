"""Prompts: what is sent, and what a file may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from atts.errors import InputError
from atts.problems.prompts import PROMPTS, Prompt, load
from atts.types import Message, Problem

PLAIN = Problem("p", "What is {choices} in $\\frac{1}{2}$?", "x")
CHOICE = Problem("p", "Which {question}?", "A", ("{question}", "blue"))


def test_the_bundled_prompt_is_the_bare_question() -> None:
    assert load("bundled").messages(Problem("p", "Leo has 63 coins.", "63")) == [Message("user", "Leo has 63 coins.")]


def test_the_reference_has_its_system_text_and_letters() -> None:
    system, user = load("reference").messages(CHOICE)
    assert system == Message("system", "You are a math expert.")
    assert user.content.endswith("Choices:\nA. {question}\nB. blue")


@pytest.mark.parametrize("name", list(PROMPTS))
def test_marks_inside_a_question_stay_as_they_are(name: str) -> None:
    assert PLAIN.question in load(name).messages(PLAIN)[-1].content
    content = load(name).messages(CHOICE)[-1].content
    assert "Which {question}?" in content and "A. {question}\nB. blue" in content


def test_a_file_may_change_every_part(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('system = "Be brief."\nplain = "Q: {question} {not a mark}"\nchoice = "({letter}) {text}"\n')
    prompt = load(str(file))
    assert prompt.messages(PLAIN) == [
        Message("system", "Be brief."),
        Message("user", f"Q: {PLAIN.question} {{not a mark}}"),
    ]
    assert prompt.messages(CHOICE)[1].content.endswith("(A) {question}\n(B) blue")
    assert prompt.multiple_choice == Prompt("").multiple_choice


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plain = 3", "plain must be text"),
        ('plain = "no mark"', "plain has no {question}"),
        ('multiple_choice = "{question}"', "multiple_choice has no {choices}"),
        ('user = "{question}"', "unknown keys user"),
        ("plain =", "not TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        load(str(file))


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match="there is no prompt 'mine'; there are: bundled, plain, reference; or"):
        load("mine")
