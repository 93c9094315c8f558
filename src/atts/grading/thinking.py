"""What a text says outside its thinking, in every spelling in use."""

from __future__ import annotations

import re

# Angle tags of any case, Mistral's brackets, Kimi's triangles, and gpt-oss's channels, with their special tokens or,
# where a server has left these out, without.
_NAMES = r"think|thinking|thought|thoughts|reasoning|reason|reflection"
_MARK = re.compile(
    rf"(?P<open><(?:\w{{1,20}}:)?(?:{_NAMES})\s?>|<\|begin_of_thought\|>|\[THINK\]|◁think▷|<\|channel\|>(?:analysis|commentary)\b[^<]{{0,80}}(?:<\|message\|>)?)"
    rf"|(?P<close></(?:\w{{1,20}}:)?(?:{_NAMES})\s?>|<\|end_of_thought\|>|\[/THINK\]|◁/think▷|<\|channel\|>final\b[^<]{{0,80}}(?:<\|message\|>)?)",
    re.IGNORECASE,
)
_BARE_CHANNEL = re.compile(r"\s*analysis(?=[A-Z\s])")
_BARE_FINAL = "assistantfinal"


def spoken(text: str, *, thinking: bool = False) -> str | None:
    """The part of a text outside its thinking: what follows the last `</think>`, or None while thinking goes on.

    `thinking` says that the text begins inside thinking, as where the chat template has opened it.
    """
    if _BARE_CHANNEL.match(text) and (thinking or _BARE_FINAL in text or text.lstrip()[8:9].isupper()):
        _, final, rest = text.rpartition(_BARE_FINAL)
        return rest if final else None
    open_, end = thinking, 0
    for mark in _MARK.finditer(text):
        if mark["close"]:
            open_, end = False, mark.end()
        else:
            open_ = True
    return None if open_ else text[end:]


def closes_unopened(text: str) -> bool:
    """Whether a text closes a thinking part that it did not open, as where the chat template has opened it."""
    first = _MARK.search(text)
    return first is not None and bool(first["close"])
