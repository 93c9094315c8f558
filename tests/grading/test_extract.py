"""Where an answer stands in a text, and where it only seems to."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.errors import InputError
from atts.grading.boxes import boxed
from atts.grading.extract import RULES, choice, extractor
from atts.grading.thinking import spoken

from .hostile import hostile


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{3}", "3"),
        (r"so $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"\boxed{1} or rather \boxed{2}", "2"),
        (r"\boxed{ 5 }", "5"),
        (r"\boxed {4}", "4"),
        (r"\boxed{1} then \boxed{2", "1"),
        (r"\boxed{1} then \boxed{}", "1"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed{ \boxed{ \boxed{3} } }", "3"),
        (r"\boxed{a\boxed{4}b}", r"a\boxed{4}b"),
        (r"} } \boxed{4}", "4"),
        (r"{ \boxed{4}", "4"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{1,2\right.}", r"\left\{1,2\right."),
        (r"line \\ \boxed{7}", "7"),
        (r"line \\\boxed{7}", "7"),
        (r"\\boxed{7}", "7"),
        (r"\boxed{}", None),
        ("\\boxed{ \n }", None),
        (r"\boxed{\boxed{}}", None),
        (r"\boxed{3", None),
        (r"\boxedness{3}", None),
        ("the answer is 3", None),
        ("", None),
    ],
)
def test_boxed(text: str, answer: str | None) -> None:
    assert boxed(text) == answer


balanced = st.recursive(
    st.text(st.characters(blacklist_characters="{}\\", blacklist_categories=("Cs",)), min_size=1).filter(str.strip),
    lambda inner: st.builds("{}{{{}}}".format, inner, inner),
    max_leaves=8,
)
unrelated = st.text(st.sampled_from("ab {}\n"), max_size=20)


@given(unrelated, balanced, unrelated)
def test_a_balanced_content_comes_back_whole_whatever_surrounds_it(before: str, content: str, after: str) -> None:
    assert boxed(f"{before}\\boxed{{{content}}}{after}") == content.strip()


@given(st.text(st.sampled_from("\\boxed{}1 $")))
def test_whatever_is_found_stands_in_the_text(text: str) -> None:
    found = boxed(text)
    if found is not None:
        assert found == found.strip() != ""
        assert all(part in text for part in found.split(", "))


@pytest.mark.parametrize(
    ("text", "thinking", "outside"),
    [
        ("plain", False, "plain"),
        ("<think>a</think>b", False, "b"),
        ("a</think>b", False, "b"),
        ("a</think>b</think>c", False, "c"),
        ("<think>a", False, None),
        ("a</think>b<think>c", False, None),
        ("a", True, None),
        ("a</think>b", True, "b"),
    ],
)
def test_only_what_follows_thinking_is_spoken(text: str, thinking: bool, outside: str | None) -> None:
    assert spoken(text, thinking=thinking) == outside


def test_a_box_inside_thinking_is_no_answer() -> None:
    extract = extractor()
    assert extract("<think>maybe \\boxed{3}") is None
    assert extract("<think>maybe \\boxed{3}</think> so") is None
    assert extract("<think>maybe \\boxed{3}</think> so \\boxed{4}") == "4"
    assert extractor(thinking=True)("maybe \\boxed{3}") is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: B", "B"),
        ("**Answer:** (C)", "C"),
        ("ANSWER: B) 42", "B"),
        ("The answer is D.", "D"),
        ("the answer is $C$", "C"),
        ("Answer:\nB", "B"),
        ("Answer: A\n...\nAnswer: B", "B"),
        ("Answer: A, but \\boxed{C}", "C"),
        ("answer: the", None),
        ("Answer: A rectangle", None),
        ("Answer: Apple", None),
        ("Answer: b", "B"),
        ("my answer isn't A.", None),
        ("unanswered: A.", None),
    ],
)
def test_choice(text: str, letter: str | None) -> None:
    assert choice(text) == letter


def test_hashes_and_patterns() -> None:
    assert extractor("hashes")("3 * 4 = 12\n#### 12\n") == "12"
    assert extractor("hashes")("\\boxed{12}") == "12"
    assert extractor(pattern=r"result=(\d+)")("result=1 result=2") == "2"
    assert extractor(pattern=r"\d+")("7 8") == "8"


TEXTS = json.loads(Path(__file__).with_name("texts.json").read_text("utf-8"))


@pytest.mark.parametrize("rule", list(dict.fromkeys(case["rule"] for case in TEXTS)))
def test_texts_of_every_kind(rule: str) -> None:
    extract = extractor(rule)
    cases = [case for case in TEXTS if case["rule"] == rule]
    assert [extract(case["text"]) for case in cases] == [case["answer"] for case in cases]


def test_only_a_box_or_hashes_end_a_chain_under_auto() -> None:
    extract = extractor("auto")
    assert extract.ending("The answer is 42.\n") is None and extract("The answer is 42.\n") == "42"
    assert extract.ending("\\boxed{4}") == "4"
    assert extract.ending("#### 4\n") == "4"
    assert extractor("stated").ending("The answer is 42.\n\\boxed{4}") is None
    assert extractor("boxed").ending("\\boxed{4}") == "4"


def test_auto_says_which_way_found_the_answer() -> None:
    extract = extractor("auto")
    texts = ("\\boxed{1}", "#### 1", "The answer is 1.", "She has 1.", "nothing", "<think>\\boxed{1}")
    assert [extract.way(text) for text in texts] == ["box", "####", "stated", "last number", None, None]
    assert extractor("boxed").way("\\boxed{1}") is None


def test_the_last_number_counts_for_numeric_data_only() -> None:
    assert extractor("auto", numeric=False)("It was in 1912.") is None
    assert extractor("stated", numeric=False)("It was in 1912.") is None
    assert extractor("auto", numeric=False)("The answer is Paris.") == "Paris"


def test_unknown_rules_and_unreadable_patterns_are_refused() -> None:
    with pytest.raises(
        InputError, match="there is no answer rule 'guess'; there are: boxed, choice, hashes, stated, auto"
    ):
        extractor("guess")
    with pytest.raises(InputError, match="not a regular expression"):
        extractor(pattern="(")


@pytest.mark.parametrize("rule", list(RULES))
def test_hostile_texts_take_linear_time(rule: str) -> None:
    """A megabyte takes well below a second of processor time; a quadratic rule would take minutes."""
    extract = extractor(rule)
    texts = hostile(300)
    begun = time.process_time()
    for text in texts:
        extract(text)
    assert time.process_time() - begun < 10


def test_time_grows_with_length_and_not_with_its_square() -> None:
    def seconds(size: int) -> float:
        text = "\\boxed{ " * size + "}" * size
        begun = time.process_time()
        boxed(text)
        return time.process_time() - begun

    def best(size: int) -> float:
        return min(seconds(size) for _ in range(5))  # whatever else the machine does

    assert best(80_000) < 40 * max(best(8_000), 0.001)  # a square would be a hundred
