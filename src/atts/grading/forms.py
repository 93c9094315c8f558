"""Answers with a form of their own: numbers in a base, times of day, ratios, letters, lists, sequences with dots.

Each reader gives a value that is equal for equal answers, or None where the text has another form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from math import gcd
from typing import NamedTuple

from atts.grading.number_words import spoken_number
from atts.grading.quantities import number

_BASED = re.compile(
    r"(-?\s*\(?\s*(?:[0-9][0-9A-Fa-f ,]*(?:\.[0-9A-Fa-f]+)?|[0-9A-F]{2,}|[0-9a-f]{2,}))\s*\)?\s*"
    r"(?:_\s*\{?\s*(?:\\?text|base)?[\s-]*(\d{1,2}|[a-z]{3,8})\s*\}?"
    r"|\(?\s*(?:in\s+)?base[\s-]*(\d{1,2}|[a-z]{3,8})\s*\)?)"
)
_DIGITS = re.compile(r"-?\d[\d,.]*")
_SUBSCRIPT = re.compile(r"(?<=[\dA-F)])\s*_\s*\{?\s*(\d+)")
_CLOCK = re.compile(r"(\d{1,2})\s*:\s*([0-5]\d)(?:\s*:\s*([0-5]\d))?\s*((?:[ap]\.?\s*m\.?)?)", re.IGNORECASE)
_HOUR = re.compile(r"(\d{1,2})()()\s*([ap]\.?\s*m\.?)", re.IGNORECASE)
_RATIO = re.compile(r"\d+(?:\.\d+)?(?:\s*(?::|\bto\b)\s*\d+(?:\.\d+)?)+")
_LETTERS = re.compile(r"[A-Z](?:\s*(?:,|;|&|\band\b|,\s*and\b)\s*[A-Z])+")
_IN_BRACKETS = re.compile(r"\(([A-Z])\)")
DOTS = "\\ldots"

_PAIRS = {
    "(": ")",
    "[": "]",
    "{": "}",
    "\\{": "\\}",
    "\\langle": "\\rangle",
    "\\begin": "\\end",
    "\\lfloor": "\\rfloor",
}
_CLOSERS = frozenset(_PAIRS.values())
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[()\[\]{},;]|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])", re.DOTALL)
_VECTOR = re.compile(
    r"\(?\s*\\begin\{(?:[pb]?matrix|array)\}(?:\{c+\})?(.*)\\end\{(?:[pb]?matrix|array)\}\s*\)?", re.DOTALL
)
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")


def based(text: str) -> tuple[str, int | None] | None:
    """The digits and the base of a number that names its base: `413_5`, `(413)_{5}`, `413 base 5`."""
    if not (match := _BASED.fullmatch(text)):
        return None
    written = match[2] or match[3]
    base = int(written) if written.isdigit() else spoken_number(written)
    if base is None or not 2 <= base <= 36:
        return None
    return re.sub(r"[ ,(]", "", match[1]).upper(), base


def same_base(known: str, given: str) -> bool | None:
    """Whether two numbers in a base are the same; a base that one side leaves out counts as the same."""
    ours, theirs = based(known), based(given)
    if ours is None and theirs is None:  # in an expression, other bases are other numbers
        bases_named = [set(_SUBSCRIPT.findall(text)) for text in (known, given)]
        return False if all(bases_named) and bases_named[0] != bases_named[1] else None
    digits = [
        found[0] if found else text.replace(",", "") if _DIGITS.fullmatch(text) else None
        for found, text in ((ours, known), (theirs, given))
    ]
    bases = {found[1] for found in (ours, theirs) if found}
    return None not in digits and digits[0] == digits[1] and len(bases) == 1


class Clock(NamedTuple):
    """A time as it is written, and `a`, `p` or "" where it does not say which half of the day."""

    hour: int
    minute: int
    second: int
    half: str


def clock(text: str) -> Clock | None:
    """A time of day: `3:30 p.m.`, `15:30`, `10 am`."""
    match = _CLOCK.fullmatch(text) or _HOUR.fullmatch(text)
    if match is None or int(match[1]) > 24:
        return None
    return Clock(int(match[1]), int(match[2] or 0), int(match[3] or 0), match[4][:1].lower())


def same_time(known: str, given: str) -> bool | None:
    """Whether two times are the same; a.m. and p.m. may be missing on one side. 4:2 and 30:1 are ratios, not times."""
    ours, theirs = clock(known), clock(given)
    if ours is None or (theirs is None and not ours.half):
        return None
    if theirs is None:
        return False
    if ours.half == "" == theirs.half and gcd(ours.hour, ours.minute) == 1 and ours.hour > 0 < ours.minute:
        return None  # in lowest terms: it may be a ratio
    if ours.half and theirs.half:
        return ours == theirs
    hours = {0 if time.hour == 12 and time.half == "a" else time.hour for time in (ours, theirs)}
    half = ours.half or theirs.half
    same_hour = len(hours) == 1 or (half == "p" and max(hours) - min(hours) == 12 and max(hours) > 12)
    return same_hour and ours[1:3] == theirs[1:3]


def ratio(text: str) -> tuple[Fraction, ...] | None:
    """The terms of a ratio over the first that is not zero."""
    if not _RATIO.fullmatch(text):
        return None
    terms = [Fraction(term) for term in re.split(r"\s*(?::|\bto\b)\s*", text)]
    unit = next((term for term in terms if term), None)
    return None if unit is None else tuple(term / unit for term in terms)


def letters(text: str) -> frozenset[str] | None:
    """Several letters in any order: `A, C, D`, `C and A`."""
    text = text[2:-2] if text.startswith("\\{") and text.endswith("\\}") else text
    text = _IN_BRACKETS.sub(r"\1", text).strip()
    return frozenset(re.findall(r"(?<![A-Za-z])[A-Z](?![A-Za-z])", text)) if _LETTERS.fullmatch(text) else None


class Collection(NamedTuple):
    """Elements between brackets, or without any (`brackets` is ""); in a tuple the order counts."""

    elements: tuple[str, ...]
    brackets: str

    @property
    def ordered(self) -> bool:
        """Whether the order of the elements counts."""
        return self.brackets not in ("", "\\{\\}")


def brackets_agree(ours: Collection, theirs: Collection) -> bool:
    """Whether brackets allow equality: around two elements they say what ends an interval has; around more, nothing.

    A set is no tuple, and a sum is neither.
    """
    brackets = {ours.brackets, theirs.brackets}
    if len(brackets) > 1 and ("+" in brackets or ("\\{\\}" in brackets and "" not in brackets)):
        return False
    return len(brackets - {""}) < 2 or len(ours.elements) > 2


def same_direction(known: str, given: str) -> bool | None:
    """False for a row beside a column; None otherwise."""
    vectors = _VECTOR.fullmatch(known), _VECTOR.fullmatch(given)
    return False if all(vectors) and ("&" in known) != ("&" in given) else None


def collection(text: str) -> Collection | None:
    r"""The elements of `1, 2`, `1 and 2`, `\{1,2\}`, `(1,2)` or `\langle 1,2\rangle`; None where there is but one.

    `a \pm b` stands for two elements, unless it is an element of a tuple.
    """
    for left, right in (
        ("\\{", "\\}"),
        ("\\langle", "\\rangle"),
        ("(", ")"),
        ("[", "]"),
        ("(", "]"),
        ("[", ")"),
        ("<", ">"),
    ):
        if text.startswith(left) and text.endswith(right) and len(text) > len(left) + len(right):
            inside = text[len(left) : len(text) - len(right)]
            parts = tuple(_parts(inside)) if _is_whole(inside) else ()
            if len(parts) > 1 or (parts and left == "\\{"):
                brackets = "()" if left in ("<", "\\langle") else left + right
                return Collection(_spread(parts) if left == "\\{" else parts, brackets)
    if (vector := _VECTOR.fullmatch(text)) and len(entries := _entries(vector[1])) > 1:
        return Collection(entries, "()")
    if DOTS in text and len(terms := tuple(_parts(text.replace("+", ",")))) > 1 and "," not in text:
        return Collection(terms, "+")  # a sum with dots
    parts = _spread(tuple(_parts(text)))
    return Collection(parts, "") if len(parts) > 1 else None


def _entries(body: str) -> tuple[str, ...]:
    """The entries of a matrix that has one row or one column; none where it has more of both."""
    split = [line.strip() for line in re.split(r"\\\\" if "&" not in body else "&", body)]
    return () if "&" in body and "\\\\" in body.rstrip("\\ ") else tuple(entry for entry in split if entry)


def _spread(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        _PLUS_MINUS.sub(sign, part, count=1).strip().removeprefix("+").strip() if once else part
        for part in parts
        for once in (len(_PLUS_MINUS.findall(part)) == 1,)
        for sign in (("+", "-") if once else ("",))
    )


def _is_whole(inside: str) -> bool:
    """Whether no bracket inside is closed before it is opened, so that the outer ones belong together."""
    depth = 0
    for token in _TOKEN.finditer(inside):
        depth += (token[0] in _PAIRS) - (token[0] in _CLOSERS)
        if depth < 0:
            return False
    return depth == 0


def _parts(text: str) -> Iterator[str]:
    """What stands between commas, semicolons, "and" and "or" outside all brackets."""
    depth = start = 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] in _PAIRS) - (token[0] in _CLOSERS)
        if depth == 0 and token[0] in (",", ";", "and", "or"):
            if part := text[start : token.start()].strip():
                yield part
            start = token.end()
    if part := text[start:].strip():
        yield part


# --- inequalities as intervals ----------------------------------------------------------------------------------------

_RELATION = re.compile(r"\\le(?![A-Za-z])|\\ge(?![A-Za-z])|\\ne(?![A-Za-z])|<|>")
_VARIABLE = re.compile(r"\\?[A-Za-z]+(?:_\{?\w+\}?)?")
_MEMBER = re.compile(r"^\\?[A-Za-z]+\s*\\in(?![A-Za-z])\s*")
_SIZE = re.compile(r"\|\s*(\\?[A-Za-z]+)\s*\|")
_BUILT = re.compile(
    r"\\\{\s*\\?[A-Za-z]+\s*(?:\\in\s*\\mathbb\s*\{?\s*R\s*\}?)?\s*[|:]\s*([^|:{}]+(?:\{[^|:{}]*\}[^|:{}]*)*)\\\}"
)
_EXCLUDED = re.compile(r"(?:\\?[A-Za-z]+\s*\\ne(?![A-Za-z]))?(.+)", re.DOTALL)
_BOTH = re.compile(r"\s*(?:\band\b|\\land(?![A-Za-z])|(,))\s*")
_EITHER = re.compile(r"\s*(?:\bor\b|\\lor(?![A-Za-z])|\\cup(?![A-Za-z])|,)\s*")
_REALS = re.compile(r"\\mathbb\s*\{?\s*R\s*\}?|\(\s*-\s*\\infty\s*,\s*\+?\s*\\infty\s*\)|all real numbers")
_POSITIVE = re.compile(r"\\mathbb\s*\{?\s*R\s*\}?\s*\^\s*\{?\+\}?|all positive real numbers")
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "\\ne": "\\ne"}


def as_interval(text: str) -> str:
    r"""An inequality in one variable as its solutions: `2 \le x < 5` as `[2,5)`; any other text as it is."""
    text = _MEMBER.sub("", _BUILT.fullmatch(text)[1].strip() if _BUILT.fullmatch(text) else text)  # type: ignore[index]
    if _REALS.fullmatch(text):
        return "(-\\infty,\\infty)"
    if _POSITIVE.fullmatch(text):
        return "(0,\\infty)"
    if not _RELATION.search(text) or (text.startswith("<") and text.endswith(">")):
        return text
    if "\\ne" in text and _BOTH.search(text):
        return _without_points(text) or text
    if len(pieces := _BOTH.split(text)) == 3 and (overlap := _overlap(pieces[0], pieces[2], maybe=bool(pieces[1]))):
        return overlap
    parts = [_interval(part) for part in _EITHER.split(text) if part.strip()]
    return "\\cup ".join(part for part in parts if part) if all(parts) else text


def _without_points(text: str) -> str | None:
    r"""`x \ne 1, 2` and `x \ne 1, x \ne 2` as all real numbers but these."""
    parts = [part for part in _BOTH.split(text) if part and part != ","]
    points = [
        found[1].strip() for part in parts if (found := _EXCLUDED.fullmatch(part)) and not _RELATION.search(found[1])
    ]
    return f"\\mathbb{{R}}\\setminus\\{{{','.join(points)}\\}}" if len(points) == len(parts) else None


def _overlap(first: str, second: str, *, maybe: bool) -> str | None:
    r"""What `x > 1` and `x < 5` have in common, as `(1,5)`; with a comma between them (`maybe`), only if they do."""
    found = {side[:2] == "(-": side for side in (_interval(first), _interval(second)) if side}
    if len(found) != 2 or not found[False].endswith("\\infty)"):
        return None
    low, high = found[False].removesuffix(",\\infty)"), found[True].removeprefix("(-\\infty,")
    ends = number(low[1:]), number(high[:-1])
    if maybe and (None in ends or ends[0] > ends[1]):  # type: ignore[operator]
        return None
    return f"{low},{high}"


def _interval(text: str) -> str | None:
    relations = [found[0] for found in _RELATION.finditer(text)]
    sides = [side.strip() for side in _RELATION.split(text)]
    if len(sides) == 2 and not sides[0]:  # "> 5": the variable is left out
        sides[0] = "x"
    if not all(sides) or any("=" in side for side in sides):
        return None
    if len(relations) == 2 and _is_variable(sides[1]):
        low, high = (sides[0], sides[2]) if relations[0] in ("<", "\\le") else (sides[2], sides[0])
        first, second = relations if relations[0] in ("<", "\\le") else (_FLIPPED[relations[1]], _FLIPPED[relations[0]])
        return (
            f"{_bracket(first, '[', '(')}{low},{high}{_bracket(second, ']', ')')}"
            if {first, second} <= {"<", "\\le"}
            else None
        )
    if len(relations) != 1:
        return None
    relation, (left, right) = relations[0], sides
    if (size := _SIZE.fullmatch(left)) and not _variables(right):  # |x| < 3; what has another sign is left as it is
        value = number(right)
        return _by_size(relation, right) if _is_variable(size[1]) and value is not None and value > 0 else None
    if not _is_variable(left):
        relation, left, right = _FLIPPED[relation], right, left
    if not _is_variable(left) or _variables(right):
        return None
    return {
        "<": f"(-\\infty,{right})",
        "\\le": f"(-\\infty,{right}]",
        ">": f"({right},\\infty)",
        "\\ge": f"[{right},\\infty)",
        "\\ne": f"(-\\infty,{right})\\cup ({right},\\infty)",
    }[relation]


def _by_size(relation: str, end: str) -> str | None:
    return {
        "<": f"(-{end},{end})",
        "\\le": f"[-{end},{end}]",
        ">": f"(-\\infty,-{end})\\cup ({end},\\infty)",
        "\\ge": f"(-\\infty,-{end}]\\cup [{end},\\infty)",
    }.get(relation)


def _is_variable(text: str) -> bool:
    return _VARIABLE.fullmatch(text) is not None and text.lstrip("\\") not in ("pi", "infty", "e")


def _variables(text: str) -> set[str]:
    return set(re.findall(r"(?<![A-Za-z\\])[a-df-hj-zA-Z](?![A-Za-z])", text))


def _bracket(relation: str, closed: str, open_: str) -> str:
    return closed if relation == "\\le" else open_
