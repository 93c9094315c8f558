"""The text of token ids that come piece by piece, as if all of them had been decoded at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from atts.types import TokenIds

Decode = Callable[[TokenIds], Awaitable[str]]

_BROKEN = "\ufffd"  # how an incomplete character decodes
_MOST_HELD = 3  # tokens: a character has four bytes at most, and a token at least one


@dataclass(frozen=True, slots=True)
class Reading:
    """What further ids say: their text in whole characters, the ids behind it that wait for the rest of a character,
    and the ids that the next text follows.
    """

    text: str
    held: tuple[int, ...]
    before: tuple[int, ...]


class Detokenizer:
    """Decodes one list of ids that grows, at a cost that does not grow with it.

    Ids are decoded behind those of the last text, because many tokenizers drop the blank before the first word. What
    ends inside a character is held back until the character is whole; so texts add up, and what was said stays.
    """

    def __init__(self) -> None:
        self.held: tuple[int, ...] = ()
        self._before: tuple[int, ...] = ()

    async def read(self, decode: Decode, ids: tuple[int, ...], *, last: bool = False) -> Reading:
        """What these ids would say next. With `last` nothing follows, and nothing is held back."""
        ids, before = self.held + ids, self._before
        if not ids:
            return Reading("", (), before)
        known, text = await asyncio.gather(decode(before), decode(before + ids)) if before else ("", await decode(ids))
        if text == known:  # ids without a text
            return Reading("", (), before)
        cut = len(ids)
        if text.endswith(_BROKEN):
            cut, text = await _whole(decode, before, ids)
        # Broken bytes may change how those before them decode; what was said stays.
        said = text[len(known) :] if text.startswith(known) else await decode(ids[:cut])
        held = ids[cut:]
        if last and held:
            said, held = said + await decode(held), ()
        return Reading(said, held, ids[:cut] if said else before)

    def take(self, reading: Reading) -> None:
        """What was read stands."""
        self.held, self._before = reading.held, reading.before

    def follow(self, ids: tuple[int, ...]) -> None:
        """Whole text of somebody else stands, read as these ids: what was held back is never completed."""
        self.held, self._before = (), ids or self._before


async def _whole(decode: Decode, before: tuple[int, ...], ids: tuple[int, ...]) -> tuple[int, str]:
    """How many ids end with a whole character, and the text to there. Broken bytes are waited for no longer."""
    cut, text = len(ids), ""
    for cut in range(len(ids) - 1, max(len(ids) - _MOST_HELD, 0) - 1, -1):
        text = await decode(before + ids[:cut]) if before or cut else ""
        if not text.endswith(_BROKEN):
            break
    return cut, text
