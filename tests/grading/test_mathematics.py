"""Answers as models write them, right ones and wrong ones that look right, with the verdict that is due."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from atts.grading.mathematics import Math
from atts.types import Problem

pytest.importorskip("math_verify")

DEVIATIONS = {
    # A percent sign is a unit that may be missing, so that "50" answers "what percent?"; the price is this one.
    ("0.5", r"0.5\%"): True,
    # A base that one side leaves out counts as the same.
    ("2516_8", "2516"): True,
}


@pytest.fixture(scope="module")
def grader() -> Iterator[Math]:
    made = Math(workers=1, seconds=30)
    yield made
    made.close()


def asked(gold: str) -> Problem:
    return Problem("p", "?", gold)


@pytest.mark.parametrize(("gold", "answer", "verdict"), [(*pair, verdict) for pair, verdict in DEVIATIONS.items()])
def test_known_deviations(grader: Math, gold: str, answer: str, verdict: bool) -> None:
    assert grader.grade(answer, asked(gold)) is verdict
