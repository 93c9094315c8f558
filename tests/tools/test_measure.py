"""The judgement of lines and scores by which the pair is measured."""

from __future__ import annotations

import numpy as np
import pytest
from tools.train.corpus import back
from tools.train.measure import area_under_curve, expected

from atts.bundled.family import parse, problems


def test_each_line_of_a_solution_is_expected() -> None:
    for problem in problems("test", 50, operations=(1, 8)):
        story = parse(problem.question)
        lines = story.lines()
        for index, line in enumerate(lines):
            assert expected(story, lines[:index]) == line
            if index > 0:
                assert expected(story, [*lines[: index - 1], back(lines[index - 1])]) == line


def test_a_wrong_total_is_carried_and_nonsense_expects_nothing() -> None:
    story = parse("Leo has 63 coins. He donates 48. He buys 37. How many coins does Leo have?")
    assert expected(story, ["Leo has 63.", "He donates 48: 63-48=25."]) == "He buys 37: 25+37=62."
    assert expected(story, ["Leo has 63.", "He eats 48: 63-48=15."]) is None
    assert expected(story, ["Leo Leo Leo"]) is None


def test_the_area_under_the_curve_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    scores, wrong = rng.integers(0, 9, 200).astype(float), rng.random(200) < 0.3
    bad, good = scores[wrong][:, None], scores[~wrong][None]
    assert area_under_curve(scores, wrong) == pytest.approx(((bad > good) + 0.5 * (bad == good)).mean())
