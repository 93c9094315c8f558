"""Answers stated in words: "the answer is …", the letter of a choice, the last number."""

from __future__ import annotations

import re

_WINDOW = 4_000  # characters at the end of a text; an answer that was stated before them was not the last word

# --- in natural words

_SAYS = re.compile(
    r"(?i:\b(?:final\s+|correct\s+|right\s+)?(?:answer|result|solution)\b(?:\s+(?:to|of|for)\s+[^.:\n]{1,80}?)?[*_]{0,3}"
    r"(?:\s*(?::|=)|\s+(?:is|are|would be|should be|must be|will be|comes? (?:out )?to|equals?)\b(?:\s+(?:therefore"
    r"|thus|then|simply|indeed|equal to|given by|approximately|about))?:?)[*_]{0,3})\s*"
)
_ENDS = re.compile(
    r"\n|(?<![A-Za-z])[.!?](?=\s|$|[*_\"”])|[.!?](?=\s+[A-Z]|\s*$)|;|\s(?:because|since|as|which|where|so|when|if|but)\s"
    r"|,\s(?:because|since|as|which|so|and so|but|where)\b"
)
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_FILLER = re.compile(r"(?i:^(?:that|simply|just|indeed|therefore|thus|equal to|option|choice)\s+)")

# --- the last number

_NUMBER = re.compile(r"[-−–+]?(?:\$|€|£)?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?%?")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def stated(text: str) -> str | None:
    """What follows the last "the (final) answer is", "answer:" and its like, up to the end of the statement."""
    text = text[-_WINDOW:]
    found = None
    for match in _SAYS.finditer(text):
        rest = text[match.end() : match.end() + 300].lstrip()
        found = _statement(rest) or found
    return found


def _statement(rest: str) -> str | None:
    if formula := _FORMULA.match(rest.lstrip("*_ ")):
        return next(filter(None, formula.groups())).strip() or None
    end = _ENDS.search(rest)
    said = (rest[: end.start()] if end else rest).strip().strip('*_`"“” ').rstrip(".,:;!").strip()
    said = _FILLER.sub("", said).strip().strip("*_` ")
    if formula := _FORMULA.search(said):
        return next(filter(None, formula.groups())).strip() or None
    return said or None


def last_number(text: str) -> str | None:
    """The last number of the last sentence; None where that has none."""
    sentences = [sentence for sentence in _SENTENCE.split(text[-_WINDOW:].strip()) if sentence.strip()]
    numbers = _NUMBER.findall(sentences[-1]) if sentences else []
    return numbers[-1].rstrip(",").lstrip("+") if numbers else None


# --- a letter

_LEAD = (
    r"(?i:\b(?:final\s+|correct\s+|best\s+|right\s+)?(?:answer|option|choice)\b)[*_]{0,3}"
    r"(?i:\s{0,4}(?:is|must be|should be|would be|has to be|[:：=]|[-–—](?=\s)))?"
    r"(?i:\s{0,4}(?:definitely|clearly|therefore|thus|indeed|probably|most likely|the)\b)?"
    r"(?i:\s{0,4}(?:option|choice|letter|answer))?[\s:：]{0,6}"
)
_WRAPPED = r"(?:\\(?:text|textbf|mathbf|mathrm|boxed)\s?\{|[*_$(\[{`\"'“ ]){0,8}"
_CHOICE = re.compile(
    rf"{_LEAD}{_WRAPPED}(?P<letter>[A-Z])(?![\w'’])"
    rf"|(?i:\b(?:answer|option|choice)\b)[*_]{{0,3}}\s{{0,4}}(?:(?i:is)\s{{0,4}})?[:：][*_]{{0,3}}\s{{0,4}}{_WRAPPED}(?P<small>[a-z])(?=[)\]*_.,}}`$]|\s*$|\s*\n)"
    rf"|{_LEAD}(?:[*_$`]{{0,3}}[(\[]|\\text\{{\(?|\{{|\*\*)\s?(?P<marked>[a-zA-Z])\s?[)\]*}}]"
    rf"|(?i:\b(?:it must be|i (?:choose|pick|select|would choose))\s){_WRAPPED}(?P<chosen>[A-Z])(?![\w'’])"
    r"|(?<!\w)[(\[](?P<judged>[A-Z])[)\]][*_]{0,3}\s(?:is|must be)\s(?:the\s)?(?:correct|right|best)\b"
    r"|(?i:\banswer\s{1,4}is)\s{1,4}(?P<last>[b-hj])(?=\.?\s{0,4}(?:\n|\Z))"
)
_AFTER = re.compile(r"[)\]}*_$`\"'”.:]{0,6}")
_AND = re.compile(r"\s{0,3}(?:,|&|/|and\b|or\b)\s{0,3}(?:and\s|or\s)?[(*_]{0,3}[A-Z](?![\w'’])")
_MEANT = re.compile(  # what may follow a letter that could be a word: "A" and "I"
    r"\s*(?:$|\n|[.,;:)\]}*_$`–—-]|\(|(?:because|since|as|which|with|is|was|given|due|by|from|for|according|based|where)\b)"
)


def stated_choice(text: str) -> str | None:
    """The last letter that is said to be the answer: "Answer: B", "option (c) must be right: answer is C because …".

    "Answer: the" and "Answer: A rectangle" name no choice, and "Answer: A, B" names two, which is none.
    """
    found = None
    for match in _CHOICE.finditer(text):
        letter = next(filter(None, match.groups()))
        after = match.end() + len(_AFTER.match(text, match.end())[0])  # type: ignore[index]
        if _AND.match(text, after):
            found = None
        elif letter not in ("A", "I") or after > match.end() or _MEANT.match(text, after):
            found = letter.upper()
    return found
