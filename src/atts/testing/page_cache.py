"""The prefix cache that a server would have: which beginnings it has seen since it was last emptied."""

from __future__ import annotations

from collections.abc import Iterator

from atts.types import TokenIds

_PAGE = 16  # tokens
_MOST = 1 << 20  # pages; then it is emptied, as if all had been evicted


class PageCache:
    """Remembers contexts page by page; of a page, only a hash of it and of all before it."""

    def __init__(self) -> None:
        self._pages: set[int] = set()

    def length(self, ids: TokenIds) -> int:
        """How many of the first tokens have been seen, in whole pages."""
        seen = 0
        for page in _hashes(ids):
            if page not in self._pages:
                break
            seen += _PAGE
        return seen

    def add(self, ids: TokenIds) -> None:
        """See these."""
        if len(self._pages) > _MOST:
            self.clear()
        self._pages.update(_hashes(ids))

    def clear(self) -> None:
        """Forget everything."""
        self._pages.clear()


def _hashes(ids: TokenIds) -> Iterator[int]:
    before = 0
    for start in range(0, len(ids) - _PAGE + 1, _PAGE):
        before = hash((before, *ids[start : start + _PAGE]))
        yield before
