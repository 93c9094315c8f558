"""The number that a short answer states, with its unit and with what it is said to be.

Numbers are read exactly, as fractions. Every reading takes time linear in the length of the text, or refuses it.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import factorial
from typing import NamedTuple

from atts.grading import units
from atts.grading.notation import LONGEST, plain
from atts.grading.number_words import spoken_value

_LARGEST_POWER = 800  # digits of a base times its exponent

_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textnormal|mathrm|mathbf|mathit|mbox|operatorname)\s*\{")
_INSIDE = r"\{((?:[^{}]|\{[^{}]*\})+)\}"
_FRACTION = re.compile(rf"([+-]?)\\frac\s*(?:{_INSIDE}|(\d))\s*(?:{_INSIDE}|(\d))")
_MIXED = re.compile(
    r"([+-]?\d+)\s*\\frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))"
    r"|([+-]?\d+)\s+(\d+)\s*/\s*(\d+)"
)
_POWER = re.compile(
    r"(?:(.+?)\s*(?:\\times|\\cdot|\*|x(?=\s*10))\s*|([+-]?))(\d+)\s*(?:\^|\*\*)\s*(?:[{(]\s*([+-]?\d+)\s*[})]|([+-]?\d+))"
)
_REPEATING = re.compile(r"([+-]?)(\d*)\.(\d*)\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))")
_DECIMAL = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+))?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+|(?: \d{3})+|(?:'\d{3})+|(?:_\d{3})+)(?:\.\d*)?")
_BRACKETED = re.compile(r"([+-]?)\s*\(([^(),]*)\)")
_SCALED = re.compile(r"(.+?)\s+(hundred|thousand|million|billion|trillion|dozen)")
_SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_ROUNDED = Fraction(1, 50)
_FACTORIAL = re.compile(r"(\d{1,3})\s*!")
_ORDINAL = re.compile(r"(?<=\d)\s*\^?\s*\{?\s*(?:st|nd|rd|th)\s*\}?$")
_SIGN_IN_WORDS = re.compile(r"^(?:minus|negative)\s+(?=[\d.\\])", re.IGNORECASE)
_SIGN_APART = re.compile(r"^([+-])\s+(?=[\d.\\])")
_ABOUT = re.compile(
    r"^(?:approximately|approx\.?|about|roughly|around|exactly|\\approx|\\sim(?:eq)?)(?![A-Za-z])\s*", re.I
)
_ASIDE = re.compile(r"\s+\([A-Za-z][A-Za-z -]*\)$")
_MODULUS = re.compile(r"\s*(?:\\p?mod\s*(?:\{\s*\w+\s*\}|\w+)|\\bmod\s*\w+|\(\s*\\?mod\s*\w+\s*\)|\bmod\s+\w+)$")
_EQUALS = re.compile(r"(?<![<>!/])=|\\approx(?![A-Za-z])|\\equiv(?![A-Za-z])")
_SEVERAL = re.compile(r"[,;<>]|\\(?:lor|land|cup)\b|\b(?:or|and)\b")
_WORKED_OUT = re.compile(r"(?:[^A-Za-z\\]|\\(?:frac|cdot|times|div|sqrt)(?![A-Za-z]))*")
_LETTERS = r"\\?[A-Za-z]+(?:_\{?\w+\}?)?'?"
# What a number is said to be: x, x_1, AB, f(2), \angle ABC, |AB|, [ABC], m+n; but 2x is a product.
_NAME = re.compile(
    rf"{_LETTERS}|{_LETTERS}(?:\^\s*\{{?-1\}}?)?\s*\([^()=]{{1,20}}\)|\\(?:measured)?angle\s*[A-Za-z ]+"
    rf"|\\(?:overline|overrightarrow|vec|hat|triangle)\s*\{{?\s*[A-Za-z ]+\}}?"
    rf"|m\s*\\angle\s*[A-Za-z ]+|[\[|][A-Z]{{2,6}}[\]|]|{_LETTERS}(?:\s*\+\s*{_LETTERS})+"
)
# Small letters side by side are a product (`xy = 10` does not say what x is), short words that name a number are not.
_PRODUCT = re.compile(r"(?!(?:sum|ans|age|day|num|gcd|lcm|max|min|mod|len|avg|det|dim|arg)$)[a-z]{2,3}")
_OPERATOR = re.compile(
    r"\\(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|frac|pm|mp|sum|int|prod|lim|max|min|gcd|cdot|times)(?![A-Za-z])"
)

_SYMBOLS = re.compile(r"(?!(?i:no|ok)$)(?:[a-z]|[A-Za-z]{2})")  # ab is no AB; a capital alone may be a choice's letter
WORDS = re.compile(r"[A-Za-z][A-Za-z ,.'-]*")


class Quantity(NamedTuple):
    """A number, the unit that it is said to have, and what it is said to be (`x`, of `x = 5 cm`); "" where unsaid."""

    value: Fraction
    unit: str = ""
    symbol: str = ""

    def may_be(self, other: Quantity) -> bool:
        """Whether units and symbols do not contradict each other; what only one side names is taken as said."""
        if "+" in other.symbol and not self.symbol:  # m + n = 5 says no number where it is the known answer
            return False
        return units.agree(self.unit, other.unit) and (
            not self.symbol or not other.symbol or self.symbol == other.symbol
        )


def bare(text: str) -> str:
    """The plain text without blanks, and words in small letters."""
    text = plain(text)
    words = WORDS.fullmatch(text) and not _SYMBOLS.fullmatch(text)
    return text.replace(" ", "").casefold() if words else text.replace(" ", "")


def is_words(text: str) -> bool:
    """Whether a text is words and no product of letters: `east` and `\\text{ab}` are, `ab`, `xyz` and `C` are not."""
    return WORDS.fullmatch(plain(text)) is not None and (len(bare(text)) > 3 or bool(_WRAPPED.search(text)))


def parted(text: str) -> tuple[str, str]:
    """The plain text before a unit, and the unit in its usual spelling; "" where there is none."""
    if len(text) > LONGEST:
        return plain(text), ""
    currency, rest = units.money(text)
    if currency:
        return units.split(plain(rest), shortest=3)[0], currency
    return units.split(plain(text), shortest=3 if _WRAPPED.search(text) else 4)  # xyz may be a product


def quantity(text: str) -> Quantity | None:
    """The number that a short text states exactly, with its unit; None where it states none.

    Understands signs, decimals (repeating ones too), thousands separators, powers, a/b, TeX fractions, mixed numbers,
    number words, money, and equations that say what the number is; `x^2 = 9` and `x + 1 = 5` say no number.
    """
    if len(text) > LONGEST:
        return None
    readings = ((plain(text), ""), parted(text))
    for body, unit in dict.fromkeys(reversed(readings) if units.money(text)[0] else readings):
        symbol, last = _sides(_ASIDE.sub("", _MODULUS.sub("", body)))
        if last is None:
            continue
        if (value := _value(_ABOUT.sub("", last))) is not None:
            return Quantity(value, unit, symbol)
    return None


def number(text: str) -> Fraction | None:
    """The number of `quantity`, without its unit."""
    found = quantity(text)
    return None if found is None else found.value


def is_name(text: str) -> bool:
    """Whether the left side of an equation only names what its right side is."""
    return _NAME.fullmatch(text) is not None and not _OPERATOR.search(text) and not _PRODUCT.fullmatch(text)


def named_value(text: str) -> tuple[str, str]:
    """The name and what it is said to be, of a plain text that says one (`f(x) = 2x`); "" and the text otherwise."""
    left, equals, right = text.partition("=")
    if equals and "=" not in right and left[-1:] not in "<>!" and right.strip() and is_name(left.strip()):
        return left.strip().replace(" ", ""), right.strip()
    return "", text


def _sides(body: str) -> tuple[str, str | None]:
    """Of an equation, or of ≈, the name on its left and its last side; of any other text "" and the text.

    None in place of the last side where the equation says more than what a number is called.
    """
    *before, last = map(str.strip, _EQUALS.split(body))
    if not before or not any(before):  # no equation, or a text that begins with its sign
        return "", last
    first, *between = before
    if any(map(_SEVERAL.search, before)) or not all(map(_WORKED_OUT.fullmatch, between)):
        return "", None
    if not _agree([*(before if not is_name(first) else between), last]):
        return "", None
    if is_name(first):
        return first.replace(" ", ""), last
    if not between and is_name(last) and _WORKED_OUT.fullmatch(first):
        return last.replace(" ", ""), first
    return "", last if _WORKED_OUT.fullmatch(first) else None


def _agree(sides: list[str]) -> bool:
    """Whether the sides of an equation that are plain numbers are equal, or nearly: `1/3 = 0.33` but not `5 = 6`."""
    values = [value for side in sides if (value := _value(side)) is not None]
    return all(abs(value - values[-1]) <= _ROUNDED * abs(values[-1]) for value in values)


def _value(body: str) -> Fraction | None:
    body = _ORDINAL.sub("", _SIGN_IN_WORDS.sub("-", _SIGN_APART.sub(r"\1", body.strip())))
    sign = 1
    if bracketed := _BRACKETED.fullmatch(body):
        sign, body = -1 if bracketed[1] == "-" else 1, bracketed[2].strip()
    try:
        return next((sign * value for form in _FORMS if (value := form(body)) is not None), None)
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
        top, bottom = _term(match[2] or match[3]), _term(match[4] or match[5])
        sign = -1 if match[1] == "-" else 1
    else:
        left, slash, right = body.partition("/")
        top, bottom, sign = (_term(left), _term(right), 1) if slash else (None, None, 1)
    return None if top is None or bottom is None else sign * top / bottom


def _term(body: str) -> Fraction | None:
    """What may stand above or below a fraction's line."""
    body = body.strip()
    if body.startswith("(") and body.endswith(")"):
        body = body[1:-1]
    return next((value for form in (_decimal, _power, _factorial) if (value := form(body)) is not None), None)


def _factorial(body: str) -> Fraction | None:
    match = _FACTORIAL.fullmatch(body)
    return Fraction(factorial(int(match[1]))) if match else None


def _power(body: str) -> Fraction | None:
    if not (match := _POWER.fullmatch(body)):
        return None
    factor = Fraction(f"{match[2]}1") if match[1] is None else _decimal(match[1])
    exponent = int(match[4] or match[5])
    if factor is None or len(match[3]) * abs(exponent) > _LARGEST_POWER:
        return None
    return factor * Fraction(match[3]) ** exponent


def _repeating(body: str) -> Fraction | None:
    if not (match := _REPEATING.fullmatch(body)):
        return None
    sign, whole, fixed, period = match[1], match[2], match[3], match[4] or match[5]
    ninths = int(f"{whole}{fixed}{period}") - int(f"0{whole}{fixed}")
    return Fraction(f"{sign}1") * Fraction(ninths, (10 ** len(period) - 1) * 10 ** len(fixed))


def _scaled(body: str) -> Fraction | None:
    """`2.5 million`."""
    if not (match := _SCALED.fullmatch(body)):
        return None
    factor = _decimal(match[1])
    return None if factor is None else factor * _SCALES[match[2]]


def _worded(body: str) -> Fraction | None:
    """`twenty-one`."""
    return spoken_value(body)


def _decimal(body: str) -> Fraction | None:
    body = body.strip()
    if _THOUSANDS.fullmatch(body):
        body = re.sub("[, '_]", "", body)
    match = _DECIMAL.fullmatch(body)
    if not match or abs(int(match[2] or 0)) > _LARGEST_POWER // 2:
        return None
    return Fraction(match[0])


_FORMS = (_mixed, _fraction, _power, _factorial, _repeating, _decimal, _scaled, _worded)
