from __future__ import annotations

from dataclasses import replace

import pytest

from atts.types import Chunk
from tests.stats.calibrators.streams import R1, made


def test_the_coin_does_not_look_at_the_score() -> None:
    coin, other = made(replace(R1, name="coin")), made(replace(R1, name="coin"))
    for i in range(50):
        u = (i * 0.618034) % 1 or 0.5
        one = coin.decide(Chunk("a", i, 0), float(i), u)
        assert one.rejected == other.decide(Chunk("a", i, 0), -float(i), u).rejected == (u <= 0.4)


def test_the_coin_tosses_for_a_chunk_without_a_score_too() -> None:
    coin = made(replace(R1, name="coin"))
    decisions = [coin.decide(Chunk("a", i, 0), None if i % 2 else 1.0, (i * 0.618034) % 1 or 0.5) for i in range(2000)]
    assert sum(d.rejected for d in decisions) / 2000 == pytest.approx(0.4, abs=0.01)
    assert all(d.rejected == (d.p_value is not None and d.p_value <= d.threshold) for d in decisions)
