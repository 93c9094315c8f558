"""Sending again what failed in passing: how often, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from atts.errors import AnswerError, EngineError, ScoreError

LONGEST_WAIT = 60.0  # seconds; a server that asks for more is asked again all the same
_DOUBTED = 8  # faulty answers of one kind in a row, after which the server is taken to answer so always
_WHEN_DOUBTED = 2  # attempts that a request gets then


@dataclass(slots=True)
class Record:
    """How a server has answered one kind of request of late: `faulty` answers in a row; at first more than enough.

    `answered` says that it has ever answered one rightly.
    """

    faulty: int = _DOUBTED
    answered: bool = False

    @property
    def doubted(self) -> bool:
        """Whether the server may not know the form of an answer: it has not kept to it yet, or no longer does."""
        return self.faulty >= _DOUBTED


@dataclass(slots=True)
class Retry:
    """The attempts of one request.

    What failed in passing is sent `attempts` times in all, after waits that begin with `first_wait` seconds and double,
    with jitter, or that the server asks for. An answer in the wrong form, or with values that cannot be, says nothing
    of how busy the server is: it is asked for again after the first wait each time; one in the wrong form only once,
    unless the server has kept to the form of late. What gets no answer in time is asked again only once too, where the
    server has never answered such a request: it may be one that hangs.
    """

    attempts: int
    first_wait: float
    record: Record
    failed: int = field(default=0, init=False)
    faulty: int = field(default=0, init=False)
    hung: int = field(default=0, init=False)

    def wait(self, error: EngineError, asked: float | None = None, *, hung: bool = False) -> float | None:
        """Seconds until the next attempt after this failure, `asked` being what the server wishes; None: no more.

        `hung` says that no answer came in time.
        """
        self.failed += 1
        self.hung += hung
        if not error.retryable or self.failed >= self.attempts:
            return None
        if hung and not self.record.answered and self.hung >= _WHEN_DOUBTED:
            return None
        if isinstance(error, (AnswerError, ScoreError)):
            self.faulty += 1
            given_up = isinstance(error, AnswerError) and self.record.doubted and self.faulty >= _WHEN_DOUBTED
            return None if given_up else self.first_wait
        if asked is not None:
            return min(asked, LONGEST_WAIT)
        jitter = random.uniform(0, self.first_wait) if self.failed > 1 else 0.0
        return min(LONGEST_WAIT, self.first_wait * 2.0 ** (self.failed - 1) + jitter)
