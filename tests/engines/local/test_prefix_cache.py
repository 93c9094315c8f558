from __future__ import annotations

from atts.engines.local.prefix_cache import PrefixCache


class Cache:
    """Stands for keys and values: remembers how long it is."""

    def __init__(self, length: int) -> None:
        self.length = length

    def crop(self, tokens: int) -> None:
        self.length += tokens


def test_the_longest_common_beginning_is_found_and_cut() -> None:
    store = PrefixCache(100)
    store.put([1, 2, 3, 4, 5], 3, Cache(5))
    store.put([1, 2, 9], 2, Cache(3))
    cache, length = store.take([1, 2, 3, 4, 7], at_most=4)
    assert length == 4 and cache is not None and cache.length == 4
    # It went with its chain; what is left is the other one.
    assert store.take([1, 2, 3], at_most=2)[1] == 2


def test_a_sibling_gets_a_copy() -> None:
    store = PrefixCache(100)
    own = Cache(5)
    store.put([1, 2, 3, 4, 5], 4, own)
    cache, length = store.take([1, 2, 8, 8], at_most=3)
    assert length == 2 and cache is not own and own.length == 5
    assert store.take([1, 2, 3, 4, 5, 6], at_most=5)[0] is own


def test_nothing_in_common() -> None:
    store = PrefixCache(100)
    store.put([1, 2], 1, Cache(2))
    assert store.take([2, 1], at_most=1) == (None, 0)
    assert store.take([1, 5], at_most=0) == (None, 0)


def test_the_least_recently_used_goes_first_and_one_may_be_large() -> None:
    store = PrefixCache(10)
    for first in range(4):
        store.put([first] * 4, 4, Cache(4))
    assert store.take([0] * 5, at_most=4) == (None, 0)
    assert store.take([3] * 5, at_most=4)[1] == 4
    store.put([7] * 50, 50, Cache(50))
    assert store.take([7] * 51, at_most=50)[1] == 50
