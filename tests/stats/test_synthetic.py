"""What a generated world does, read off a calibrator that notes what it hears."""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import fmean

import pytest

from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.stats.synthetic import World, simulate
from atts.types import Chunk, Decision

CALM = World(questions=400, samples=2, turns=4, effect=0.0, drift=(0.0,), relief=0.0, end=0.0, end_after_takeover=0.0)


class Noting:
    """Takes over as it is told (every chunk, none, or every second one), and notes what it hears."""

    def __init__(self, rejects: str = "none") -> None:
        self.rejects = rejects
        self.planned: list[int] = []
        self.ends: Counter[tuple[str, int]] = Counter()
        self.open: set[tuple[str, int]] = set()
        self.most_open = 0

    def plan(self, chains: int) -> None:
        self.planned.append(chains)

    def ended(self, problem: str, sample: int) -> None:
        self.ends[problem, sample] += 1
        self.open.discard((problem, sample))

    def decide(self, chunk: Chunk, score: float | None, u: float) -> Decision:
        self.open.add((chunk.problem, chunk.sample))
        self.most_open = max(self.most_open, len(self.open))
        rejected = self.rejects == "all" or (self.rejects == "some" and chunk.sample % 2 == 1)
        return Decision(0, chunk, score, u, 0.5, rejected)


def run(world: World, calibrator: Noting, seed: int = 0, in_flight: int = 64) -> list[Decision]:
    return simulate(world, calibrator, seed, in_flight)  # type: ignore[arg-type]


def mean(found: list[Decision], turn: int | None = None, question: range = range(10**6), sample: int = -1) -> float:
    return fmean(
        one.score or 0.0
        for one in found
        if turn in (None, one.chunk.turn)
        and int(one.chunk.problem) in question
        and (sample == -1 or one.chunk.sample == sample)
    )


def chains(found: list[Decision]) -> dict[tuple[str, int], list[int]]:
    turns = defaultdict(list)
    for one in found:
        turns[one.chunk.problem, one.chunk.sample].append(one.chunk.turn)
    return turns


def test_every_chain_is_announced_takes_its_turns_in_order_and_ends_once() -> None:
    noting = Noting("some")
    turns = chains(run(World(questions=7, samples=3, turns=5), noting))
    every = {(str(question), sample) for question in range(7) for sample in range(3)}
    assert noting.planned == [21]
    assert set(turns) == every and noting.ends == Counter(every)
    assert all(seen == list(range(len(seen))) and len(seen) <= 5 for seen in turns.values())


@pytest.mark.parametrize("in_flight", [1, 4])
def test_no_more_chains_are_open_than_in_flight(in_flight: int) -> None:
    noting = Noting()
    found = run(World(questions=10, samples=4), noting, in_flight=in_flight)
    assert 1 <= noting.most_open <= in_flight
    assert found[0].chunk.turn == 0 and found[0].chunk.problem == "0"


def test_one_chain_after_the_other_in_the_order_of_the_questions() -> None:
    found = run(World(questions=3, samples=2), Noting(), in_flight=1)
    assert list(chains(found)) == [(str(question), sample) for question in range(3) for sample in range(2)]


def test_the_same_seed_is_the_same_stream_and_another_another() -> None:
    first, again, other = (run(CALM, Noting(), seed) for seed in (1, 1, 2))
    assert first == again
    assert [one.score for one in first] != [one.score for one in other]
    assert [one.p_value for one in first] != [one.p_value for one in other]


def test_chains_end_as_often_as_the_world_says() -> None:
    """The chance that a chain ends after its first chunk, with and without a takeover."""
    world = World(questions=2000, samples=2, turns=2, end=0.1, end_after_takeover=0.4)
    turns = chains(run(world, Noting("some")))
    left, taken = ([len(seen) == 1 for (_, sample), seen in turns.items() if sample == which] for which in (0, 1))
    assert fmean(left) == pytest.approx(0.1, abs=0.025)
    assert fmean(taken) == pytest.approx(0.4, abs=0.04)


def test_scores_drift_by_turn_and_stay_at_the_last_drift() -> None:
    world = World(questions=400, samples=2, turns=4, effect=0.0, drift=(1.0, -2.0), end=0.0)
    found = run(world, Noting())
    assert [mean(found, turn) for turn in range(4)] == pytest.approx([1.0, -2.0, -2.0, -2.0], abs=0.15)


def test_a_takeover_relieves_the_next_score_only_where_there_was_one() -> None:
    world = World(
        questions=400, samples=2, turns=3, effect=0.0, drift=(0.0,), relief=3.0, end=0.0, end_after_takeover=0
    )
    found = run(world, Noting("some"))
    assert [mean(found, turn, sample=0) for turn in range(3)] == pytest.approx([0.0, 0.0, 0.0], abs=0.25)
    assert [mean(found, turn, sample=1) for turn in range(3)] == pytest.approx([0.0, -3.0, -3.0], abs=0.25)


def test_a_shift_begins_with_its_question() -> None:
    world = World(questions=40, samples=50, turns=1, effect=0.0, drift=(0.0,), shift_at=20, shift=5.0)
    found = run(world, Noting())
    assert mean(found, question=range(20)) == pytest.approx(0.0, abs=0.2)
    assert mean(found, question=range(20, 21)) == pytest.approx(5.0, abs=0.6)
    assert mean(found, question=range(20, 40)) == pytest.approx(5.0, abs=0.2)


def test_the_samples_of_a_question_share_its_effect() -> None:
    world = World(questions=300, samples=30, turns=1, effect=2.0, drift=(0.0,))
    found = run(world, Noting())
    means = [mean(found, question=range(number, number + 1)) for number in range(300)]
    assert fmean(value**2 for value in means) == pytest.approx(4.0 + 1 / 30, rel=0.25)


def test_scores_are_rounded_where_the_world_says() -> None:
    found = run(World(questions=20, samples=2, turns=2, digits=1), Noting())
    assert all(one.score == round(one.score or 0.0, 1) for one in found)
    assert len({one.score for one in run(World(questions=20, samples=2, turns=2), Noting())}) > 40


def test_a_chain_that_was_taken_over_comes_back_later() -> None:
    """Two chains in flight, one always taken over: it falls behind the other."""
    world = World(questions=1, samples=2, turns=200, end=0.0, end_after_takeover=0.0)
    found = run(world, Noting("some"))
    first_done = max(place for place, one in enumerate(found) if one.chunk.sample == 0)
    behind = sum(one.chunk.sample == 1 for one in found[:first_done])
    assert behind == pytest.approx(200 / 2.5, abs=20)


def test_a_calibrator_decides_in_it() -> None:
    calibrator = make_calibrator(CalibratorSettings("online", rate=0.3, samples=8))
    found = simulate(World(questions=30, samples=8), calibrator, 5)
    assert [one.index for one in found] == list(range(len(found)))
    assert fmean(one.rejected for one in found) == pytest.approx(0.3, abs=0.1)
