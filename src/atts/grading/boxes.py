r"""Answers in boxes: `\boxed{…}`, `\fbox{…}`, and `\boxed 5` without braces. Linear in the length of the text."""

from __future__ import annotations

import re
from typing import NamedTuple

# A command is read whole, so that an escaped brace is no brace and `\\` before one does not escape it. A backslash too
# many before `boxed`, as texts that went through JSON have it, is forgiven.
_TEX = re.compile(
    r"(?P<box>\\{1,2}(?:boxed|fbox)\s*+\{)"
    r"|(?P<bare>\\{1,2}boxed(?:[ \t]++(?=[^\s{}\\$])|(?=\d))(?P<content>[^\s{}$,;\\]{1,40}))"
    r"|\\.|[{}]",
    re.DOTALL,
)
_BLANK = re.compile(r"\s*+")
_LONGEST_LINK = 160  # characters between two boxes of one sentence
# Between the boxes of a list stand commas and small words. Where something else begins, a sentence, a step of reasoning
# or a correction, the boxes after it are the answer.
_PARTS = re.compile(
    r"[.!?:](?:\s|$)|\n\s*\n|(?<![,; \t])(?<!and)(?<!or)[ \t]{0,8}\n(?!\s*(?:and|or)\b)"
    r"|=(?!\s*[$\\(\[]{0,2}\s*$)|\\(?:implies|Rightarrow|to|approx)(?![A-Za-z])|[⇒→≈]"
    r"|(?i:\b(?:so|hence|thus|therefore|then|giv\w+|mean\w*|impl\w+|but|not|no|instead|actually|rather|wait|final\w*"
    r"|first|next|now|because|since|where|from|answer|correct\w*|simplif\w+|equals?|becomes?|which)\b)"
)


class Box(NamedTuple):
    """Where a box's command begins and where it ends, and the bounds of its innermost content."""

    command: int
    brace: int
    start: int
    end: int

    def content(self, text: str) -> str:
        """What stands in it."""
        return text[self.start : self.end].strip()


def boxed(text: str) -> str | None:
    r"""The content of the last balanced box that is not empty, or of several that belong together, between commas.

    Of boxes that hold nothing but a box, as in `\boxed{\boxed{3}}`, it is the innermost content. Escaped braces are no
    braces; a brace that is never closed and one that was never opened are passed over. Boxes belong together that
    follow each other in one sentence or line: `\boxed{2}, \boxed{3} and \boxed{5}` is 2, 3, 5.
    """
    boxes = _boxes(text)
    if not boxes:
        return None
    together = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        between = text[box.brace + 1 : together[-1].command]
        if len(between) > _LONGEST_LINK or _PARTS.search(between):
            break
        together.append(box)
    return ", ".join(dict.fromkeys(box.content(text) for box in reversed(together)))


def last_box_ends(text: str) -> int:
    """The place after the last box that holds something; -1 where there is none."""
    boxes = _boxes(text)
    return boxes[-1].brace + 1 if boxes else -1


def _boxes(text: str) -> list[Box]:
    """The boxes that hold something and stand in no other one, in order."""
    if (first := text.find("box")) < 0:
        return []
    opened: list[re.Match[str] | None] = []  # for every open brace, the command if it is a box's
    found: list[Box] = []
    last = None
    for token in _TEX.finditer(text, max(0, first - 3)):  # backslashes and an `f` may belong to it
        if token["box"]:
            opened.append(token)
        elif token["bare"]:
            last = Box(token.start(), token.end() - 1, *_stripped(text, *token.span("content")))
            _keep(found, last)
        elif token[0] == "{":
            opened.append(None)
        elif token[0] == "}" and opened and (command := opened.pop()):
            last = _close(text, command, token.start(), last)
            _keep(found, last)
    return found


def _keep(found: list[Box], box: Box) -> None:
    """Take a box instead of those inside it, if it holds something."""
    if box.start >= box.end:
        return
    while found and found[-1].command > box.command:
        found.pop()
    found.append(box)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The bounds without punctuation at the end of a sentence."""
    return start, start + len(text[start:end].rstrip(".:!?)*_"))


def _close(text: str, command: re.Match[str], brace: int, inner: Box | None) -> Box:
    """The box that ends here; if it holds nothing but the box closed before, that one's content is its own."""
    start = _after_blank(text, command.end())
    if inner and inner.command == start and _after_blank(text, inner.brace + 1) >= brace:
        return Box(command.start(), brace, inner.start, inner.end)
    return Box(command.start(), brace, min(start, brace), brace)


def _after_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position
