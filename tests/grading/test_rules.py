"""Rules that compare answers: numbers, letters, texts, and what they cannot tell."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.errors import InputError
from atts.grading.graders import GRADERS, named
from atts.grading.quantities import number
from atts.grading.rules import Choice, Exact, Grader, Numeric, Suited
from atts.types import Problem

from .hostile import hostile


def asked(answer: str, *choices: str) -> Problem:
    return Problem("p", "?", answer, choices)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("1,234", 1234),
        ("1{,}234", 1234),
        ("$\\frac{1}{2}$", Fraction(1, 2)),
        ("\\frac12", Fraction(1, 2)),
        ("-\\dfrac{3}{4}", Fraction(-3, 4)),
        ("3/4", Fraction(3, 4)),
        ("1\\frac{1}{2}", Fraction(3, 2)),
        ("-1 1/2", Fraction(-3, 2)),
        ("50\\%", 50),
        ("5 cm", 5),
        ("90^\\circ", 90),
        ("1.5\\times10^{3}", 1500),
        ("1.5e-3", Fraction(3, 2000)),
        ("\\$5.00", 5),
        ("−7.", -7),
        ("3x", None),
        ("2i", None),
        ("2 pi", None),
        ("5 million", 5_000_000),
        ("1,23", None),
        ("1/0", None),
        ("1e999999999", None),
        ("10^", None),
        ("x", None),
        ("", None),
        ("10²", 100),
        ("-2³", -8),
        ("2^{10}", 1024),
        ("3·10⁻²".replace("·", "\\cdot "), Fraction(3, 100)),
        ("9^{999999}", None),
        ("½", Fraction(1, 2)),
        ("-1½", Fraction(-3, 2)),
        ("¹⁄₃", Fraction(1, 3)),
        ("2516₈", None),
        ("0.1\\overline{6}", Fraction(1, 6)),
        ("18\\text{ eggs}", 18),
        ("18 eggs", 18),
        ("18\\text{ men}", 18),
        ("5\\text{ million}", 5_000_000),
        ("5\\text{ or more}", None),
        ("5 abc", None),
        ("5 a", None),
        ("3m", None),
        ("3 m", 3),
        ("3\\text{m}", 3),
        ("60 km/h", 60),
        ("5 cm²", 5),
        ("x = 18", 18),
        ("m+n=204", 204),
        ("x = 3+4 = 7", 7),
        ("\\approx 18", 18),
        ("(1)", 1),
        ("(1,234)", None),
        ("x=1, y=2", None),
        ("x = 1 \\quad x = 2", None),
        ("x <= 3", None),
        ("2x = 6", None),
        ("f(2) = 5", 5),
    ],
)
def test_number(text: str, value: Fraction | int | None) -> None:
    assert number(text) == value


@given(st.integers(-(10**12), 10**12))
def test_every_way_of_writing_an_integer_is_the_same_number(n: int) -> None:
    for text in (str(n), f"{n:,}", f"{n}.0", f"${n}$", f"\\text{{{n}}}", f" {n} ", f"{n}/1", f"\\frac{{{n}}}{{1}}"):
        assert number(text) == n
        assert Numeric().grade(text, asked(str(n))) is True
        assert Numeric().key(text) == Numeric().key(str(n))


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_numbers_are_told_apart_exactly(ours: Fraction, known: Fraction) -> None:
    verdict = Numeric(tolerance=0).grade(str(ours), asked(f"\\frac{{{known.numerator}}}{{{known.denominator}}}"))
    assert verdict is (ours == known)


def test_numeric_cannot_tell_where_the_known_answer_is_no_number() -> None:
    assert Numeric().grade("3", asked("x^2")) is None
    assert Numeric().grade(None, asked("3")) is False
    assert Numeric().grade("three", asked("3")) is True
    assert Numeric().grade("many", asked("3")) is False


@pytest.mark.parametrize(
    ("known", "answer", "verdict"),
    [
        ("5\\text{ cm}", "5\\text{ m}", False),
        ("5\\text{ cm}", "5 centimeters", True),
        ("5\\text{ cm}", "5", True),
        ("5\\text{ cm}", "5\\text{ cm}^2", False),
        ("16\\text{ cm}^2", "16 square cm", True),
        ("2\\text{ hours}", "2\\text{ minutes}", False),
        ("5 dollars", "5 cents", False),
        ("60 mph", "60 miles per hour", True),
        ("18\\text{ eggs}", "18 duck eggs", True),
        ("3\\text{ nuts}", "3\\text{ bolts}", False),
        ("50\\%", "50 cm", False),
        ("x=5", "y=5", False),
        ("x=5", "5", True),
    ],
)
def test_what_both_sides_name_must_be_the_same(known: str, answer: str, verdict: bool) -> None:
    assert Numeric().grade(answer, asked(known)) is verdict


@pytest.mark.parametrize(
    ("known", "answer", "verdict"),
    [
        ("12345678901", "12345678902", False),
        ("12345678901", "12345678902.0", False),
        ("1/12345678901", "1/12345678902", False),
        ("1/3", "0.3333333333", True),
        ("102", "10²", False),
        ("11/2", "1½", False),
    ],
)
def test_integers_and_fractions_are_compared_exactly(known: str, answer: str, verdict: bool) -> None:
    assert Numeric().grade(answer, asked(known)) is verdict


def test_a_percent_sign_may_be_missing_or_a_hundredth() -> None:
    assert Numeric().grade("50%", asked("50")) is True
    assert Numeric().grade("50", asked("50\\%")) is True
    assert Numeric().grade("50%", asked("0.5")) is True
    assert Numeric().grade("5%", asked("50")) is False


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("B", True),
        ("(B)", True),
        ("\\text{B}", True),
        ("B. green", True),
        ("green", True),
        ("A", False),
        ("red", False),
        ("Both", False),
        ("b", True),
        ("(b)", True),
        ("(B) green", True),
        ("Option B", True),
        ("The answer is B.", True),
        ("**B**", True),
        ("B and A", False),
        ("(B) or (A)", False),
        ("B, A", False),
        ("B lot", False),
        ("bee", False),
        (None, False),
    ],
)
def test_choice(answer: str | None, verdict: bool) -> None:
    assert Choice().grade(answer, asked("B", "red", "green")) is verdict


def test_choice_cannot_tell_where_the_known_answer_is_no_letter() -> None:
    assert Choice().grade("B", asked("42")) is None


def test_suited_follows_the_known_answer() -> None:
    assert Suited().grade("blue", asked("B", "red", "blue")) is True
    assert Suited().grade("1/2", asked("0.5")) is True
    assert Suited().grade("x^2", asked("x ^2")) is False
    assert Suited().grade("x^2", asked("x^2")) is True


def test_exact_minds_everything_but_blanks_and_dollars() -> None:
    assert Exact().grade(" $x + 1$ ", asked("x  + 1")) is True
    assert Exact().grade("0.5", asked("1/2")) is False
    assert Exact().grade(None, asked("1/2")) is False


@pytest.mark.parametrize("grader", [Exact(), Numeric(), Choice()])
def test_an_answer_equals_itself_and_keys_agree_with_verdicts(grader: Exact | Numeric | Choice) -> None:
    for answer in ("7", "\\frac{1}{2}", "B", "x^2", "1,000", "50%"):
        assert grader.grade(answer, asked(answer)) in (True, None)
        assert grader.key(answer) == grader.key(f" {answer} ")


@pytest.mark.parametrize("grader", [Exact(), Numeric(), Choice()])
def test_hostile_answers_neither_crash_nor_are_right(grader: Exact | Numeric | Choice) -> None:
    for text in hostile(100):
        assert grader.grade(text, asked("B", "red", "green")) in (False, None)
        assert isinstance(grader.key(text), str)


def test_graders_by_name() -> None:
    assert set(GRADERS) == {"exact", "numeric", "choice", "suited", "math"}
    assert isinstance(named("numeric"), Numeric)
    with pytest.raises(InputError, match="there is no grader 'guess'; there are: exact, numeric, choice, suited, math"):
        named("guess")


@pytest.mark.parametrize("grader", [Exact(), Numeric(), Suited()], ids=lambda grader: type(grader).__name__)
def test_a_percentage_and_the_bare_number_do_not_vote_together(grader: Grader) -> None:
    """50 may be meant as 50 % or as fifty: two answers, and only verdicts are lenient."""
    assert grader.key("50 %") == grader.key("50\\%") == grader.key("50.0%")
    assert grader.key("50 %") != grader.key("50") == grader.key("50.0")
