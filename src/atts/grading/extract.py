"""Finding the answer that a text gives, by rule and without asking any model.

During a run these rules say whether a chain has finished; `atts grade` can apply others later. Every rule takes time
linear in the length of the text, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from atts.errors import InputError
from atts.registry import Registry, first_line, takes

Extract = Callable[[str], str | None]

OPEN, CLOSE = "<think>", "</think>"
_BOX = "\\boxed"

# A command is read whole, so that an escaped brace is no brace and `\\` before one does not escape it. A backslash too
# many before `boxed`, as texts that went through JSON have it, is forgiven.
_TEX = re.compile(r"(?P<box>\\{1,2}boxed\s*+\{)|\\.|[{}]", re.DOTALL)
_BLANK = re.compile(r"\s*+")
# Runs of blanks and marks are bounded, so that nothing is tried twice at any length.
_CHOICE = re.compile(
    r"\b(?i:answer)(?:\s{1,4}is)?[\s:：*_$(\[]{1,12}([A-J])(?![\w'’])[)\]*_$]{0,4}"
    r"(?=[ \t]{0,4}(?:[.,;:)\]\n]|[-–—]\s|\Z))"
)
_HASHES = re.compile(r"^####[ \t]*+(\S.*)$", re.MULTILINE)


class Rule(NamedTuple):
    """A way of finding an answer in text outside thinking, and what it is in one line."""

    describe: str
    find: Extract


def spoken(text: str, *, thinking: bool = False) -> str | None:
    """The part of a text outside its thinking: what follows the last `</think>`, or None while thinking goes on.

    `thinking` says that the text begins inside thinking, as where the chat template has opened it.
    """
    closed = text.rfind(CLOSE)
    if closed < 0 and thinking:
        return None
    rest = text[closed + len(CLOSE) :] if closed >= 0 else text
    return None if OPEN in rest else rest


class _Box(NamedTuple):
    """Where a box's command begins and its last brace stands, and the bounds of its innermost content."""

    command: int
    brace: int
    start: int
    end: int


def boxed(text: str) -> str | None:
    r"""The content of the last balanced `\boxed{…}` that is not empty.

    Of boxes that hold nothing but a box, as in `\boxed{\boxed{3}}`, it is the innermost content. Escaped braces are no
    braces; a brace that is never closed and one that was never opened are passed over.
    """
    if (first := text.find(_BOX)) < 0:
        return None
    opened: list[re.Match[str] | None] = []  # for every open brace, the command if it is a box's
    last = found = None
    for token in _TEX.finditer(text, max(0, first - 1)):  # one more backslash may belong to it
        if token["box"]:
            opened.append(token)
        elif token[0] == "{":
            opened.append(None)
        elif token[0] == "}" and opened and (command := opened.pop()):
            last = _close(text, command, token.start(), last)
            found = last if last.start < last.end else found
    return text[found.start : found.end].strip() if found else None


def _close(text: str, command: re.Match[str], brace: int, inner: _Box | None) -> _Box:
    """The box that ends here; if it holds nothing but the box closed before, that one's content is its own."""
    start = _after_blank(text, command.end())
    if inner and inner.command == start and _after_blank(text, inner.brace + 1) >= brace:
        return _Box(command.start(), brace, inner.start, inner.end)
    return _Box(command.start(), brace, min(start, brace), brace)


def _after_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def choice(text: str) -> str | None:
    """The letter that is boxed, or else the last one that stands alone after "Answer:" or "answer is".

    "Answer: the" and "Answer: A rectangle" name no choice.
    """
    if (inside := boxed(text)) is not None:
        return inside
    letters = _CHOICE.findall(text)
    return letters[-1] if letters else None


def hashes(text: str) -> str | None:
    """What follows the last `####` that begins a line, as in GSM8K's solutions; or else what is boxed."""
    lines = _HASHES.findall(text)
    return lines[-1].strip() if lines else boxed(text)


def matching(pattern: str) -> Rule:
    """The last match of a regular expression: its first group, or all of it. Raises InputError if it does not parse.

    Whoever writes the expression answers for the time it takes.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"answer pattern {pattern!r} is not a regular expression: {error}") from error

    def find(text: str) -> str | None:
        found = None
        for match in compiled.finditer(text):
            inside = match[1] if compiled.groups else match[0]
            found = (inside or "").strip() or found
        return found

    return Rule(f"the last match of {pattern}", find)


def as_rule(name: str, thing: Any, *, describe: str = "") -> Rule:
    """A `Rule`, or a function from a text to its answer made one."""
    if isinstance(thing, Rule):
        return thing
    takes(thing, "text")

    def find(text: str) -> str | None:
        found = thing(text)
        if found is not None and not isinstance(found, str):
            raise TypeError(f"answer rule {name} gave {found!r:.80}, which is neither a text nor None")
        return found

    return Rule(describe or first_line(thing), find)


RULES: Registry[Rule] = Registry(
    "answer rule",
    "atts.rules",
    {
        "boxed": Rule(r"the last balanced \boxed{…}", boxed),
        "choice": Rule(r"\boxed{…}, or else the letter after “Answer:”", choice),
        "hashes": Rule(r"the line after “####”, or else \boxed{…}", hashes),
    },
    shape=as_rule,
    line=lambda rule: rule.describe,
)


def rule(name: Any, *, describe: str = "") -> Any:
    """Decorates a function from a text (outside thinking) to its answer or None, to be had as an answer rule."""
    return RULES.register(name, describe=describe)


def extractor(rule: str = "boxed", *, thinking: bool = False, pattern: str | None = None) -> Extract:
    """A function from a chain's text to its answer, or None where it gives none (yet).

    `rule` is a name in `RULES`; `pattern`, a regular expression, takes its place. `thinking` says that texts begin
    inside thinking. Raises InputError for an unknown rule or an unreadable pattern.
    """
    find = (RULES[rule] if pattern is None else matching(pattern)).find

    def extract(text: str) -> str | None:
        outside = spoken(text, thinking=thinking)
        return None if outside is None else find(outside)

    return extract
