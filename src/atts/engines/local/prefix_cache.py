"""Key-value caches of scored contexts, so that a score costs only the tokens that are new."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from atts.stats.arrays import Ints
from atts.types import TokenIds


@dataclass(slots=True, eq=False)
class _Entry:
    ids: Ints
    sure: int  # the first `sure` tokens are a chain's own context; after them stands a chunk that may be dropped
    cache: Any


class PrefixCache:
    """The caches used last, at most `capacity` tokens in all (one entry may exceed it alone)."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: list[_Entry] = []  # least recently used first

    def take(self, ids: TokenIds, at_most: int) -> tuple[Any | None, int]:
        """The cache that shares the longest beginning with `ids`, cut to it, and that length (≤ `at_most`).

        The entry leaves the store if it belongs to the same chain, and is copied if another chain may go on with it.
        """
        wanted = np.asarray(ids, dtype=np.int64)
        best, length = None, 0
        for entry in self._entries:
            common = _common_prefix(entry.ids, wanted)
            if common > length:
                best, length = entry, common
        length = min(length, at_most)
        if best is None or length <= 0:
            return None, 0
        if length >= min(best.sure, at_most):
            self._entries.remove(best)
            cache = best.cache
        else:
            cache = copy.deepcopy(best.cache)
        surplus = len(best.ids) - length
        if surplus:
            cache.crop(-surplus)
        return cache, length

    def put(self, ids: TokenIds, sure: int, cache: Any) -> None:
        """Keep the cache of `ids` and drop the least recently used ones beyond the capacity."""
        self._entries.append(_Entry(np.asarray(ids, dtype=np.int64), sure, cache))
        total = sum(len(entry.ids) for entry in self._entries)
        while total > self._capacity and len(self._entries) > 1:
            total -= len(self._entries.pop(0).ids)


def _common_prefix(left: Ints, right: Ints) -> int:
    size = min(len(left), len(right))
    differing = np.flatnonzero(left[:size] != right[:size])
    return int(differing[0]) if len(differing) else size
