"""Units behind numbers, and words for what is counted."""

from __future__ import annotations

import re

from atts.grading.notation import undecorated
from atts.grading.number_words import spoken_value

# Units by their usual spelling, and how else they are written.
_SPELLINGS = {
    "mm": "millimeter millimeters millimetre millimetres",
    "cm": "centimeter centimeters centimetre centimetres",
    "m": "meter meters metre metres",
    "km": "kilometer kilometers kilometre kilometres",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yds yard yards",
    "mi": "mile miles",
    "mg": "milligram milligrams",
    "g": "gram grams",
    "kg": "kilogram kilograms",
    "lb": "lbs pound pounds",
    "oz": "ounce ounces",
    "ml": "mL milliliter milliliters millilitre millilitres",
    "l": "L liter liters litre litres",
    "ms": "millisecond milliseconds",
    "s": "sec secs second seconds",
    "min": "mins minute minutes",
    "h": "hr hrs hour hours",
    "day": "days",
    "week": "weeks",
    "month": "months",
    "year": "years",
    "degree": "deg degrees",
    "mi/h": "mph",
    "km/h": "kph kmh",
    "%": "percent",
    "dollar": "dollars USD bucks",
    "euro": "euros EUR",
    "pound sterling": "GBP",
    "rupee": "rupees INR",
    "yen": "JPY",
    "cent": "cents ¢",
    "coin": "coins",
    "unit": "units",
    "point": "points",
    "way": "ways",
    "person": "persons people",
    "Hz": "hertz",
    "kHz": "kilohertz",
    "MHz": "megahertz",
    "N": "newton newtons",
    "J": "joule joules",
    "W": "watt watts",
    "K": "kelvin kelvins",
}
_UNITS = {written: usual for usual, others in _SPELLINGS.items() for written in (usual, *others.split())}
_MEASURES = frozenset(_SPELLINGS) - {"degree", "dollar", "coin", "unit", "point", "way", "person"}
# Whatever else stands behind a number may be what is counted ("18 eggs"), but for words that change the number.
_CHANGING = re.compile(
    r"(?:hundred|thousand|[a-z]*illion|lakh|crore|dozen|score|half|third|quarter)s?|halves"
    r"|[a-z]*(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|teen|tie|hundred|thousand|illion)ths?"
    r"|double|triple|twice|thrice|without|except|excluding|or|if|unless|remaining"
    r"|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|zero|none|undefined|infinit[ye]"
    r"|and|nor|not|but|than|more|less|fewer|greater|least|most|between|from|plus|minus|times|over|below|negative"
    r"|divided|multiplied|mod|modulo|base|choose|remainder|squared|cubed|factorial|root|power"
    r"|alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|rho|sigma|tau|phi|chi|psi|omega"
    r"|sin|cos|tan|cot|csc|log|exp|sqrt|lim|max|gcd|lcm|det"
)
_LINKS = ("of", "a")
_PLURALS = (("ies", "y"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("ss", "ss"), ("s", ""))
_SIGNS = {"%": "%", "¢": "cent"}
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound sterling", "¥": "yen", "₹": "rupee"}
_CURRENCY = re.compile(
    r"^(?:(?:US|AU|CA|A|C)?\s?(?:\\?\$|(?P<sign>[€£¥₹]))|(?P<word>USD|EUR|GBP|Rs\.?|INR)\s)\s*(?=[\d.])|(?P<after>[€£¥₹])\s*$"
)
_SQUARE = {"square": "^2", "sq": "^2", "cubic": "^3", "cu": "^3"}

_DEGREES = r"\^\s*\{?\s*\\circ\s*\}?(?:\s*[CF]\b)?"
_RAISED = r"\s*\^\s*\{?\s*([23])\s*\}?"
# A unit of one letter has a blank before it: 3m is a product.
_CLOSE = "|".join(unit for unit in _UNITS if len(unit) > 1 and unit.isalpha())
_BEHIND = re.compile(
    rf"(?:\s*(?:%|¢|{_DEGREES})|(?:(?<=[\d}}])(?:{_CLOSE}|[cmk]?m/[sh]|mi/h)|\s+[A-Za-z]+(?:[ /-][A-Za-z]+){{0,4}})"
    rf"\.?(?:{_RAISED})?)$"
)


def money(text: str) -> tuple[str, str]:
    """The currency whose sign stands at an amount, and the text without the sign; "" where there is none.

    A pair of dollars around a text is TeX's, not money's.
    """
    text = undecorated(text)
    if text.startswith("$") and text.count("$") - text.count("\\$") != 1:
        return "", text
    match = _CURRENCY.search(text.replace("\\pounds", "£").replace("\\text{€}", "€").replace("\\euro", "€"))
    if match is None:
        return "", text
    sign = match["sign"] or match["after"]
    unit = _CURRENCIES[sign] if sign else _usual(match["word"].rstrip("."), 3) if match["word"] else "dollar"
    return unit or "rupee", (match.string[: match.start()] + match.string[match.end() :]).strip()


def split(body: str, *, shortest: int) -> tuple[str, str]:
    """What stands before a unit at the end of a text, and the unit in its usual spelling; the text and "" without one.

    A word that is no unit counts as one if it has `shortest` letters or more and a number stands before it.
    """
    match = _BEHIND.search(body)
    start = match.start() if match else len(body)
    while start < len(body):
        before, behind = body[:start].strip(), body[start:].strip().rstrip(".")
        numbered = any(map(str.isdigit, before)) or spoken_value(before) is not None
        if numbered and (unit := _usual(behind, shortest)):
            return before, unit
        start = body.find(" ", start + 1)  # the first word may belong to the number: "2 million people"
        if start < 0:
            break
    return body, ""


def parts(unit: str) -> int:
    """How many of a unit make one of what it is a part of: a hundred percent or cents; 1 for any other unit."""
    return 100 if unit in ("%", "cent") else 1


def is_measure(unit: str) -> bool:
    """Whether a number in this unit is another answer than the number in another one; what is only counted is not."""
    return re.split(r"[/^ ]", unit)[0] in _MEASURES or unit.endswith(" degree")  # those of Celsius


def agree(ours: str, theirs: str) -> bool:
    """Whether two units may be the same: one is missing, or one has more words before it ("duck egg" and "egg").

    Cents and dollars may, once one is counted in the other.
    """
    return (
        {ours, theirs} == {"cent", "dollar"}
        or not ours
        or not theirs
        or f" {ours}".endswith(f" {theirs}")
        or f" {theirs}".endswith(f" {ours}")
    )


def _usual(written: str, shortest: int) -> str:
    """The usual spelling; "" if some word is neither a unit nor what could be counted."""
    if written in _SIGNS or re.fullmatch(_DEGREES, written):
        return _SIGNS.get(written) or {"C": "celsius degree", "F": "fahrenheit degree"}.get(written[-1], "degree")
    raised = re.search(rf"{_RAISED}$", written)
    first, *rest = re.split(r"/|(?:^|\s+)per\s+", written[: raised.start()].rstrip(".") if raised else written)
    words = first.split()
    power = f"^{raised[1]}" if raised else ""
    if len(words) == 2 and words[0].startswith("deg") and words[1].lower() in ("celsius", "fahrenheit"):
        return f"{words[1].lower()} degree"
    if words and words[0] in _SQUARE:
        power = _SQUARE[words.pop(0)]
    parts = [[_word(word, shortest) for word in part] for part in (words, *map(str.split, rest))]
    if not all(map(all, parts)) or any(part[-1] in _LINKS for part in parts if part):
        return ""
    return "/".join(map(" ".join, parts)) + power


def _word(word: str, shortest: int) -> str:
    """A unit, or another word in the singular; "" for a word that changes the number, and for letters."""
    small = word.lower()
    if word in _UNITS or (len(word) > 2 and small in _UNITS):
        return _UNITS.get(word) or _UNITS[small]
    if small in _LINKS:
        return small
    if len(word) < shortest or _CHANGING.fullmatch(small):
        return ""
    plural, single = next(((ending, single) for ending, single in _PLURALS if small.endswith(ending)), ("", ""))
    return small.removesuffix(plural) + single
