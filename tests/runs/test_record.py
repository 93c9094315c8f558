"""The record of a run that was interrupted: each session's turns in its own, and no waiting between two of them."""

from __future__ import annotations

from typing import Any

from atts.config.run import resolve
from atts.runs.answered import Answered
from atts.runs.record import Record, by_session
from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.store.journal import Journal
from atts.types import Chain, Finish, Key, Piece, Problem, Role, Span, Status, Turn, Usage

SESSIONS = [{"time": 0.0}, {"time": 5.0}, {"time": 50.0}]


def turn(number: int, ready: float, end: float, sample: int = 0) -> Turn:
    piece = Piece(Role.DRAFT, "abc", (1, 2), Finish.STOP, Usage(9, 0, 2), Span(ready, ready, end))
    return Turn("p", sample, number, piece, {})


def waited(sessions: list[dict[str, Any]], turns: dict[Key, list[Turn]]) -> float:
    """Request-seconds for which the summary says that a barrier held chains back."""
    config = resolve(options={"problems": "own.jsonl", "samples": 2, "strategy": "draft-only"})
    problem = Problem("p", "?", "1")
    record = Record(config, [problem], make_calibrator(CalibratorSettings()), str, Answered("boxed", lambda text: None))
    chain = Chain("p", 0, Status.DONE, "answer", 2, "abcabc", "1", 0.0, 9.0)
    record.take_up(Journal(turns=turns, chains={("p", 0): chain}), sessions, lambda chain: True)
    stages = record.summary(9.0, {})["time"]["stages"]
    return float(sum(stage["barrier"] for stage in stages.values()))


def test_turns_belong_to_the_session_in_which_they_began() -> None:
    turns = {
        ("p", 0): [turn(0, 1, 4), turn(1, 4.9, 7), turn(2, 51, 52)],
        ("p", 1): [turn(0, 5, 6, sample=1), turn(1, 49, 51, sample=1)],
    }
    first, second, third = by_session(turns, SESSIONS)
    assert [(one.sample, one.turn) for one in first] == [(0, 0), (0, 1)]
    assert [(one.sample, one.turn) for one in second] == [(1, 0), (1, 1)]  # at the very moment: the new one
    assert [(one.sample, one.turn) for one in third] == [(0, 2)]


def test_a_run_of_one_session_has_all_turns_in_it() -> None:
    turns = {("p", 0): [turn(0, 1, 4), turn(1, 100, 101)]}
    assert by_session(turns, SESSIONS[:1]) == by_session(turns, []) == [turns["p", 0]]


def test_nobody_waited_while_the_run_was_interrupted() -> None:
    turns = {("p", 0): [turn(0, 0, 1), turn(1, 5, 6)]}
    assert waited(SESSIONS[:1], turns) == 4.0  # one session: four seconds behind a barrier
    assert waited(SESSIONS[:2], turns) == 0.0
