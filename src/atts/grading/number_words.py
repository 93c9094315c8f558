"""Integers in English words."""

from __future__ import annotations

import re

_UNITS = {
    **{"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16},
    **{"seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50},
    **{"sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90},
}
_GROUPS = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_LONGEST = 12  # words


def spoken_number(text: str) -> int | None:
    """The integer that words say: "twenty-one", "three hundred and five"; None where they say none, or not properly."""
    words = [word for word in re.split(r"[\s-]+", text.strip().casefold()) if word]
    if not 0 < len(words) <= _LONGEST or words[0] == "and" or words[-1] == "and":
        return None
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
