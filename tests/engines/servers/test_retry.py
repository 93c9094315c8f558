"""How often a request is sent, and after how long: by what went wrong, and by what the server asks for and did."""

from __future__ import annotations

from itertools import takewhile

import pytest

from atts.engines.servers.retry import LONGEST_WAIT, Record, Retry
from atts.errors import AnswerError, EngineError, MissingScoreError, ScoreError

PASSING = EngineError("busy", retryable=True)


def waits(error: EngineError, record: Record | None = None, asked: float | None = None) -> list[float]:
    """The waits of a request that fails in the same way each time."""
    retry = Retry(8, 0.5, record or Record())
    found = takewhile(lambda wait: wait is not None, (retry.wait(error, asked) for _ in range(100)))
    return [wait for wait in found if wait is not None]


def test_waits_begin_short_and_double_with_jitter() -> None:
    found = waits(PASSING)
    assert len(found) == 7 and found[0] == 0.5
    for number, wait in enumerate(found[1:], start=1):
        assert 0.5 * 2**number <= wait <= 0.5 * 2**number + 0.5
    assert waits(PASSING)[1:] != found[1:]


def test_no_wait_is_longer_than_a_minute_whatever_the_server_asks_for() -> None:
    assert set(waits(PASSING, asked=3600.0)) == {LONGEST_WAIT}
    assert set(waits(PASSING, asked=0.0)) == {0.0}
    assert max(waits(EngineError("", retryable=True))) <= LONGEST_WAIT
    long = Retry(30, 0.5, Record())
    assert max(long.wait(PASSING) or 0.0 for _ in range(20)) == LONGEST_WAIT


def test_what_is_final_is_not_sent_again() -> None:
    assert waits(EngineError("no")) == []
    assert waits(ScoreError("no")) == []


@pytest.mark.parametrize("kind", [AnswerError, MissingScoreError])
def test_an_answer_in_the_wrong_form_is_asked_for_once_more(kind: type[EngineError]) -> None:
    assert waits(kind("no key", retryable=True)) == [0.5]


def test_a_server_that_has_kept_to_the_form_may_err_more_often_until_it_does_so_always() -> None:
    wrong = AnswerError("no key", retryable=True)
    assert waits(wrong, Record(faulty=0)) == [0.5] * 7
    assert waits(wrong, Record(faulty=7)) == [0.5] * 7
    assert waits(wrong, Record(faulty=8)) == [0.5]


def test_a_value_that_cannot_be_is_no_wrong_form() -> None:
    assert waits(ScoreError("NaN", retryable=True)) == [0.5] * 7
