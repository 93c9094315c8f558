"""Is an answer right? Rules that compare it with the known one.

A verdict is True, False, or None where the rule cannot tell: an ungraded answer is reported as such and never counted
as wrong. An absent answer is wrong.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from string import ascii_uppercase
from typing import NamedTuple

from atts.errors import InputError
from atts.types import Problem

LONGEST = 2_000  # characters; nothing longer is a number or a letter
_LARGEST_EXPONENT = 400

_COMMAND_BLANKS = re.compile(r"(?<!\\)\\(?:[,;:!> ]|quad\b|qquad\b|left\b|right\b|displaystyle\b)|~")
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"([+-]?)\\[dtc]?frac\s*(?:\{([^{}]+)\}|(\d))\s*(?:\{([^{}]+)\}|(\d))")
_MIXED = re.compile(
    r"([+-]?\d+)\s*\\[dtc]?frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))"
    r"|([+-]?\d+)\s+(\d+)\s*/\s*(\d+)"
)
_POWER = re.compile(r"(.+?)\s*(?:\\times|\\cdot|×|\*)\s*10\s*\^\s*(?:\{\s*([+-]?\d+)\s*\}|([+-]?\d+))")
_DECIMAL = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+))?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?:,|\{,\})\d{3})+(?:\.\d*)?")
# Units are named one by one: any other word may be a variable, a constant or "million", and changes the number.
_UNIT = re.compile(
    r"(?:\s*(?:\^\s*\{?\s*(?:\\circ|∘)\s*\}?|°)|(?:\s+(?:square|cubic|per))*\s*"
    r"(?:[cmk]?m|in|inch(?:es)?|f(?:oo|ee)?t|y(?:ar)?ds?|mi|miles?|[mk]?g|grams?|lbs?|pounds?|oz|ounces?|m?[lL]|lit(?:er|re)s?"
    r"|m?s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?|days?|weeks?|months?|years?|deg|degrees?|mph|km/h|m/s|[cm]m/s"
    r"|dollars?|cents?|coins?|units?|percent|Hz|[kM]Hz|N|J|W|K|[cmk]?met(?:er|re)s?|points?|people|ways)"
    r"\.?(?:\s*\^\s*\{?\d\}?|[²³])?)$"
)
WORDS = re.compile(r"[A-Za-z][A-Za-z ,.'-]*")
_LETTER = re.compile(r"[(\[]?([A-Z])[)\]]?(?:$|[.):\s])")


class Grader(ABC):
    """A rule that compares answers. `describe` is the line that lists show."""

    describe: str

    @abstractmethod
    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Whether the answer is right; None where the rule cannot tell. May block: call it in a thread."""

    def key(self, answer: str) -> str:
        """Answers with the same key vote together: the same number, or the same text but for blanks and spelling."""
        value = number(answer)
        return bare(answer) if value is None else str(value) + "%" * _percent(answer)

    def why(self, answer: str | None, problem: Problem) -> str:
        """Why an answer could not be graded, where more is known than that."""
        return ""

    def close(self) -> None:
        """Release processes, if any; safe to call twice."""
        return


def plain(text: str) -> str:
    """Without what does not change the meaning: Unicode variants, dollars, TeX blanks and wrappers, a final stop."""
    text = unicodedata.normalize("NFKC", text).replace("−", "-").strip()
    text = _COMMAND_BLANKS.sub(" ", text.replace("\\$", "").replace("$", ""))
    text = _WRAPPED.sub(r" \1 ", text).replace("\\%", "%")
    return " ".join(text.split()).rstrip(".").strip()


def bare(text: str) -> str:
    """The plain text without blanks, with one spelling of fractions, and words in small letters."""
    text = plain(text)
    for spelling in ("\\dfrac", "\\tfrac", "\\cfrac"):
        text = text.replace(spelling, "\\frac")
    return text.replace(" ", "").casefold() if WORDS.fullmatch(text) else text.replace(" ", "")


def number(text: str) -> Fraction | None:
    """The number that a short text states exactly, or None.

    Understands signs, decimals, thousands separators, powers of ten, a/b, TeX fractions, mixed numbers; a unit,
    degrees or a percent sign behind it is left out.
    """
    if len(text) > LONGEST:
        return None
    body = plain(text).removesuffix("%").strip()
    value = _value(body)
    return _value(_UNIT.sub("", body).strip()) if value is None else value


def _value(body: str) -> Fraction | None:
    try:
        return next((value for form in _FORMS if (value := form(body)) is not None), None)
    except (ZeroDivisionError, ValueError):  # ValueError: more digits than Python turns into a number
        return None


def _mixed(body: str) -> Fraction | None:
    if not (match := _MIXED.fullmatch(body)):
        return None
    groups = (match.group(1, 6), match.group(2, 3, 7), match.group(4, 5, 8))
    whole, top, bottom = (next(filter(None, group)) for group in groups)
    part = Fraction(int(top), int(bottom))
    return int(whole) - part if whole.startswith("-") else int(whole) + part


def _fraction(body: str) -> Fraction | None:
    if match := _FRACTION.fullmatch(body):
        top, bottom = _decimal(match[2] or match[3]), _decimal(match[4] or match[5])
        sign = -1 if match[1] == "-" else 1
    else:
        left, slash, right = body.partition("/")
        top, bottom, sign = (_decimal(left), _decimal(right), 1) if slash else (None, None, 1)
    return None if top is None or bottom is None else sign * top / bottom


def _power(body: str) -> Fraction | None:
    if not (match := _POWER.fullmatch(body)) or (factor := _decimal(match[1])) is None:
        return None
    exponent = int(match[2] or match[3])
    return factor * Fraction(10) ** exponent if abs(exponent) <= _LARGEST_EXPONENT else None


def _decimal(body: str) -> Fraction | None:
    body = body.strip()
    if _THOUSANDS.fullmatch(body):
        body = body.replace("{,}", "").replace(",", "")
    match = _DECIMAL.fullmatch(body)
    if not match or abs(int(match[2] or 0)) > _LARGEST_EXPONENT:
        return None
    return Fraction(match[0])


_FORMS = (_mixed, _fraction, _power, _decimal)


class Exact(Grader):
    """The same text, apart from blanks, dollar signs and typographic variants."""

    describe = "the same text, apart from blanks, dollars and Unicode variants"

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Compares the two texts."""
        return answer is not None and plain(answer) == plain(problem.answer)


class Numeric(Grader):
    """The same number, however it is written; ungraded where the known answer is not a number.

    A percent sign counts as a unit that may be left out or as a hundredth, whichever fits: "50%" is 50 and is 0.5.
    """

    describe = "the same number: fractions, separators, powers of ten, units"

    def __init__(self, tolerance: float = 1e-9) -> None:
        """`tolerance` is relative."""
        self._tolerance = Fraction(tolerance)

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Compares the two numbers."""
        gold = number(problem.answer)
        if gold is None:
            return None
        value = number(answer) if answer is not None else None
        if answer is None or value is None:
            return False
        same = [(value, gold)]
        if _percent(answer) != _percent(problem.answer):
            same.append((value / 100, gold) if _percent(answer) else (value, gold / 100))
        return any(abs(ours - known) <= self._tolerance * abs(known) for ours, known in same)


def _percent(text: str) -> bool:
    return plain(text).endswith("%")


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
    """The letter with which a short answer begins: "B", "(B)", "B. 42", or "\\text{B}"."""
    match = _LETTER.match(plain(answer)) if len(answer) <= LONGEST else None
    return match[1] if match else None


def _math() -> Grader:
    from atts.evals.math_grader import Math  # it needs this module

    return Math()


class Kind(NamedTuple):
    """A grader that can be had by name: what it does in one line, and how to make one."""

    describe: str
    make: Callable[[], Grader]


GRADERS: dict[str, Kind] = {
    "exact": Kind(Exact.describe, Exact),
    "numeric": Kind(Numeric.describe, Numeric),
    "choice": Kind(Choice.describe, Choice),
    "suited": Kind(Suited.describe, Suited),
    "math": Kind("equal as mathematics (math-verify, in processes with a time limit)", _math),
}


def named(name: str) -> Grader:
    """A grader by name; close it after use. Raises InputError where there is none or its extra is not installed."""
    if name not in GRADERS:
        raise InputError(f"unknown grader {name!r}; there are: {', '.join(GRADERS)}")
    return GRADERS[name].make()
