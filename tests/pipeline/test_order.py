"""The order of chains: a permutation of all of them, by sample, by problem, or in blocks; ranks follow it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.errors import InputError
from atts.pipeline.order import Order, parse_order


@given(problems=st.integers(0, 20), samples=st.integers(1, 6), block=st.one_of(st.none(), st.integers(1, 25)))
def test_every_chain_has_one_place_and_ranks_rise(problems: int, samples: int, block: int | None) -> None:
    places = list(Order(block).places(problems, samples))
    assert sorted((p.problem, p.sample) for p in places) == [(p, s) for p in range(problems) for s in range(samples)]
    ranks = [place.rank for place in places]
    assert ranks == sorted(ranks) and (block == 1 or len(set(ranks)) == len(ranks))


def test_the_three_orders() -> None:
    def found(text: str) -> list[tuple[int, int]]:
        return [(place.problem, place.sample) for place in parse_order(text).places(3, 2)]

    assert found("samples") == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    assert found("problems") == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert found("blocks:2") == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (2, 1)]


@pytest.mark.parametrize("text", ["sample", "blocks", "blocks:", "blocks:0", "blocks:-1", "problems:2", "blocks:1.5"])
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="write samples, problems or blocks:N"):
        parse_order(text)
