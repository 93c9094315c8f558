"""What a simulated server still has in its cache of chains that it is not working on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

Owner = tuple[int, int]  # problem and sample; sample -1 is the prompt, which all samples share

PROMPT = -1


class _Entry(NamedTuple):
    """So many tokens, the last of which is `mark`; the first `base` of them stand for certain."""

    tokens: int
    mark: int
    base: int


class PrefixCache:
    """Tokens by chain, the least recently used dropped first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Owner, _Entry] = OrderedDict()
        self.tokens = 0

    def take(self, key: Owner, length: int, token: Callable[[int], int]) -> int:
        """How many of a context's `length` tokens are there, which then belong to the request.

        `token` tells the context's token at a place. A piece that was written and then dropped ends with another mark
        than what stands in its place, so that only what stood before it counts.
        """
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.tokens -= entry.tokens
            if entry.tokens <= length and token(entry.tokens - 1) == entry.mark:
                return entry.tokens
            return min(entry.base, length)
        prompt = self._entries.get((key[0], PROMPT))
        if prompt is None:
            return 0
        self._entries.move_to_end((key[0], PROMPT))
        return min(prompt.tokens, length)

    def put(self, key: Owner, tokens: int, mark: int, base: int) -> None:
        """A chain's tokens are there and belong to nobody."""
        before = self._entries.pop(key, None)
        self.tokens += tokens - (before.tokens if before else 0)
        self._entries[key] = _Entry(tokens, mark, base)

    def has(self, key: Owner) -> bool:
        """Whether anything is there of it."""
        return key in self._entries

    def shrink(self, tokens: int) -> None:
        """Drop what was used longest ago until no more than so many tokens are left."""
        while self.tokens > tokens and self._entries:
            _, entry = self._entries.popitem(last=False)
            self.tokens -= entry.tokens
