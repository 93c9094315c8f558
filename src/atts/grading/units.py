"""Units behind numbers, and words for what is counted."""

from __future__ import annotations

import re

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
    "dollar": "dollars",
    "cent": "cents",
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
# Whatever else stands behind a number may be what is counted ("18 eggs"), but for words that change the number.
_CHANGING = re.compile(
    r"(?:hundred|thousand|million|billion|trillion|quadrillion|dozen|score|half|third|quarter)s?|halves"
    r"|(?:four|fif|six|seven|eigh|nin|ten|hundred|thousand)ths?"
    r"|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|zero|none|undefined|infinit[ye]"
    r"|and|nor|not|but|than|more|less|fewer|greater|least|most|between|from|plus|minus|times|over|below|negative"
    r"|divided|multiplied|mod|modulo|base|choose|remainder|squared|cubed|factorial|root|power"
    r"|alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|rho|sigma|tau|phi|chi|psi|omega"
    r"|sin|cos|tan|cot|csc|log|exp|sqrt|lim|max|gcd|lcm|det"
)
_LINKS = ("of", "a")
_PLURALS = (("ies", "y"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("ss", "ss"), ("s", ""))
_SQUARE = {"square": "^2", "sq": "^2", "cubic": "^3", "cu": "^3"}

_DEGREES = r"\^\s*\{?\s*(?:\\circ|∘)\s*\}?|°"
_RAISED = r"\s*\^\s*\{?\s*([23])\s*\}?"
# A unit of one letter has a blank before it: 3m is a product.
_CLOSE = "|".join(unit for unit in _UNITS if len(unit) > 1 and unit.isalpha())
_BEHIND = re.compile(
    rf"(?:\s*(?:%|{_DEGREES})|(?:(?<=[\d}}])(?:{_CLOSE}|[cmk]?m/[sh]|mi/h)|\s+[A-Za-z]+(?:[ /-][A-Za-z]+){{0,4}})"
    rf"\.?(?:{_RAISED})?)$"
)


def split(body: str, *, shortest: int) -> tuple[str, str]:
    """What stands before a unit at the end of a text, and the unit in its usual spelling; the text and "" without one.

    A word that is no unit counts as one if it has `shortest` letters or more and a number stands before it.
    """
    match = _BEHIND.search(body)
    if match is None or not any(map(str.isdigit, body[: match.start()])):
        return body, ""
    unit = _usual(match[0].strip().rstrip("."), shortest)
    return (body[: match.start()].strip(), unit) if unit else (body, "")


def agree(ours: str, theirs: str) -> bool:
    """Whether two units may be the same: one is missing, or one has more words before it ("duck egg" and "egg")."""
    return not ours or not theirs or f" {ours}".endswith(f" {theirs}") or f" {theirs}".endswith(f" {ours}")


def _usual(written: str, shortest: int) -> str:
    """The usual spelling; "" if some word is neither a unit nor what could be counted."""
    if written == "%" or re.fullmatch(_DEGREES, written):
        return "%" if written == "%" else "degree"
    raised = re.search(rf"{_RAISED}$", written)
    first, *rest = re.split(r"/|(?:^|\s+)per\s+", written[: raised.start()].rstrip(".") if raised else written)
    words = first.split()
    power = f"^{raised[1]}" if raised else ""
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
