"""Answers as models write them, right ones and wrong ones that look right, with the verdict that is due."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from atts.grading.mathematics import Math
from atts.types import Problem

pytest.importorskip("math_verify")

RIGHT = [
    # fractions
    (r"\frac{1}{2}", r"\frac12"),
    (r"\frac{1}{2}", r"\dfrac{1}{2}"),
    (r"\frac{1}{2}", "1/2"),
    (r"\frac{1}{2}", "0.5"),
    (r"\frac{1}{2}", "0.50"),
    (r"\frac{1}{2}", r"\frac{2}{4}"),
    (r"\frac{1}{2}", "$\\frac{1}{2}$"),
    (r"\frac{1}{2}", r"\left(\frac{1}{2}\right)"),
    (r"-\frac{3}{4}", r"\frac{-3}{4}"),
    (r"-\frac{3}{4}", "-0.75"),
    (r"-\frac{3}{4}", r"-\tfrac{3}{4}"),
    (r"\frac{14}{3}", r"4\frac{2}{3}"),
    (r"4\frac{2}{3}", r"\frac{14}{3}"),
    (r"\frac{3}{2}", "1 1/2"),
    (r"\frac{270}{7}\text{ degrees}", r"\frac{270}{7}"),
    (r"\frac{270}{7}", r"\frac{270}{7}^\circ"),
    # integers, separators, signs
    ("1234", "1,234"),
    ("1,234", "1234"),
    ("1234567", r"1{,}234{,}567"),
    ("10{,}080", "10080"),
    ("1000000", "10^6"),
    ("1500", r"1.5 \times 10^3"),
    ("1500", "1.5e3"),
    ("7", "7."),
    ("7", "7.0"),
    ("7", "+7"),
    ("-7", "−7"),
    ("7", r"\text{7}"),
    ("7", r"\mathbf{7}"),
    ("7", " 7 "),
    ("7", "$7$"),
    ("7", "x = 7"),
    ("070", "70"),
    ("0", "-0"),
    # radicals
    (r"3\sqrt{13}", r"\sqrt{117}"),
    (r"2\sqrt{2}", r"\sqrt{8}"),
    (r"\sqrt{2}", r"\sqrt2"),
    (r"11\sqrt{2}", r"11\sqrt2"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
    (r"\sqrt{51}", r"51^{1/2}"),
    ("5", r"\sqrt{25}"),
    (r"\sqrt[3]{8}", "2"),
    (r"6 - 5i", "6-5i"),
    # powers, logarithms, constants
    (r"\frac{1}{8}", "2^{-3}"),
    ("1024", "2^{10}"),
    (r"\pi", r"\pi"),
    (r"\frac{\pi}{2}", r"\frac{1}{2}\pi"),
    (r"2\pi", r"\pi \cdot 2"),
    (r"\frac{9}{4}\pi", r"\frac{9\pi}{4}"),
    (r"e^{2}", "e^2"),
    (r"\ln 2", r"\ln(2)"),
    (r"\log_2 8", "3"),
    # units, money, degrees
    ("5", r"5\text{ cm}"),
    ("5", "5 cm"),
    (r"5\text{ cm}^2", "5"),
    ("12", r"12 \text{ inches}"),
    ("18.90", r"\$18.90"),
    (r"\$18.90", "18.9"),
    ("90", r"90^\circ"),
    (r"90^\circ", "90"),
    ("90", r"90^{\circ}"),
    ("45", "45°"),
    ("60", "60 degrees"),
    ("36", r"36\,\text{mph}"),
    # percent
    (r"50\%", "50%"),
    (r"50\%", "50"),
    ("50", r"50\%"),
    ("0.5", r"50\%"),
    (r"12.5\%", r"\frac{1}{8}"),
    # text and choices
    (r"\text{Evelyn}", "Evelyn"),
    ("Evelyn", r"\textbf{evelyn}"),
    (r"\text{east}", "East"),
    (r"\text{(C)}", "C"),
    ("C", "(C)"),
    ("B", r"\text{B}"),
    # tuples, intervals, sets
    ("(1,2)", "(1, 2)"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\pi/2)"),
    ("(6,31,-1)", "(6, 31, -1)"),
    (r"\left(\frac{1}{2},3\right)", "(0.5, 3)"),
    ("[0,1)", r"\left[0,1\right)"),
    (r"(-\infty,3]", r"\left(-\infty, 3\right]"),
    (r"x \in [-2,7]", "[-2,7]"),
    ("[-2,7]", r"x \in [-2, 7]"),
    (r"(0,9)\cup(9,36)", r"(0,9) \cup (9,36)"),
    ("1,-2", "-2,1"),
    ("3, 5, 7", "7,5,3"),
    (r"\{1,2\}", r"\{2, 1\}"),
    # expressions
    ("x^2-1", "(x-1)(x+1)"),
    ("(x+1)^2", "x^2+2x+1"),
    ("2x+3", "3+2x"),
    ("p - q", "p-q"),
    (r"\frac{x+2}{7}", r"\frac{1}{7}(x+2)"),
    (r"y = 2x + 3", "y=2x+3"),
    ("x^3+3x-6", "x^{3}+3x-6"),
    (r"5r^5", r"5 r^{5}"),
    (r"1 \pm \sqrt{19}", r"1\pm\sqrt{19}"),
    (r"\frac{n(n+1)}{2}", r"\frac{n^2+n}{2}"),
    (r"a\cdot b", "ab"),
    (r"\sin x", r"\sin(x)"),
    # matrices
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}"),
    (r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}", r"\begin{pmatrix} 0.2 \\ -3.6 \end{pmatrix}"),
    (r"\begin{pmatrix} \frac{1}{2} & 0 \end{pmatrix}", r"\begin{pmatrix} 0.5 & 0 \end{pmatrix}"),
    # bases
    ("2516_8", "2516_{8}"),
    # raised characters, repeating decimals
    ("100", "10²"),
    ("x^2+1", "x²+1"),
    (r"\frac{1}{2}", "½"),
    ("1.5", "1½"),
    (r"0.\overline{3}", r"\frac{1}{3}"),
    (r"\frac{1}{6}", r"0.1\overline{6}"),
    # words for what is counted, and what the number is said to be
    ("18", r"18\text{ eggs}"),
    ("3", r"3\text{ bolts}"),
    (r"5\sqrt{2}", r"5\sqrt{2}\text{ cm}"),
    (r"5\sqrt{2}\text{ cm}", r"\sqrt{50}"),
    ("204", "m+n=204"),
    ("18", r"\approx 18"),
    # products of letters
    ("ab", "ba"),
    ("pq", r"p\cdot q"),
    ("xyz", "zyx"),
    # long numbers
    ("0.333333333333333333", "0.333333333333333333"),
    ("123456789012345678901234567890", "123,456,789,012,345,678,901,234,567,890"),
]

WRONG = [
    (r"\frac{1}{2}", r"\frac{1}{3}"),
    (r"\frac{1}{2}", r"\frac{2}{1}"),
    (r"\frac{1}{3}", "0.33"),
    (r"\frac{1}{3}", "0.333"),
    ("7", "-7"),
    ("7", "70"),
    ("7", "7.1"),
    ("7", "77"),
    ("1234", "1,234.5"),
    ("1234", "12,34"),
    (r"4\frac{2}{3}", r"\frac{8}{3}"),
    (r"\sqrt{2}", "1.41"),
    (r"\sqrt{2}", "2"),
    (r"3\sqrt{13}", r"13\sqrt{3}"),
    (r"\pi", "3.14"),
    (r"\pi", "3"),
    (r"\frac{\pi}{2}", r"\frac{2}{\pi}"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "(1,3)"),
    ("(1,2)", "(1,2,3)"),
    ("[0,1)", "[0,1]"),
    ("[0,1)", "(0,1]"),
    (r"(-\infty,3]", r"(-\infty,3)"),
    (r"\{1,2\}", r"\{1,2,3\}"),
    ("1,-2", "1,2"),
    ("3, 5, 7", "3,5"),
    ("x^2-1", "x^2+1"),
    ("x^2-1", "(x-1)^2"),
    ("2x+3", "3x+2"),
    ("3", "3x"),
    ("2", "2i"),
    ("6-5i", "6+5i"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}"),
    ("Evelyn", "Angela"),
    (r"\text{east}", "west"),
    ("C", "B"),
    ("5", "5 million"),
    ("1000000", "10^5"),
    (r"50\%", "0.05"),
    ("90", r"9^\circ"),
    ("1024", "2^{9}"),
    ("5", "five hundred"),
    ("5", r"5\text{ million}"),
    ("102", "10²"),
    ("25", "2⁵"),
    ("11/2", "1½"),
    ("25168", "2516₈"),
    ("3h", "3g"),
    ("3", "3m"),
    ("2s", "2"),
    ("7N", "7"),
    ("5", "5K"),
    (r"5\text{ cm}", r"5\text{ m}"),
    (r"5\sqrt{2}\text{ cm}", r"5\sqrt{2}\text{ m}"),
    (r"2\text{ hours}", r"2\text{ minutes}"),
    ("12345678901", "12345678902"),
    (r"\text{no}", "on"),
    ("ab", "ac"),
    ("5", ""),
    ("5", r"\text{undefined}"),
]

DEVIATIONS = {
    # A percent sign is a unit that may be missing, so that "50" answers "what percent?"; the price is this one.
    ("0.5", r"0.5\%"): True,
    # Words for numbers are not read.
    ("5", "five"): False,
    # math-verify gives the bases up and compares the digits.
    ("2516_8", "2516"): True,
}


@pytest.fixture(scope="module")
def grader() -> Iterator[Math]:
    made = Math(workers=1, seconds=30)
    yield made
    made.close()


def asked(gold: str) -> Problem:
    return Problem("p", "?", gold)


@pytest.mark.parametrize(("gold", "answer"), RIGHT)
def test_right(grader: Math, gold: str, answer: str) -> None:
    assert grader.grade(answer, asked(gold)) is True


@pytest.mark.parametrize(("gold", "answer"), WRONG)
def test_wrong_though_it_may_look_right(grader: Math, gold: str, answer: str) -> None:
    assert grader.grade(answer, asked(gold)) is False


@pytest.mark.parametrize(("gold", "answer", "verdict"), [(*pair, verdict) for pair, verdict in DEVIATIONS.items()])
def test_known_deviations(grader: Math, gold: str, answer: str, verdict: bool) -> None:
    assert grader.grade(answer, asked(gold)) is verdict


def test_the_table_is_long_enough() -> None:
    assert len(set(RIGHT)) + len(set(WRONG)) >= 120
