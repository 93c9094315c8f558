r"""TeX in texts as trees of MathML, which browsers draw themselves.

Texts come from models and are hostile: what latex2mathml makes of a formula is reduced to known elements and
attributes and handed to the page as plain lists, which its script turns into elements one by one. A formula that cannot
be read is shown as its source.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

PATTERN = (
    r"\$\$([^$]{1,2000}?)\$\$"
    r"|\\\[([\s\S]{1,2000}?)\\\]"
    r"|\\\(([\s\S]{1,2000}?)\\\)"
    r"|\$(?!\s)([^$\n]{1,400}?)(?<!\s)\$(?!\d)"
    r"|(\\boxed\{(?:[^{}]|\{[^{}]*\}){1,200}\})"
)
"""Mathematics in a text; the group that matched is the formula. The page's script uses the same pattern."""

_FORMULA = re.compile(PATTERN)
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


def formulas(text: str) -> Iterator[str]:
    """The formulas of a text, as TeX without what surrounds them."""
    for match in _FORMULA.finditer(text[:_SEARCHED]):
        yield next(group for group in match.groups() if group is not None).strip()


class Drawings:
    """Trees of formulas, each read once, within so many seconds in all; what comes later stays source.

    Without latex2mathml (extra `report`) there are none.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._known: dict[str, Tree | None] = {}
        self._convert = _converter()

    def trees(self, sources: Iterable[str]) -> dict[str, Tree]:
        """The tree of every formula that can be read."""
        return {source: tree for source in sources if (tree := self._tree(source)) is not None}

    def _tree(self, source: str) -> Tree | None:
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
        return _tree(convert(source), 0)
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
