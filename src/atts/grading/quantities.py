"""What a short answer states: its plain text, and the number with its unit where it is one.

Numbers are read exactly, as fractions. Every reading takes time linear in the length of the text, or refuses it.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from atts.grading import units

LONGEST = 2_000  # characters; nothing longer is a number or a letter
_LARGEST_POWER = 800  # digits of a base times its exponent

_COMMAND_BLANKS = re.compile(r"(?<!\\)\\(?:[,;:!> ]|quad\b|qquad\b|left\b|right\b|displaystyle\b)|~")
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
# Read before NFKC, which makes plain digits of all three: 10² would be 102, 1½ would be 11/2.
_VULGAR = re.compile("[²³¹⁰-⁹]+⁄[₀-₉]+|[¼-¾⅐-⅞↉]")
_RAISED = re.compile("[²³¹⁰-ⁿ]+")
_LOWERED = re.compile("[₀-ₜ]+")
_FRACTION = re.compile(r"([+-]?)\\[dtc]?frac\s*(?:\{([^{}]+)\}|(\d))\s*(?:\{([^{}]+)\}|(\d))")
_MIXED = re.compile(
    r"([+-]?\d+)\s*\\[dtc]?frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))"
    r"|([+-]?\d+)\s+(\d+)\s*/\s*(\d+)"
)
_POWER = re.compile(r"(?:(.+?)\s*(?:\\times|\\cdot|×|\*)\s*|([+-]?))(\d+)\s*\^\s*(?:\{\s*([+-]?\d+)\s*\}|([+-]?\d+))")
_REPEATING = re.compile(r"([+-]?)(\d*)\.(\d*)\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))")
_DECIMAL = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+))?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?:,|\{,\})\d{3})+(?:\.\d*)?")
_BRACKETED = re.compile(r"\(([^(),]*)\)")

_EQUALS = re.compile(r"(?<![<>!/])=|\\approx(?![A-Za-z])|≈")
_SEVERAL = re.compile(r"[,;<>]|\\(?:lor|land|cup)\b|\b(?:or|and)\b")
_WORKED_OUT = re.compile(r"(?:[^A-Za-z\\]|\\(?:[dtc]?frac|cdot|times|div|sqrt)(?![A-Za-z]))*")
_MULTIPLE = re.compile(r"[+-]?[\d.]+\s*\*?\s*\\?[A-Za-z].*")  # 2x = 6 says that x is 3
_SYMBOL = re.compile(r"\\?[A-Za-z]+(?:_\{?\w+\}?)?")

WORDS = re.compile(r"[A-Za-z][A-Za-z ,.'-]*")


class Quantity(NamedTuple):
    """A number, the unit that it is said to have, and what it is said to be (`x`, of `x = 5 cm`); "" where unsaid."""

    value: Fraction
    unit: str = ""
    symbol: str = ""

    def may_be(self, other: Quantity) -> bool:
        """Whether units and symbols do not contradict each other; what only one side names is taken as said."""
        return units.agree(self.unit, other.unit) and (
            not self.symbol or not other.symbol or self.symbol == other.symbol
        )


def plain(text: str) -> str:
    """Without what does not change the meaning: Unicode variants, dollars, TeX blanks and wrappers, a final stop."""
    text = unicodedata.normalize("NFKC", _spelled(text)).replace("−", "-").replace("⁄", "/").strip()
    text = _COMMAND_BLANKS.sub(" ", text.replace("\\$", "").replace("$", ""))
    text = _WRAPPED.sub(r" \1 ", text).replace("\\%", "%")
    return " ".join(text.split()).rstrip(".").strip()


def bare(text: str) -> str:
    """The plain text without blanks, with one spelling of fractions, and words in small letters."""
    text = plain(text)
    for spelling in ("\\dfrac", "\\tfrac", "\\cfrac"):
        text = text.replace(spelling, "\\frac")
    return text.replace(" ", "").casefold() if WORDS.fullmatch(text) else text.replace(" ", "")


def is_words(text: str) -> bool:
    """Whether a text is words and no product of letters: `east` and `\\text{ab}` are, `ab`, `xyz` and `C` are not."""
    return WORDS.fullmatch(plain(text)) is not None and (len(bare(text)) > 3 or bool(_WRAPPED.search(text)))


def parted(text: str) -> tuple[str, str]:
    """The plain text before a unit, and the unit in its usual spelling; "" where there is none."""
    return units.split(plain(text), shortest=3 if _WRAPPED.search(text) else 4)  # xyz may be a product


def quantity(text: str) -> Quantity | None:
    """The number that a short text states exactly, with its unit; None where it states none.

    Understands signs, decimals (repeating ones too), thousands separators, powers, a/b, TeX fractions, mixed numbers,
    and equations that come to a number.
    """
    if len(text) > LONGEST:
        return None
    for body, unit in dict.fromkeys(((plain(text), ""), parted(text))):
        symbol, last = _sides(body)
        if (value := _value(last)) is not None:
            return Quantity(value, unit, symbol)
    return None


def number(text: str) -> Fraction | None:
    """The number of `quantity`, without its unit."""
    found = quantity(text)
    return None if found is None else found.value


def _spelled(text: str) -> str:
    """With TeX's spelling of raised and lowered characters and of fractions."""
    if text.isascii():
        return text
    text = _VULGAR.sub(_vulgar, text.replace("º", "°"))
    return _LOWERED.sub(r"_{\g<0>}", _RAISED.sub(r"^{\g<0>}", text))


def _vulgar(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match[0]).partition("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}"


def _sides(body: str) -> tuple[str, str]:
    """Of an equation, or of ≈, the symbol on its left and its last side; of any other text "" and the text.

    Several equations in one text come to no number.
    """
    *before, last = map(str.strip, _EQUALS.split(body))
    unclear = any(_MULTIPLE.fullmatch(side) or _SEVERAL.search(side) for side in before)
    if unclear or not all(map(_WORKED_OUT.fullmatch, before[1:])):
        return "", body
    return before[0] if before and _SYMBOL.fullmatch(before[0]) else "", last


def _value(body: str) -> Fraction | None:
    if bracketed := _BRACKETED.fullmatch(body):
        body = bracketed[1].strip()
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


def _decimal(body: str) -> Fraction | None:
    body = body.strip()
    if _THOUSANDS.fullmatch(body):
        body = body.replace("{,}", "").replace(",", "")
    match = _DECIMAL.fullmatch(body)
    if not match or abs(int(match[2] or 0)) > _LARGEST_POWER // 2:
        return None
    return Fraction(match[0])


_FORMS = (_mixed, _fraction, _power, _repeating, _decimal)
