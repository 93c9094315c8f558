"""Conformal p-values: sorted banks of past scores, kept by category.

Scores are nonconformity scores (large = strange). Source of the formulas: Vovk, Gammerman & Shafer, Algorithmic
Learning in a Random World (2005; smoothed p-values, Mondrian categories).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Sequence
from math import isfinite, isqrt
from typing import Any, Literal, TypeGuard

import numpy as np

from atts.stats.arrays import Floats
from atts.types import Chunk

BankBy = Literal["all", "turn", "question"]

MINIMUM = 20  # a category with fewer scores than this borrows another one's bank


KEPT_DIGITS = 9


def kept(score: float) -> float:
    """The score as it is ranked, banked and written down: to nine significant digits, so that all three are equal."""
    return float(f"{score:.{KEPT_DIGITS - 1}e}")


def usable(score: float | None) -> TypeGuard[float]:
    """Whether there is a score at all: None, NaN and infinities are not scores."""
    return score is not None and isfinite(score)


KEPT = 100_000
"""Scores that a bank holds where nobody says otherwise: the latest. More would make no p-value finer than 0.001 %, and
what has come longest ago resembles what comes now least."""


class ScoreBank:
    """A multiset of scores that answers "how many are greater, how many are equal" in O(log n).

    One large sorted array and two small sorted lists, of what came and what left since the array was last rebuilt.
    A rebuild copies n machine words and is due every 4 sqrt(n) changes, so a change costs O(sqrt(n)) words of copying:
    a few microseconds at a million scores. Only the latest `window` scores are kept.
    """

    __slots__ = ("_added", "_arrivals", "_limit", "_removed", "_sorted", "window")

    def __init__(self, scores: Iterable[float] = (), window: int | None = None) -> None:
        self.window = KEPT if window is None else window
        self._fill(list(scores))

    def __len__(self) -> int:
        return len(self._sorted) + len(self._added) - len(self._removed)

    def add(self, score: float) -> None:
        """Bank a finite score; if the window is full, the oldest one leaves."""
        insort(self._added, score)
        self._arrivals.append(score)
        if len(self._arrivals) > self.window:
            insort(self._removed, self._arrivals.popleft())
        if len(self._added) > self._limit:
            self._rebuild()

    def counts(self, score: float) -> tuple[int, int]:
        """How many banked scores are greater than `score`, and how many equal it."""
        greater, equal = _counts(self._sorted, score)
        if self._added:
            more, ties = _counts(self._added, score)
            greater, equal = greater + more, equal + ties
        if self._removed:
            fewer, ties = _counts(self._removed, score)
            greater, equal = greater - fewer, equal - ties
        return greater, equal

    def values(self) -> list[float]:
        """The scores in order of arrival. `ScoreBank(values, window)` is an equal bank."""
        return list(self._arrivals)

    def _fill(self, scores: list[float]) -> None:
        kept = scores[max(0, len(scores) - self.window) :]
        self._arrivals = deque(kept)
        self._store(np.sort(np.asarray(kept, dtype=np.float64)))

    def _store(self, scores: Floats) -> None:
        self._sorted = array("d", scores.tobytes())  # indexing it is several times faster than indexing numpy
        self._added: list[float] = []
        self._removed: list[float] = []
        self._limit = max(64, 4 * isqrt(len(scores)))

    def _rebuild(self) -> None:
        merged = np.array(self._sorted, dtype=np.float64)
        merged = np.insert(merged, np.searchsorted(merged, self._added), self._added)
        if self._removed:
            left = np.asarray(self._removed)
            # The k-th of several equal scores that left is the k-th of the equal ones in the array.
            rank = np.arange(len(left)) - np.searchsorted(left, left)
            merged = np.delete(merged, np.searchsorted(merged, left) + rank)
        self._store(merged)


def _counts(ordered: array[float] | list[float], score: float) -> tuple[int, int]:
    size, left = len(ordered), bisect_left(ordered, score)
    if left == size or ordered[left] != score:
        return size - left, 0
    right = bisect_right(ordered, score, lo=left)
    return size - right, right - left


def smoothed_p_value(bank: ScoreBank, score: float, u: float) -> float:
    """Upper-tail p-value in (0, 1]: `(#{a_i > a} + u (#{a_i = a} + 1)) / (n + 1)`; `u` in (0, 1) breaks ties.

    Exactly uniform when `score` and the bank are exchangeable, ties or not (Vovk et al. 2005, section 2.2).
    An empty bank gives `u`.
    """
    greater, equal = bank.counts(score)
    return (greater + u * (equal + 1)) / (len(bank) + 1)


def reference_p_value(bank: ScoreBank, score: float) -> float:
    """The share `#{a_i >= a} / n` of the reference implementation, which leaves out the chunk itself; 1 if empty.

    It can be 0 and is not valid in small banks: with n = 16 and rate 0.40 it rejects 7/17 = 0.412.
    """
    greater, equal = bank.counts(score)
    return (greater + equal) / len(bank) if len(bank) else 1.0


class MondrianBanks:
    """Score banks by category: the turn of a chunk, its question, or none (`by="all"`).

    Last chunks too short to compare with whole ones are a category of their own. A category with fewer scores than
    `minimum` borrows: a turn from the nearest earlier turn that has enough, anything else from the bank of all scores.
    """

    def __init__(self, by: BankBy = "turn", window: int | None = None, minimum: int = MINIMUM) -> None:
        self.by = by
        self.window = window
        self.minimum = minimum
        self._all = ScoreBank(window=window)
        self._banks: dict[str, ScoreBank] = {}
        self._turns: list[int] = []  # those that have a bank, in order

    def bank(self, chunk: Chunk) -> ScoreBank:
        """The bank that a chunk is ranked in."""
        if self.by == "all":
            return self._all
        own = self._banks.get(self._category(chunk))
        if own is not None and len(own) >= self.minimum:
            return own
        return self._lender(chunk) if self.by == "turn" and not chunk.short else self._all

    def add(self, chunk: Chunk, score: float) -> None:
        """Bank a finite score in its category and among all."""
        self._all.add(score)
        if self.by != "all":
            category = self._category(chunk)
            if category not in self._banks:
                self._banks[category] = ScoreBank(window=self.window)
                if self.by == "turn" and not chunk.short:
                    insort(self._turns, chunk.turn)
            self._banks[category].add(score)

    def state(self) -> dict[str, Any]:
        """Every banked score, as plain data."""
        return {"all": self._all.values(), "banks": {key: bank.values() for key, bank in self._banks.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._all = ScoreBank(state["all"], self.window)
        self._banks = {key: ScoreBank(values, self.window) for key, values in state["banks"].items()}
        named = (category.partition(":") for category in self._banks)
        self._turns = sorted(int(turn) for kind, _, turn in named if kind == "turn")

    def _category(self, chunk: Chunk) -> str:
        if self.by == "question":
            return f"question:{chunk.problem}"
        return "short" if chunk.short else f"turn:{chunk.turn}"

    def _lender(self, chunk: Chunk) -> ScoreBank:
        earlier = bisect_left(self._turns, chunk.turn)
        banks = (self._banks[f"turn:{turn}"] for turn in reversed(self._turns[:earlier]))
        return next((bank for bank in banks if len(bank) >= self.minimum), self._all)


class TurnBanks:
    """Scores by turn, ranked as a mixture of the turns.

    The mixture gives every turn a weight of the caller's, which its scores share equally, the chunk itself included.
    Turns from `LAST` on share a bank. Of each turn the latest `window` scores are kept, `MOST` at most.

    Plain sorted lists: a decision looks into all of them, and at a hundred thousand scores that costs less than the
    two layers of a `ScoreBank` in each.
    """

    LAST = 31
    MOST = 1 << 16

    def __init__(self, window: int | None = None) -> None:
        self.window = min(window or self.MOST, self.MOST)
        self._sorted: list[list[float]] = []
        self._arrivals: list[deque[float]] = []

    def __len__(self) -> int:
        """Banks that there are, empty ones before the last included."""
        return len(self._sorted)

    def add(self, turn: int, score: float) -> None:
        """Bank a finite score; the oldest one of a full bank leaves."""
        turn = min(turn, self.LAST)
        while len(self._sorted) <= turn:
            self._sorted.append([])
            self._arrivals.append(deque())
        ordered, arrivals = self._sorted[turn], self._arrivals[turn]
        insort(ordered, score)
        arrivals.append(score)
        if len(arrivals) > self.window:
            del ordered[bisect_left(ordered, arrivals.popleft())]

    def p_value(self, turn: int, score: float, u: float, weights: Sequence[float]) -> float:
        """Upper-tail p-value in (0, 1] of a chunk of `turn`; one weight a turn, for every bank and for the chunk.

        With all weight on its turn it is the smoothed p-value of that turn; without any score, u.
        """
        turn = min(turn, self.LAST)
        total = own = weights[turn]
        above, untied = 0.0, 1 - u
        for place, ordered in enumerate(self._sorted):
            if size := len(ordered):
                left = bisect_left(ordered, score)
                count: float = size - left
                if count and ordered[left] == score:
                    count -= untied * (bisect_right(ordered, score, left) - left)
                weight = weights[place]
                if place == turn:
                    own = weight / (size + 1)
                    above += own * count
                else:
                    above += weight * count / size
                    total += weight
        return min(1.0, (above + u * own) / total) if total else u

    def state(self) -> list[list[float]]:
        """The scores of each bank in order of arrival, as plain data."""
        return [list(arrivals) for arrivals in self._arrivals]

    def restore(self, state: Sequence[Sequence[float]]) -> None:
        """Go on from a saved state."""
        self._sorted = [sorted(values) for values in state]
        self._arrivals = [deque(values) for values in state]
