from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.calibration.arrival import Fifo, InFlight, RecordedChunk, parse_order
from atts.errors import InputError
from atts.types import Chunk

ORDERS = ["recorded", "merge", "inflight:1", "inflight:7", "fifo:1,1", "fifo:3,2"]


def chains(lengths: list[int], samples: int = 2) -> list[list[RecordedChunk]]:
    rows = iter(range(10_000))
    return [
        [RecordedChunk(Chunk(str(i // samples), i % samples, turn), 0.0, 10.0 + turn, next(rows)) for turn in range(n)]
        for i, n in enumerate(lengths)
    ]


def delivered(order: str, lengths: list[int], seed: int, rejected: bool = False) -> list[Chunk]:
    seen: list[Chunk] = []

    def decide(recorded: RecordedChunk) -> bool:
        seen.append(recorded.chunk)
        return rejected

    parse_order(order)(chains(lengths), seed, decide)
    return seen


@pytest.mark.parametrize("order", ORDERS)
@given(st.lists(st.integers(1, 5), max_size=12), st.integers(0, 99), st.booleans())
def test_every_chunk_comes_once_and_chains_keep_their_order(
    order: str, lengths: list[int], seed: int, rejected: bool
) -> None:
    seen = delivered(order, lengths, seed, rejected)
    assert len(seen) == len(set(seen)) == sum(lengths)
    turns: dict[tuple[str, int], int] = {}
    for chunk in seen:
        assert chunk.turn == turns.get((chunk.problem, chunk.sample), 0)
        turns[chunk.problem, chunk.sample] = chunk.turn + 1


@pytest.mark.parametrize("order", [order for order in ORDERS if order != "recorded"])
def test_an_order_is_a_function_of_its_seed(order: str) -> None:
    lengths = [3] * 12
    assert delivered(order, lengths, 1) == delivered(order, lengths, 1)
    assert delivered(order, lengths, 1) != delivered(order, lengths, 2)


def test_the_recorded_order_is_that_of_the_rows() -> None:
    assert delivered("recorded", [2, 1], 0) == [Chunk("0", 0, 0), Chunk("0", 0, 1), Chunk("0", 1, 0)]


def test_no_more_chains_are_open_than_in_flight() -> None:
    open_: set[tuple[str, int]] = set()
    most = 0

    def decide(recorded: RecordedChunk) -> bool:
        nonlocal most
        chunk = recorded.chunk
        open_.add((chunk.problem, chunk.sample))
        most = max(most, len(open_))
        if chunk.turn == 3:
            open_.remove((chunk.problem, chunk.sample))
        return False

    InFlight(5)(chains([4] * 40), 0, decide)
    assert most == 5


def test_a_chain_that_was_taken_over_comes_back_later() -> None:
    """Two chains through one slot each; whoever is rejected at turn 0 is last."""
    for loser in (0, 1):
        seen: list[Chunk] = []

        def decide(recorded: RecordedChunk, loser: int = loser, seen: list[Chunk] = seen) -> bool:
            seen.append(recorded.chunk)
            return recorded.chunk.sample == loser

        Fifo(2, 2)(chains([4, 4]), 0, decide)
        assert seen[-1].sample == loser


@pytest.mark.parametrize(
    "text", ["", "merge:3", "inflight", "inflight:0", "inflight:x", "fifo:4", "fifo:1,2,3", "lifo:1"]
)
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="arrival order"):
        parse_order(text)
