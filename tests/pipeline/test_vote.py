from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.pipeline.stop import VoteRule
from atts.pipeline.vote import Vote, VoteStop, overtaking
from atts.stats.estimate import Outcomes, classes, majority

answers = st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=20)


def decided_after(votes: Iterable[str | None], samples: int, stop: VoteStop, error: float = 0.05) -> int | None:
    return VoteRule(samples, stop, error).decided_after(votes)


def winners(votes: list[str | None]) -> set[str]:
    counts = Counter(vote for vote in votes if vote is not None)
    return {answer for answer, count in counts.items() if count == max(counts.values())}


@given(answers)
def test_an_exact_stop_never_changes_the_majority(votes: list[str | None]) -> None:
    count = decided_after(votes, len(votes), "exact")
    assert count is not None
    if count < len(votes):
        assert winners(votes[:count]) == winners(votes)
        assert len(winners(votes)) == 1


@given(answers)
def test_an_exact_stop_comes_as_soon_as_it_can(votes: list[str | None]) -> None:
    """One answer earlier, some continuation would still have changed who wins, or made it a tie."""
    count = decided_after(votes, len(votes), "exact")
    assert count is not None
    before = votes[: count - 1]
    rest = len(votes) - len(before)
    rivals = [answer for answer in ("1", "2", "3", "new") if answer not in winners(before)] or ["new"]
    assert any(winners([*before, *[rival] * rest]) != winners(before) for rival in rivals) or len(winners(before)) != 1


@pytest.mark.parametrize("seed", range(20))
def test_the_estimate_of_maj_at_k_is_that_of_the_stopped_vote(seed: int) -> None:
    """Twenty problems of sixteen samples: maj@16 of all samples is the majority among those before the stop."""
    rng = random.Random(seed)
    for _ in range(20):
        weights = [rng.random() for _ in range(4)]
        votes = rng.choices(["1", "2", "3", None], weights, k=16)
        count = decided_after(votes, 16, "exact")
        assert count is not None
        correct = [[float(vote == "1") for vote in votes]]
        full = majority(Outcomes.of(correct, classes([votes])))[0, -1]
        (stopped,) = winners(votes[:count]) if count < 16 else (None,)
        assert count == 16 or full == float(stopped == "1")


def test_failed_samples_still_count_as_to_come() -> None:
    vote = Vote(4)
    assert not vote.add("1")
    assert not vote.add("1")  # two more may vote for another: a tie
    assert vote.add("1")


def test_off_waits_for_everyone() -> None:
    assert decided_after(["1"] * 16, 16, "off") == 16
    assert decided_after(["1"] * 15, 16, "off") is None
    assert decided_after(["1"] * 16, 16, "exact") == 9
    assert decided_after([None] * 16, 16, "exact") == 16


def test_chance_of_being_overtaken_by_simulation() -> None:
    rng = np.random.default_rng(0)
    for leader, rival, rest in [(3, 1, 6), (5, 0, 9), (4, 4, 3)]:
        shares = rng.beta(rival + 1, leader + 1, size=100_000)
        level = rival + (votes := rng.binomial(rest, shares)) >= leader + rest - votes
        assert overtaking(leader, rival, rest) == pytest.approx(level.mean(), abs=0.005)


@pytest.mark.parametrize("error", [0.01, 0.05, 0.2])
def test_a_statistical_stop_keeps_its_stated_error(error: float) -> None:
    """Problems drawn from the stated prior: another majority than that of all samples at most as often as stated."""
    rng = np.random.default_rng(1)
    changed = saved = 0
    for share in rng.random(3000):
        votes = ["1" if u < share else "2" for u in rng.random(16)]
        count = decided_after(votes, 16, "statistical", error)
        assert count is not None
        saved += 16 - count
        changed += winners(votes[:count]) != winners(votes)
    assert changed / 3000 <= error
    exact = sum(16 - (decided_after(["1"] * 16, 16, "exact") or 0) for _ in range(1))
    assert saved > 0 and exact == 7


def test_a_larger_error_stops_sooner() -> None:
    stops = [decided_after(["1"] * 16, 16, "statistical", error) for error in (0.001, 0.05, 0.3)]
    assert stops == sorted(stops, key=lambda count: -(count or 0))
    assert (stops[-1] or 0) < (stops[0] or 0) <= 9
