"""Is an answer right? Rules that compare it with the known one.

A verdict is True, False, or None where the rule cannot tell: an ungraded answer is reported as such and never counted
as wrong. An absent answer is wrong.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from fractions import Fraction
from string import ascii_uppercase

from atts.grading import forms, units
from atts.grading.notation import LONGEST, plain
from atts.grading.quantities import WORDS, Quantity, bare, number, quantity
from atts.types import Problem

_MARKED = (
    r"(?:(?:the|my|final|correct|right|best)\s+)*(?:option|choice|answer)(?:\s+(?:is|must be|should be))?[\s:.=-]*"
)
# Which letter of a multiple choice: "B", "(b)", "B. 42", "B, 5 m", "Option B"; but not "A lot" and "(A) and (B)".
_LETTER = re.compile(
    rf"(?i:(?:{_MARKED})*)[*_]*(?:[(\[{{]\s*([A-Za-z])\s*[)\]}}](?=$|[\s.:,*_-])|([A-Z])(?:$|[.):*_]|\s*[-–—]\s)|([a-z])(?:$|[):*_]))"
    r"(?![*_\s)]*(?:and|or|,|&|/)\s*\(?[A-Za-z](?![A-Za-z]))"
)

_WITH_TEXT = re.compile(rf"(?i:(?:{_MARKED})*)[(\[]?([A-Za-z])(?:[)\]][\s,:.=–-]*|[\s,:.=–-]+)(\S.*)", re.DOTALL)
# Names that do not count in a vote; of f(2) = 5 and \angle A = 5 another value or angle is another answer.
_PLAIN_NAME = re.compile(r"(?!\\(?:measured)?angle)\\?[A-Za-z+]*")
_ARTICLE = re.compile(r"^(?:the|an?)\s+(?=\S)", re.IGNORECASE)
_DECIMAL_POINT = re.compile(r"\d?\.\d|\d[eE]-?\d")


class Grader(ABC):
    """A rule that compares answers. `describe` is the line that lists show."""

    describe: str

    @abstractmethod
    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Whether the answer is right; None where the rule cannot tell. May block: call it in a thread."""

    def key(self, answer: str) -> str:
        """Answers with the same key vote together: the same number in the same unit, or the same text but for spelling.

        An equation that only names what a number is (`x = 5`) votes for the number; any other one for itself.
        """
        found = quantity(answer)
        if found is None or not _PLAIN_NAME.fullmatch(found.symbol):
            return bare(answer)
        return f"{found.value} {found.unit if units.is_measure(found.unit) else ''}".strip()

    def why(self, answer: str | None, problem: Problem) -> str:
        """Why an answer could not be graded, where more is known than that."""
        return ""

    def complaint(self) -> str:
        """What has gone wrong in the grader itself, each thing said once; "" is nothing new."""
        return ""

    def close(self) -> None:
        """Release processes, if any; safe to call twice."""
        return


class Exact(Grader):
    """The same text, apart from blanks, dollar signs and typographic variants."""

    describe = "the same text, apart from blanks, dollars and Unicode variants"

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Compares the two texts."""
        return answer is not None and plain(answer) == plain(problem.answer)


class Numeric(Grader):
    """The same number, however it is written; ungraded where the known answer is not a number.

    A unit may be missing on either side; two that are named must be the same. A percent sign counts as a unit or as a
    hundredth, whichever fits: "50%" is 50 and is 0.5. Integers and fractions are compared exactly.
    """

    describe = "the same number: fractions, separators, powers, units"

    def __init__(self, tolerance: float = 1e-9) -> None:
        """`tolerance` is relative, for decimals."""
        self._tolerance = Fraction(tolerance)

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Compares the two numbers."""
        if answer is not None and (verdict := forms.same_base(plain(problem.answer), plain(answer))) is not None:
            return verdict
        known = quantity(problem.answer)
        if known is None:
            return None
        given = quantity(answer) if answer is not None else None
        if answer is None or given is None or not given.may_be(known):
            return False
        decimals = any(map(_DECIMAL_POINT.search, (answer, problem.answer)))
        return any(self._close(ours, theirs, decimals) for ours, theirs in _readings(given, known))

    def _close(self, ours: Fraction, theirs: Fraction, decimals: bool) -> bool:
        if not decimals or ours.denominator == theirs.denominator == 1:
            return ours == theirs
        return abs(ours - theirs) <= self._tolerance * abs(theirs)


def _readings(given: Quantity, known: Quantity) -> list[tuple[Fraction, Fraction]]:
    """The pairs of values that may be meant: 50 % is 50 of a unit that may be missing, and 0.5; 75 cents are 0.75."""
    if given.unit == known.unit:
        return [(given.value, known.value)]
    scaled = (given.value / units.parts(given.unit), known.value / units.parts(known.unit))
    return [scaled] if given.unit and known.unit else [(given.value, known.value), scaled]


class Choice(Grader):
    """The same letter, or the text of the option that has it; ungraded where the known answer is not a letter."""

    describe = "the same letter of a multiple choice, or the text of that option"

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Compares letters; an answer that repeats an option's text has that option's letter."""
        gold = letter(problem.answer)
        if gold is None:
            return None
        return answer is not None and self._letter(answer, problem) == gold

    def key(self, answer: str) -> str:
        """The letter, or the plain text."""
        return letter(answer) or plain(answer)

    def _letter(self, answer: str, problem: Problem) -> str | None:
        """The letter that an answer gives; where letters are options too (blood groups), the letter wins."""
        last = ascii_uppercase[len(problem.choices) - 1] if problem.choices else "Z"
        found = letter(answer)
        if found is not None and found <= last and len(plain(answer).strip("()[]{}")) == 1:
            return found
        if (meant := _option(answer, problem)) is not None:
            return meant
        if marked := _WITH_TEXT.match(plain(answer)):  # "B 5 m": the letter and the text of its option
            meant = _option(marked[2], problem)
            if meant is not None or found is None:
                return meant if meant == marked[1].upper() else None
        return found if found is not None and found <= last else None


def _option(text: str, problem: Problem) -> str | None:
    """The letter of the option that says so, or else of the only one that is the same number."""
    text = plain(text)
    text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    said = bare(_ARTICLE.sub("", text)).casefold()
    value = quantity(text)
    numbers = []
    for place, option in enumerate(problem.choices[:26]):
        if said == bare(_ARTICLE.sub("", plain(option))).casefold():
            return ascii_uppercase[place]
        theirs = quantity(option) if value is not None else None
        if value is not None and theirs is not None and value.value == theirs.value and value.may_be(theirs):
            numbers.append(ascii_uppercase[place])
    return numbers[0] if len(numbers) == 1 else None


class Suited(Grader):
    """`choice` where a problem has options, `numeric` where the known answer is a number, else `exact`."""

    describe = "choice, numeric or exact, whichever the known answer calls for"

    def __init__(self) -> None:
        self._choice, self._numeric, self._exact = Choice(), Numeric(), Exact()

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Compares as the known answer calls for."""
        if problem.choices:
            return self._choice.grade(answer, problem)
        if number(problem.answer) is not None:
            return self._numeric.grade(answer, problem)
        same_words = answer is not None and WORDS.fullmatch(plain(answer)) and bare(answer) == bare(problem.answer)
        return bool(same_words) or self._exact.grade(answer, problem)


def letter(answer: str) -> str | None:
    """The letter that a short answer gives: "B", "(b)", "B. 42", "\\text{B}", "**B**" or "Option B"."""
    match = _LETTER.match(plain(answer)) if len(answer) <= LONGEST else None
    return next(filter(None, match.groups())).upper() if match else None
