from __future__ import annotations

import json
import random

import pytest

from atts.stats.drift import DriftAlarm
from atts.types import Chunk


def stream(alarm: DriftAlarm, questions: int, shift_at: int | None, seed: int, effect: float = 1.2) -> int | None:
    """Feed every turn-0 chunk of questions with effects, 16 each; the question at which the alarm rang."""
    rng = random.Random(seed)
    for question in range(questions):
        mean = rng.gauss(0, effect) + (3.0 if shift_at is not None and question >= shift_at else 0.0)
        for sample in range(16):
            if alarm.observe(Chunk(f"{seed}/{question}", sample, 0), mean + rng.gauss(0, 1)):
                return question
    return None


def test_false_alarms_are_as_rare_as_promised() -> None:
    """At most 1 in 10 with a limit of 10; binomial noise of 400 streams is 0.015."""
    rung = sum(stream(DriftAlarm(seed, 16, limit=10.0), 100, None, seed) is not None for seed in range(400))
    assert rung / 400 <= 0.1 + 3 * 0.015


def test_a_shift_is_seen_within_some_dozens_of_questions() -> None:
    found = [stream(DriftAlarm(seed, 16), 150, 60, seed) for seed in range(20)]
    seen = [question for question in found if question is not None and question >= 60]
    assert len(seen) >= 18
    assert sorted(seen)[len(seen) // 2] <= 95


def test_only_the_chosen_first_chunk_of_a_question_is_looked_at() -> None:
    alarm = DriftAlarm(7, 16)
    chosen = alarm.chosen("q")
    for sample in range(16):
        alarm.observe(Chunk("q", sample, 1), 1.0)
        alarm.observe(Chunk("q", sample, 0), None)
        if sample != chosen:
            alarm.observe(Chunk("q", sample, 0), 1.0)
    assert alarm.seen == 0
    assert alarm.martingale == pytest.approx(1.0)
    alarm.observe(Chunk("q", chosen, 0), 1.0)
    assert alarm.seen == 1


def test_it_rings_once_and_rests() -> None:
    alarm = DriftAlarm(0, 1)
    rings = [alarm.observe(Chunk(str(i), 0, 0), float(i)) for i in range(300)]
    assert sum(rings) == 1
    assert alarm.alarmed_at == rings.index(True) + 1
    assert alarm.seen == alarm.alarmed_at


def test_a_saved_alarm_goes_on_identically() -> None:
    alarm = DriftAlarm(3, 1)
    for i in range(20):
        alarm.observe(Chunk(str(i), 0, 0), float(i * 7 % 5))
    again = DriftAlarm(3, 1)
    again.restore(json.loads(json.dumps(alarm.state())))
    for i in range(20, 120):
        assert alarm.observe(Chunk(str(i), 0, 0), float(i)) == again.observe(Chunk(str(i), 0, 0), float(i))
    assert alarm.state() == again.state()


def test_against_online_cp() -> None:
    martingale = pytest.importorskip("online_cp.martingale")
    theirs = martingale.SimpleJumper(J=DriftAlarm.JUMP, E=list(DriftAlarm.SLOPES))
    alarm = DriftAlarm(0, 1, limit=1e12)
    rng = random.Random(1)
    for _ in range(200):
        p_value = rng.random() ** 1.2
        theirs.update(p_value)
        alarm._bet(p_value)
        assert alarm.martingale == pytest.approx(float(theirs.M))


def test_three_bets_by_hand() -> None:
    """A hundredth of the capital is spread anew before each bet; without it a bet that lost never comes back."""
    alarm, capital = DriftAlarm(0, 1), [1 / 3, 1 / 3, 1 / 3]
    for p_value in (0.9, 0.8, 0.05):
        alarm._bet(p_value)
        total = sum(capital)
        capital = [
            (0.99 * part + 0.01 * total / 3) * (1 + slope * (p_value - 0.5))
            for part, slope in zip(capital, (-1, 0, 1), strict=True)
        ]
    assert alarm.state()["capital"] == pytest.approx(capital, rel=1e-12)


def test_a_bet_that_has_lost_for_long_comes_back() -> None:
    """Large p-values for 400 questions, small ones then: the bet against small ones still has capital to win with."""
    alarm = DriftAlarm(0, 1, limit=1e300)
    for _ in range(400):
        alarm._bet(0.95)
    before = alarm.martingale
    for _ in range(100):
        alarm._bet(0.05)
    assert alarm.martingale > 1e10 * before


def test_first_chunks_are_ranked_among_recorded_ones() -> None:
    alarm = DriftAlarm(0, 1, calibration=[float(n) for n in range(99)])
    alarm.observe(Chunk("q", 0, 0), 1000.0)
    [small, _, large] = alarm.state()["capital"]
    assert small > large  # stranger than every recorded one: p is small
    assert len(alarm.state()["bank"]) == 100
