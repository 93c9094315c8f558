from __future__ import annotations

import json
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from atts.stats.progress import Progress
from atts.types import Chunk


def walked(progress: Progress, lengths: list[int], *, ended: bool = True) -> None:
    for chain, length in enumerate(lengths):
        for turn in range(length):
            progress.decided(Chunk(str(chain), 0, turn))
        if ended:
            progress.end(str(chain), 0)


def test_what_is_to_come() -> None:
    progress = Progress()
    assert progress.to_come() == inf
    progress.plan(10)
    assert progress.to_come() == 10  # nothing is known: one decision a chain
    walked(progress, [2, 4])
    assert progress.to_come() == 8 * 3
    progress.decided(Chunk("open", 0, 0))
    assert progress.to_come() == 7 * 3 + 2
    progress.end("never began", 0)
    assert progress.to_come() == 6 * 3 + 2
    for turn in range(1, 9):
        progress.decided(Chunk("open", 0, turn))
    assert progress.to_come() == 6 * 3 + 0.5
    assert progress.to_come(10) == 6 * 3


def test_shares_are_those_of_whole_chains_where_all_have_ended() -> None:
    progress = Progress()
    walked(progress, [1, 1, 2, 3])
    assert progress.shares(3, 31) == [1, 0.5, 0.25]
    assert progress.shares(5, 31)[3] == 0.25 / 2  # the chunk that asks is there


def test_open_chains_count_for_the_turns_they_were_seen_at() -> None:
    progress = Progress()
    walked(progress, [1, 1, 1, 1], ended=False)
    progress.decided(Chunk("0", 0, 1))
    assert progress.shares(2, 31) == [1, 1]
    progress.end("3", 0)
    assert progress.shares(2, 31) == [1, 0.5]


def test_the_last_bank_stands_for_all_later_turns() -> None:
    progress = Progress()
    walked(progress, [6, 6])
    assert progress.shares(4, 3) == [1, 1, 1, 3]


def test_a_record_says_nothing_behind_its_last_turn() -> None:
    progress = Progress()
    for _ in range(10):
        progress.recorded(0)
    assert progress.shares(2, 31) == [1, 1]
    for _ in range(5):
        progress.recorded(1)
    assert progress.shares(3, 31) == [1, 0.5, 0.5]


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 9)), max_size=80)


@given(steps=STEPS, planned=st.one_of(st.none(), st.integers(0, 20)))
def test_a_saved_state_goes_on_identically(steps: list[tuple[bool, int, int]], planned: int | None) -> None:
    progress, other = Progress(), Progress()
    if planned is not None:
        progress.plan(planned)
    for decides, chain, turn in steps:
        if decides:
            progress.decided(Chunk(str(chain), 0, turn))
        else:
            progress.end(str(chain), 0)
        assert progress.to_come() >= 0
        assert all(share > 0 for share in progress.shares(12, 31))
    other.restore(json.loads(json.dumps(progress.state())))
    assert other.state() == progress.state()
    assert (other.to_come(), other.shares(12, 31)) == (progress.to_come(), progress.shares(12, 31))
