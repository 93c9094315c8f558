"""Numbers in English words."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = {
    **{"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16},
    **{"seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50},
    **{"sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90},
}
_GROUPS = {"dozen": 12, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    **{"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9},
    **{"tenth": 10, "twelfth": 12, "twentieth": 20, "hundredth": 100, "thousandth": 1000},
}
# In the singular after "one" and "a" only: "twenty-third" is a place.
_FRACTION = re.compile(
    rf"(?:(?P<whole>.+?)\s+and\s+)?(?:(?:one|an?)[\s-]+(?P<one>{'|'.join(_PARTS)})"
    rf"|(?P<top>.+?)[\s-]+(?P<part>{'|'.join(_PARTS)}|halve)s)"
)
_LONGEST = 12  # words


def spoken_value(text: str) -> Fraction | None:
    """The number that words say: an integer, a fraction ("two thirds", "seven and a half"), "minus" either."""
    text = text.strip().casefold()
    if found := re.match(r"(?:minus|negative)\s+", text):
        value = spoken_value(text[found.end() :])
        return None if value is None or value < 0 else -value
    if match := _FRACTION.fullmatch(text):
        top, whole = 1 if match["one"] else spoken_number(match["top"]), _whole(match["whole"])
        part = _PARTS.get(match["one"] or match["part"], 2)
        return None if top is None or whole is None else whole + Fraction(top, part)
    integer = spoken_number(text)
    if text == "half":
        return Fraction(1, 2)
    return None if integer is None else Fraction(integer)


def _whole(text: str | None) -> int | None:
    if text is None:
        return 0
    return int(text) if re.fullmatch(r"\d{1,9}", text) else spoken_number(text)


def spoken_number(text: str) -> int | None:
    """The integer that words say: "twenty-one", "three hundred and five"; None where they say none, or not properly."""
    text = text.strip().casefold()
    words = [word for word in re.split(r"[\s-]+", text) if word]
    if not 0 < len(words) <= _LONGEST or "and" in (words[0], words[-1]) or text.startswith("-"):
        return None
    if words[0] == "a" and len(words) > 1:
        words[0] = "one"
    total = group = 0
    room = 1000  # what the next word of the group has to be below
    for word in words:
        if word == "and":
            continue
        if word in _UNITS and _UNITS[word] < room:
            group += _UNITS[word]
            room = 10 if _UNITS[word] >= 20 else 0
        elif word == "hundred" and 0 < group < 10 and room < 1000:
            group, room = group * 100, 100
        elif word in _GROUPS and group:
            total, group, room = total + group * _GROUPS[word], 0, 1000
        else:
            return None
    return total + group
