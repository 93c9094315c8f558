"""Graders that others wrote: what they do wrong leaves an answer ungraded, with the reason, and ends no run."""

from __future__ import annotations

from collections.abc import Callable

from atts.grading.rules import Grader
from atts.types import Problem


class FromFunction(Grader):
    """A function (answer, problem) -> bool | None as a grader; an absent answer is wrong, as everywhere."""

    def __init__(self, function: Callable[[str, Problem], bool | None]) -> None:
        self._function = function

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """What the function says."""
        return False if answer is None else self._function(answer, problem)


class Foreign(Grader):
    """Asks another grader. Where that raises or gives no verdict, the answer is ungraded and `why` says so."""

    def __init__(self, name: str, inner: Grader) -> None:
        self._name = name
        self._inner = inner
        self._reasons: dict[tuple[str, str | None], str] = {}
        self._complaints: list[str] = []

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """The verdict of the other grader, or None."""
        try:
            verdict = self._inner.grade(answer, problem)
            if verdict not in (True, False, None):
                raise TypeError(f"it gave {verdict!r:.80}, which is neither True, False nor None")
        except (Exception, SystemExit) as error:
            self._failed(answer, problem, f"grader {self._name} failed: {type(error).__name__}: {error}")
            return None
        return None if verdict is None else bool(verdict)

    def key(self, answer: str) -> str:
        """As the other grader has it; where that fails, the answer as it is written."""
        try:
            return str(self._inner.key(answer))
        except Exception:
            return answer

    def why(self, answer: str | None, problem: Problem) -> str:
        """What went wrong, or what the other grader says."""
        return self._reasons.get((problem.id, answer)) or self._inner.why(answer, problem)

    def complaint(self) -> str:
        """Each way of failing, once."""
        return self._complaints.pop() if self._complaints else ""

    def _failed(self, answer: str | None, problem: Problem, reason: str) -> None:
        if reason not in self._reasons.values():
            self._complaints.append(f"{reason} (on {problem.id}: such answers are not graded)")
        self._reasons[problem.id, answer] = reason

    def close(self) -> None:
        """Close the other grader."""
        self._inner.close()
