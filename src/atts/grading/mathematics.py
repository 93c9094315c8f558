"""Are two mathematical answers equal? Texts and numbers first, then math-verify in processes of its own."""

from __future__ import annotations

import importlib.util
import os
import threading

from atts.errors import needs_extra
from atts.grading.quantities import LONGEST, bare, is_words, number, parted, plain
from atts.grading.rules import Grader, Numeric
from atts.grading.units import agree
from atts.grading.workers import SilenceError, Workers
from atts.types import Problem

SECONDS = 3
MEGABYTES = 2048


class Math(Grader):
    """Equal as mathematics: by math-verify where text and number do not decide. Needs the extra `math`.

    An expression that takes longer than `seconds` or more memory than `megabytes`, or a known answer that is no
    expression, leaves the answer ungraded. An answer beyond 2,000 characters is wrong unless it is the same text.
    `grade` blocks for as long as that takes and may be called from any thread; in an event loop, call it in a thread.
    """

    describe = "equal as mathematics (math-verify, in processes with a time limit)"

    def __init__(self, *, workers: int | None = None, seconds: int = SECONDS, megabytes: int = MEGABYTES) -> None:
        """Raises InputError where math-verify is not installed."""
        if importlib.util.find_spec("math_verify") is None:
            raise needs_extra("grader math needs math-verify", "math")
        self._numeric = Numeric()
        self._known: dict[tuple[str, str], bool | None] = {}
        self._lock = threading.Lock()
        self._reasons: dict[tuple[str, str], str] = {}
        # The soft limit works inside; the hard one, a second and a half later, kills what did not hear of it.
        self.workers = Workers(
            "atts.grading.math_worker",
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
        if is_words(gold):
            return False
        verdict: bool | str = False
        for known, given in _readings(gold, answer):
            verdict = self._ask(known, given)
            if verdict is not False:
                break
        if isinstance(verdict, str):
            self._reasons[gold, answer] = verdict
            return None
        return verdict

    def _ask(self, known: str, given: str) -> bool | str:
        """What a worker says of two expressions: equal, not equal, or why it cannot tell."""
        try:
            verdict = self.workers.ask([known, given])
        except SilenceError as silence:
            return silence.reason
        return verdict if isinstance(verdict, str) else bool(verdict)


def _readings(gold: str, answer: str) -> list[tuple[str, str]]:
    """The two expressions as they stand, and without their units, which a parser would take for products of letters."""
    (known, unit), (given, other) = parted(gold), parted(answer)
    whole = (plain(gold), plain(answer))
    return list(dict.fromkeys([whole, (known, given)])) if agree(unit, other) else [whole]
