"""How many chains have an answer, and which way of the answer rule found it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from atts.pipeline.stop import FULL, AnswerRule
from atts.types import Chain, Finish, Status

FEW = 0.1
"""The share of finished chains with an answer below which a run is warned about."""

_LEAST = 8  # finished chains before a share says anything
_SHOWN = 120  # characters of a text's end
_CUT = frozenset({FULL, Finish.FILTER.value, Finish.REPETITION.value, Finish.TOOL.value})
"""Reasons of chains whose models might have written on: their missing answers are not the models' own."""


class Answered:
    """Counts the chains of one run as they end; `rule` is the name of the rule that finds answers, `answer` itself."""

    def __init__(self, rule: str, answer: AnswerRule) -> None:
        self._rule = rule
        self._way = getattr(answer, "way", lambda text: None)
        self._finished = 0
        self._found = 0
        self._ways: Counter[str] = Counter()
        self._cut: Counter[str] = Counter()
        self._end = ""

    def chain(self, chain: Chain) -> None:
        """Count a chain that has ended; one that failed or was cancelled has not finished."""
        if chain.status is not Status.DONE:
            return
        self._finished += 1
        if chain.answer is None:
            if chain.reason in _CUT:
                self._cut[chain.reason] += 1
            else:
                self._end = chain.text[-_SHOWN:]
            return
        self._found += 1
        if (way := self._way(chain.text)) is not None:
            self._ways[way] += 1

    def figures(self) -> dict[str, Any]:
        """`rule`, chains that have `finished`, answers `found`, and how many by which of the rule's `ways`."""
        return {"rule": self._rule, "finished": self._finished, "found": self._found, "ways": dict(self._ways)}

    def warnings(self) -> Iterator[str]:
        """What to tell a person: chains that were cut short, and where hardly any other has an answer."""
        cut = self._cut.total()
        if cut:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self._cut.most_common())
            yield (
                f"{cut} of {self._finished} finished chains were cut short before they had an answer, and count as"
                f" wrong: {reasons}"
            )
        whole = self._finished - cut
        if whole >= _LEAST and self._found < FEW * whole:
            yield (
                f"{self._found} of {self._finished} finished chains have an answer that rule {self._rule} finds; "
                f"one text ends: {' '.join(self._end.split())!r} (--answer chooses another rule: atts ls rules)"
            )
