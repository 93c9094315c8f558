"""Is an answer right? Rules that compare it with the known one.

A verdict is True, False, or None where the rule cannot tell: an ungraded answer is reported as such and never counted
as wrong. An absent answer is wrong.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from fractions import Fraction
from string import ascii_uppercase

from atts.grading.quantities import LONGEST, bare, number, plain, quantity
from atts.types import Problem

# Which letter of a multiple choice: "B", "(b)", "B. 42", "Option B", "**B**"; but not "A lot" and "(A) and (B)".
_LETTER = re.compile(
    r"(?i:(?:the )?(?:option|choice|answer)(?: is)?[\s:]*)?[*_]*"
    r"(?:[(\[]([A-Za-z])[)\]][*_]*(?=$|[\s.:])|([A-Z])[*_]*(?:$|[.):])|([a-z])[*_]*$)(?!\s*(?:and|or)\b)"
)


class Grader(ABC):
    """A rule that compares answers. `describe` is the line that lists show."""

    describe: str

    @abstractmethod
    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Whether the answer is right; None where the rule cannot tell. May block: call it in a thread."""

    def key(self, answer: str) -> str:
        """Answers with the same key vote together: the same number, or the same text but for blanks and spelling."""
        found = quantity(answer)
        return bare(answer) if found is None else str(found.value) + "%" * (found.unit == "%")

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
        known = quantity(problem.answer)
        if known is None:
            return None
        given = quantity(answer) if answer is not None else None
        if answer is None or given is None or not given.may_be(known):
            return False
        decimals = "." in answer or "." in problem.answer
        same = [(given.value, known.value)]
        if (given.unit == "%") != (known.unit == "%"):
            hundredth = Fraction(1, 100)
            same.append(
                (given.value * hundredth, known.value) if given.unit else (given.value, known.value * hundredth)
            )
        return any(self._close(ours, theirs, decimals) for ours, theirs in same)

    def _close(self, ours: Fraction, theirs: Fraction, decimals: bool) -> bool:
        if not decimals or ours.denominator == theirs.denominator == 1:
            return ours == theirs
        return abs(ours - theirs) <= self._tolerance * abs(theirs)


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
        options = [plain(text) for text in problem.choices]
        if plain(answer) in options:
            return ascii_uppercase[options.index(plain(answer))]
        return letter(answer)


class Suited(Grader):
    """`choice` where a problem has options, `numeric` where the known answer is a number, else `exact`."""

    describe = "choice, numeric or exact, whichever the known answer calls for"

    def __init__(self) -> None:
        self._choice, self._numeric, self._exact = Choice(), Numeric(), Exact()

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Compares as the known answer calls for."""
        if problem.choices:
            return self._choice.grade(answer, problem)
        return (self._exact if number(problem.answer) is None else self._numeric).grade(answer, problem)


def letter(answer: str) -> str | None:
    """The letter that a short answer gives: "B", "(b)", "B. 42", "\\text{B}", "**B**" or "Option B"."""
    match = _LETTER.match(plain(answer)) if len(answer) <= LONGEST else None
    return next(filter(None, match.groups())).upper() if match else None
