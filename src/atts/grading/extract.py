"""Finding the answer that a text gives, by rule and without asking any model.

During a run these rules say whether a chain has finished; `atts grade` can apply others later. Every rule takes time
linear in the length of the text, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atts.errors import AttsError, InputError
from atts.grading.boxes import boxed
from atts.grading.stated import last_number, stated, stated_choice
from atts.grading.thinking import spoken
from atts.registry import Registry, first_line, takes

Extract = Callable[[str], str | None]

_HASHES = re.compile(r"^[ \t]{0,12}#{4}(?!#)[ \t]*+(\S.*)$", re.MULTILINE)
_LABEL = re.compile(r"(?i:^[*_ ]*(?:the\s+)?(?:final\s+)?(?:answer|result)\b[*_ ]*(?:is)?\s*[:=]?[*_ ]*)")
_HEADING = re.compile(
    r"(?i:[*_ ]*(?:conclusion|solution|summary|explanation|verification|check|step\b.*|part\b.*|case\b.*|final\s+step"
    r"|reasoning|analysis|calculations?|approach|given|note|(?:the\s+)?(?:final\s+)?(?:answer|result))[*_ .:]*)"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A way of finding an answer in text outside thinking, and what it is in one line.

    `ending` finds the answers that end a chain (None: all of them do); the others are read when it has ended. `ways`
    are the rules that it tries in turn, by name, for those who want to know which one found an answer.
    """

    describe: str
    find: Extract
    ending: Extract | None = None
    ways: tuple[tuple[str, Extract], ...] = ()


def choice(text: str) -> str | None:
    """The letter that is boxed, or else the last one that is said to be the answer."""
    inside = boxed(text)
    return stated_choice(text) if inside is None else inside


def hashes(text: str) -> str | None:
    """What follows the last `####` that begins a line, as in GSM8K's solutions; or else what is boxed.

    A heading is no answer ("#### Conclusion"), unless it announces one that stands in the next line.
    """
    marked = _marked(text)
    return boxed(text) if marked is None else marked


def _marked(text: str) -> str | None:
    lines = list(_HASHES.finditer(text))
    for line in reversed(lines):
        if line is lines[-1] and (later := boxed(text[line.end() :])) is not None:
            return later
        content = line[1].strip().rstrip("#").strip()
        if not _HEADING.fullmatch(content):
            inside = boxed(content)
            return (_LABEL.sub("", content).strip() or None) if inside is None else inside
        following = text[line.end() :].strip().partition("\n")[0].strip()
        if _LABEL.fullmatch(content) and following and not following.startswith("#"):
            return following
    return None


NUMERIC = "last number"
_WAYS: tuple[tuple[str, Extract], ...] = (("box", boxed), ("####", _marked), ("stated", stated), (NUMERIC, last_number))


def _first(ways: tuple[tuple[str, Extract], ...]) -> Extract:
    """What the first way that finds something finds."""
    return lambda text: next((found for _, find in ways if (found := find(text)) is not None), None)


def said(text: str) -> str | None:
    """What is said to be the answer in words, or else the last number of the last sentence."""
    return _first(_WAYS[2:])(text)


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
        try:
            found = thing(text)
        except SystemExit as error:  # it ends the chain, not the program
            raise AttsError(f"answer rule {name} called sys.exit") from error
        if found is not None and not isinstance(found, str):
            raise TypeError(f"answer rule {name} gave {found!r:.80}, which is neither a text nor None")
        return found

    return Rule(describe or first_line(thing), find)


def _never(text: str) -> str | None:
    """No answer in passing: the text has to end first."""
    return None


RULES: Registry[Rule] = Registry(
    "answer rule",
    "atts.rules",
    {
        "boxed": Rule(r"the last balanced \boxed{…}", boxed),
        "choice": Rule(r"\boxed{…}, or else the letter that is said to be the answer", choice),
        "hashes": Rule(r"the line after “####”, or else \boxed{…}", hashes),
        "stated": Rule("what “the answer is” says, or else the last number", said, _never, _WAYS[2:]),
        "auto": Rule(r"\boxed{…}, else “####”, else as stated, the last number last", _first(_WAYS), hashes, _WAYS),
    },
    shape=as_rule,
    line=lambda rule: rule.describe,
)


def rule(name: Any, *, describe: str = "") -> Any:
    """Decorates a function from a text (outside thinking) to its answer or None, to be had as an answer rule."""
    return RULES.register(name, describe=describe)


class Extractor:
    """A rule for texts that begin inside thinking, or do not: called with a text, it gives its answer or None.

    `numeric` says that answers are numbers; where they are not, no last number is taken for one.
    """

    def __init__(self, rule: Rule, *, thinking: bool = False, numeric: bool = True) -> None:
        self._thinking = thinking
        self._ways = tuple(way for way in rule.ways if numeric or way[0] != NUMERIC)
        self._find = _first(self._ways) if rule.ways else rule.find
        self._ending = rule.ending or self._find

    def __call__(self, text: str) -> str | None:
        """The answer of a text that has ended."""
        return self._outside(text, self._find)

    def ending(self, text: str) -> str | None:
        """The answer that ends a text, if it has one."""
        return self._outside(text, self._ending)

    def way(self, text: str) -> str | None:
        """Which of the rule's ways finds the answer; None where there is no answer, or only one way."""
        return next((name for name, find in self._ways if self._outside(text, find) is not None), None)

    def _outside(self, text: str, find: Extract) -> str | None:
        outside = spoken(text, thinking=self._thinking)
        return None if outside is None else find(outside)


def extractor(
    rule: str = "boxed", *, thinking: bool = False, pattern: str | None = None, numeric: bool = True
) -> Extractor:
    """A function from a chain's text to its answer, or None where it gives none (yet).

    `rule` is a name in `RULES`; `pattern`, a regular expression, takes its place. `thinking` says that texts begin
    inside thinking, `numeric` that answers are numbers. Raises InputError for an unknown rule or an unreadable pattern.
    """
    return Extractor(RULES[rule] if pattern is None else matching(pattern), thinking=thinking, numeric=numeric)
