"""The problem family: exact answers, consistent steps, splits that never overlap."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.bundled.family import BLANK_LINE, Split, parse, problems, solution, split_of
from atts.errors import InputError
from atts.types import Problem

ADD = {"buys", "finds", "wins", "gets", "earns", "makes", "borrows", "collects"}
TAKE = {"sells", "loses", "lends", "drops", "donates", "returns", "trades", "discards"}
SPLITS: tuple[Split, ...] = ("train", "calibration", "test")


def compute(question: str) -> int:
    """Answer a question by reading its English, without any code of the family."""
    total = int(re.findall(r"\d+", question)[0])
    for verb, number in re.findall(r"(?:He|She) (\w+) (\d+|them)\.", question):
        if verb in ADD:
            total += int(number)
        elif verb in TAKE:
            total -= int(number)
        else:
            assert number == "them"
            assert verb == "doubles" or (verb == "halves" and total % 2 == 0)
            total = total * 2 if verb == "doubles" else total // 2
        assert 10 <= total <= 99
    return total


@pytest.mark.parametrize("split", SPLITS)
def test_answers_are_exact(split: Split) -> None:
    for problem in problems(split, 300, operations=(1, 8)):
        assert problem.answer == str(compute(problem.question))


def test_every_step_follows_from_the_one_before() -> None:
    for problem in problems("test", 200, operations=(1, 8)):
        first, *steps, last = solution(problem).split(BLANK_LINE)
        name, total = problem.question.split()[0], problem.question.split()[2]
        assert first == f"{name} has {total}."
        for step in steps:
            left, sign, number, result = re.search(r": (\d+)([-+*/])(\d+)=(\d+)\.$", step).groups()  # type: ignore[union-attr]
            value = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}[sign]
            assert left == total
            assert int(result) == value(int(left), int(number))
            sentence = step.split(":")[0]
            assert problem.question.count(sentence + ".") == 1
            total = result
        assert last == rf"So the answer is \boxed{{{problem.answer}}}."


@pytest.mark.parametrize("operations", [1, 3, 4, 6, 8])
def test_the_knob_is_the_number_of_operations(operations: int) -> None:
    for problem in problems("train", 50, operations=(operations, operations)):
        assert problem.meta["operations"] == operations
        assert len(solution(problem).split(BLANK_LINE)) == operations + 2


def test_the_default_difficulty_is_four_to_six_operations() -> None:
    assert {problem.meta["operations"] for problem in problems("test", 100)} == {4, 5, 6}


def test_splits_are_a_function_of_the_text() -> None:
    for split in SPLITS:
        for problem in problems(split, 200, seed=3):
            place = int(hashlib.sha256(problem.question.encode()).hexdigest()[:16], 16) % 10
            assert problem.meta["split"] == split
            assert split == {0: "test", 1: "calibration"}.get(place, "train")


def test_splits_do_not_overlap() -> None:
    # One operation and a narrow family: if splits could meet anywhere, they would meet here.
    drawn = [{p.question for p in problems(split, 1500, operations=(1, 1))} for split in SPLITS]
    assert len(set.union(*drawn)) == 4500


def test_the_same_arguments_give_the_same_problems() -> None:
    assert problems("test", 20) == problems("test", 40)[:20]
    assert problems("test", 20) != problems("test", 20, seed=1)
    program = "from atts.bundled.family import *; print(problems('test', 3)[2].question)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == problems("test", 3)[2].question


def test_problems_of_a_list_are_different() -> None:
    chosen = problems("train", 2000, operations=(1, 2))
    assert len({p.question for p in chosen}) == len({p.id for p in chosen}) == 2000


@given(st.integers(0, 10**6), st.integers(1, 8))
def test_a_question_reads_back(seed: int, operations: int) -> None:
    problem = problems("train", 1, seed=seed, operations=(operations, operations))[0]
    story = parse(problem.question)
    assert story.question == problem.question
    assert story.answer == problem.answer
    assert split_of(problem.question) == "train"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "there is no split 'dev' of bundled; there are: train, calibration, test"),
        ({"n": 0}, "problems: 0 asked for"),
        ({"operations": (0, 4)}, "operations: 0 to 4"),
        ({"operations": (4, 9)}, "operations: 4 to 9"),
        ({"operations": (6, 4)}, "operations: 6 to 4"),
    ],
)
def test_bad_arguments_are_named_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        problems(**{"split": "test", "n": 1, **arguments})
    assert "\n" not in str(caught.value)


def test_a_strange_question_or_answer_is_refused() -> None:
    with pytest.raises(InputError, match="not a question"):
        solution(Problem("x", "What is 2 + 2?", "4"))
    problem = problems("test", 1)[0]
    with pytest.raises(InputError, match="the answer is"):
        solution(Problem("x", problem.question, "7"))
