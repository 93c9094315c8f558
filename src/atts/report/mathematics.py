r"""TeX in texts as trees of MathML, which browsers draw themselves.

Texts come from models and are hostile: what latex2mathml makes of a formula is reduced to known elements and
attributes and handed to the page as plain lists, which its script turns into elements one by one. A formula that cannot
be read is shown as its source.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

_ENVIRONMENTS = (
    r"(?:align(?:ed)?|array|cases|eqnarray|equation|flalign|gather(?:ed)?|multline|(?:[pbvBV]|small)?matrix|split)\*?"
)
_OPENING = re.compile(
    r"[\\$](?:"  # a set to begin with is searched fastest
    r"(?<=\$)(?:(?P<dollars>\$)|(?P<dollar>))"
    r"|(?<=\\)(?:[\\$]"  # escaped: opens nothing
    r"|(?P<bracket>\[)|(?P<parenthesis>\()"
    rf"|(?P<boxed>boxed\s*\{{)|(?P<environment>begin\{{{_ENVIRONMENTS}\}})))"
)
_CLOSING = {
    "dollars": re.compile(r"((?:[^$\\]|\\[\s\S]){1,2000})\$\$"),
    "dollar": re.compile(r"((?:[^$\\\n]|\\[^\n]){1,400})\$"),
    "bracket": re.compile(r"((?:[^\\]|\\[^\]]){1,2000})\\\]"),
    "parenthesis": re.compile(r"((?:[^\\]|\\[^)]){1,2000})\\\)"),
}
_BRACE = re.compile(r"\\[\s\S]|[{}]")
_BLOCK = re.compile(rf"\\(begin|end)\{{({_ENVIRONMENTS})\}}")
_LONGEST = 2000  # characters of what is boxed, or of an environment
_UNWORDED = re.compile(r"\\(?:text\w*|math\w+|operatorname\*?|[mh]box)\s*\{[^{}]*\}|\\[A-Za-z]+")
_WORDS = re.compile(r"[A-Za-z]{2,}[,;:.]?\s+[A-Za-z]{2,}")
_ALIGNED = re.compile(r"\\(begin|end)\{(?:aligned|eqnarray\*?|flalign\*?|gather(?:ed)?\*?|multline\*?)\}")
"""Environments that latex2mathml does not know to break into rows; the rows of `align*` come close."""
_DEFINES = re.compile(r"\\(?:[a-z]*def|let|(?:re)?new(?:command|environment)|providecommand|Declare\w*)(?![a-z])")
"""Definitions are not followed: a few of them that name each other grow a formula without end."""
_SEARCHED = 20_000  # characters of a text; formulas beyond are shown as their source
# fmt: off
_ELEMENTS = frozenset({
    "math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle", "mpadded",
    "mphantom", "menclose", "msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts",
    "mprescripts", "none", "mtable", "mtr", "mtd",
})
_ATTRIBUTES = frozenset({
    "accent", "accentunder", "columnalign", "columnlines", "displaystyle", "fence", "form", "largeop",
    "linethickness", "lspace", "mathvariant", "maxsize", "minsize", "movablelimits", "notation", "rowlines",
    "rspace", "scriptlevel", "separator", "stretchy", "symmetric", "width",
})
# fmt: on
_DEEPEST = 40

Tree = list[Any]
"""An element: its name, its attributes, then its children (trees and texts)."""


class Formula(NamedTuple):
    """A formula in a text: where it stands with what surrounds it, its TeX, and whether it has a line of its own."""

    start: int
    end: int
    source: str
    block: bool


def formulas(text: str) -> Iterator[Formula]:
    """The formulas of a text, in order."""
    text = text[:_SEARCHED]
    ends = (_boxes(text) if "\\boxed" in text else {}) | (_environments(text) if "\\begin" in text else {})
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        found = _formula(text, opening, ends)
        if found is not None:
            yield found
        at = found.end if found is not None else opening.end()


def _formula(text: str, opening: re.Match[str], ends: Mapping[int, int]) -> Formula | None:
    """The formula that begins there, if it ends too and is no prose between two prices."""
    kind, start = opening.lastgroup, opening.start()
    if kind in ("boxed", "environment"):
        end = ends.get(start, len(text) + _LONGEST)
        source = text[start:end] if end - start <= _LONGEST else ""
        return Formula(start, end, source, kind == "environment") if source else None
    closing = _CLOSING[kind].match(text, opening.end()) if kind is not None else None
    if closing is None or (kind == "dollar" and _prose(closing[1], text[closing.end() : closing.end() + 1])):
        return None
    return Formula(start, closing.end(), closing[1].strip(), kind in ("dollars", "bracket"))


def _prose(content: str, following: str) -> bool:
    """Whether what stands between two dollar signs is rather text with prices or names of variables in it."""
    if content != content.strip() or content.startswith(")") or following.isdigit():
        return True
    if following.isalpha() and not (following.islower() and (content[-1].isalnum() or content[-1] in ")]}'!|")):
        return True  # `$n$th`, but neither `$HOME/$USER` nor `US$5, A$`
    return _WORDS.search(_UNWORDED.sub("·", content)) is not None


def _boxes(text: str) -> dict[int, int]:
    """Where what `\\boxed` encloses ends, by where it begins; braces may be nested as deep as they like."""
    opened: list[int] = []
    closed: dict[int, int] = {}
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            closed[opened.pop()] = brace.end()
    boxes = (match for match in _OPENING.finditer(text) if match.lastgroup == "boxed")
    return {box.start(): closed[box.end() - 1] for box in boxes if box.end() - 1 in closed}


def _environments(text: str) -> dict[int, int]:
    """Where an environment ends, by where it begins."""
    opened: list[re.Match[str]] = []
    ends: dict[int, int] = {}
    for mark in _BLOCK.finditer(text):
        if mark[1] == "begin":
            opened.append(mark)
        elif opened and opened[-1][2] == mark[2]:
            ends[opened.pop().start()] = mark.end()
    return ends


class Drawings:
    """Trees of formulas, each read once, within so many seconds in all; what comes later stays source.

    Without latex2mathml (extra `report`) there are none.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._known: dict[str, Tree | None] = {}
        self._convert = _converter()

    def tree(self, source: str) -> Tree | None:
        """The tree of a formula, if it can be read."""
        if source not in self._known:
            if self._left <= 0 or self._convert is None:
                return None
            began = time.thread_time()
            self._known[source] = _read(self._convert, source)
            self._left -= time.thread_time() - began
        return self._known[source]


def _converter() -> Callable[[str], Any] | None:
    try:
        from latex2mathml.converter import convert_to_element
    except ImportError:
        return None
    convert: Callable[[str], Any] = convert_to_element
    return convert


def _read(convert: Callable[[str], Any], source: str) -> Tree | None:
    if _DEFINES.search(source):
        return None
    try:
        return _tree(convert(_ALIGNED.sub(r"\\\1{align*}", source)), 0)
    except Exception:
        # A parser that is fed by a model may fail in any way (recursion too); the source is shown instead.
        return None


def _tree(element: Any, depth: int) -> Tree:
    """The element and all below it; raises ValueError where it holds anything that is not plain mathematics."""
    if element.tag not in _ELEMENTS or depth > _DEEPEST:
        raise ValueError(f"<{element.tag}> is no mathematics")
    attributes = {name: value for name, value in element.attrib.items() if name in _ATTRIBUTES}
    children: Tree = [html.unescape(element.text)] if element.text else []
    for child in element:
        children.append(_tree(child, depth + 1))
        if child.tail and child.tail.strip():
            children.append(html.unescape(child.tail))
    return [element.tag, attributes, *children]
