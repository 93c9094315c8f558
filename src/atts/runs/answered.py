"""How many chains have an answer, and which way of the answer rule found it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from atts.pipeline.stop import AnswerRule
from atts.types import Chain, Status

FEW = 0.1
"""The share of finished chains with an answer below which a run is warned about."""

_LEAST = 8  # finished chains before a share says anything
_SHOWN = 120  # characters of a text's end


class Answered:
    """Counts the chains of one run as they end; `rule` is the name of the rule that finds answers, `answer` itself."""

    def __init__(self, rule: str, answer: AnswerRule) -> None:
        self._rule = rule
        self._way = getattr(answer, "way", lambda text: None)
        self._finished = 0
        self._found = 0
        self._ways: Counter[str] = Counter()
        self._end = ""

    def chain(self, chain: Chain) -> None:
        """Count a chain that has ended; one that failed or was cancelled has not finished."""
        if chain.status is not Status.DONE:
            return
        self._finished += 1
        if chain.answer is None:
            self._end = chain.text[-_SHOWN:]
            return
        self._found += 1
        if (way := self._way(chain.text)) is not None:
            self._ways[way] += 1

    def figures(self) -> dict[str, Any]:
        """`rule`, chains that have `finished`, answers `found`, and how many by which of the rule's `ways`."""
        return {"rule": self._rule, "finished": self._finished, "found": self._found, "ways": dict(self._ways)}

    def warning(self) -> str:
        """What to tell a person where hardly any chain has an answer; empty otherwise."""
        if self._finished < _LEAST or self._found >= FEW * self._finished:
            return ""
        return (
            f"{self._found} of {self._finished} finished chains have an answer that rule {self._rule} finds; "
            f"one text ends: {' '.join(self._end.split())!r} (--answer chooses another rule: atts ls rules)"
        )
