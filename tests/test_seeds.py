from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atts.seeds import derive, uniform

parts = st.lists(st.one_of(st.text(max_size=8), st.integers()), max_size=4)


@given(st.integers(min_value=0), parts)
def test_the_same_purpose_gives_the_same_seed(seed: int, what: list[str | int]) -> None:
    assert derive(seed, *what) == derive(seed, *what)
    assert 0 <= derive(seed, *what) < 2**53
    assert 0 < uniform(seed, *what) < 1


def test_every_part_matters() -> None:
    seeds = {
        derive(run, "p", sample, turn, what)
        for run in range(3)
        for sample in range(20)
        for turn in range(20)
        for what in ("draft", "takeover")
    }
    assert len(seeds) == 3 * 20 * 20 * 2


def test_uniform_numbers_are_uniform() -> None:
    values = np.sort([uniform(0, "p", i) for i in range(4000)])
    gap = np.abs(values - (np.arange(4000) + 0.5) / 4000).max()
    assert gap < 1.63 / np.sqrt(4000)  # Kolmogorov-Smirnov at 1 %, deterministic here
