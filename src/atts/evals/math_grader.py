"""Are two mathematical answers equal? Texts and numbers first, then math-verify in processes of its own."""

from __future__ import annotations

import importlib.util
import os
import threading

from atts.errors import InputError
from atts.evals.graders import GRADERS, LONGEST, WORDS, Grader, Numeric, bare, number, plain
from atts.evals.workers import SilenceError, Workers
from atts.types import Problem

SECONDS = 3
MEGABYTES = 2048


class Math(Grader):
    """Equal as mathematics: by math-verify where text and number do not decide. Needs the extra `math`.

    An expression that takes longer than `seconds` or more memory than `megabytes`, or a known answer that is no
    expression, leaves the answer ungraded. An answer beyond 2,000 characters is wrong unless it is the same text.
    `grade` blocks for as long as that takes and may be called from any thread; in an event loop, call it in a thread.
    """

    describe = GRADERS["math"].describe

    def __init__(self, *, workers: int | None = None, seconds: int = SECONDS, megabytes: int = MEGABYTES) -> None:
        """Raises InputError where math-verify is not installed."""
        if importlib.util.find_spec("math_verify") is None:
            raise InputError("grader math needs: pip install 'atts-llm[math]'")
        self._numeric = Numeric()
        self._known: dict[tuple[str, str], bool | None] = {}
        self._lock = threading.Lock()
        self._reasons: dict[tuple[str, str], str] = {}
        # The soft limit works inside; the hard one, a second and a half later, kills what did not hear of it.
        self.workers = Workers(
            "atts.evals.math_worker",
            count=workers or min(4, os.cpu_count() or 1),
            limit=2 * seconds + 1.5,
            arguments=(str(seconds), str(megabytes)),
        )

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Compares two expressions; the same pair is compared once."""
        if answer is None:
            return False
        pair = (problem.answer, answer)
        if pair not in self._known:
            verdict = self._compare(answer, problem)
            with self._lock:
                self._known[pair] = verdict
        return self._known[pair]

    def why(self, answer: str | None, problem: Problem) -> str:
        """The limit that was reached, or what is wrong with the known answer."""
        return self._reasons.get((problem.answer, answer or ""), "")

    def close(self) -> None:
        """End the processes."""
        self.workers.close()

    def _compare(self, answer: str, problem: Problem) -> bool | None:
        gold = problem.answer
        if bare(answer) == bare(gold):
            return True
        if len(answer) > LONGEST:
            return False
        if number(gold) is not None and number(answer) is not None:
            return self._numeric.grade(answer, problem)
        if WORDS.fullmatch(plain(gold)) and len(plain(gold)) > 1:
            return False
        try:
            verdict = self.workers.ask([plain(gold), plain(answer)])
        except SilenceError as silence:
            verdict = silence.reason
        if isinstance(verdict, str):
            self._reasons[gold, answer] = verdict
            return None
        return bool(verdict)
