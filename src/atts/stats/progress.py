"""How far a run is: chains open, ended and not begun, and how many decisions are still to come."""

from __future__ import annotations

from itertools import accumulate
from math import inf
from operator import mul
from typing import Any

from atts.types import Chunk

LEAST = 0.5  # what an open chain is expected to take at least
FARTHEST = 10_000
"""Turns that are told apart; a record may say anything, and later ones count as this one."""


class Progress:
    """Counts decisions by turn and chains by where they stand; what it says does not depend on the order of arrival.

    Memory grows with the chains that are open. A chain's length is counted in turns, up to the last one decided on.
    """

    def __init__(self) -> None:
        self._wanted: int | None = None  # chains of the run that take decisions; None: no end is known
        self._open: dict[tuple[str, int], int] = {}  # chain -> turns so far
        self._at: list[int] = [0]  # open chains by the number of their turns
        self._reached: list[int] = []  # chains that were decided on at each turn
        self._left: list[int] = []  # chains whose last decision was at that turn
        self._staying: list[float] = []  # of the chains at the turn before, the share that is at each turn
        self._recorded: list[int] = []  # scores recorded before the run, by turn
        self._ended = 0
        self._ended_turns = 0

    def plan(self, chains: int) -> None:
        """The run has so many chains, ended ones included."""
        self._wanted = chains

    def recorded(self, turn: int) -> None:
        """A chain of an earlier record was decided on at that turn: what is known of how many go on."""
        turn = min(turn, FARTHEST)
        self._recorded += [0] * (turn + 1 - len(self._recorded))
        self._recorded[turn] += 1

    def decided(self, chunk: Chunk) -> None:
        """A chunk was decided on."""
        key, turn = (chunk.problem, chunk.sample), min(chunk.turn, FARTHEST)
        while len(self._reached) <= turn:
            self._reached.append(0)
            self._left.append(0)
            self._at.append(0)
            self._staying.append(self._stay(len(self._staying)))
        self._reached[turn] += 1
        self._renew(turn)
        before = self._open.get(key)
        if before is not None:
            self._at[before] -= 1
        self._open[key] = turn + 1
        self._at[turn + 1] += 1

    def end(self, problem: str, sample: int) -> None:
        """A chain is over. One that was never decided on leaves the count, and says nothing of the length."""
        turns = self._open.pop((problem, sample), 0)
        if turns:
            self._at[turns] -= 1
            self._left[turns - 1] += 1
            self._renew(turns)
            self._ended += 1
            self._ended_turns += turns
        elif self._wanted is not None:
            self._wanted -= 1

    def to_come(self, enough: float = inf) -> float:
        """Decisions still to come, estimated; infinite where no end is known. From `enough` on it may stop counting.

        Chains not begun times the mean length of those that ended (before any has: one more than the longest so far),
        and what each open chain lacks of that mean.
        """
        if self._wanted is None:
            return inf
        length = self._ended_turns / self._ended if self._ended else len(self._reached) + 1.0
        fresh = max(0, self._wanted - self._ended - len(self._open)) * length
        if fresh >= enough:
            return fresh
        return fresh + sum([n * max(LEAST, length - turns) for turns, n in enumerate(self._at) if n])

    def shares(self, turns: int, last: int) -> list[float]:
        """The share of chains that reach each of the first `turns` turns, 1 for the first one.

        Product-limit estimate (Kaplan & Meier 1958): open chains count for the turns that they were seen at. Turn
        `last` stands for all later ones too, and weighs as all of them.
        """
        turns = min(turns, FARTHEST + 1)
        known = max(len(self._reached), len(self._recorded))
        staying = [self._stay(turn) for turn in range(known)] if self._recorded else self._staying
        shares = list(accumulate(staying[:turns], mul)) or [1.0]
        if len(shares) < turns:  # the chunk that asks is the first one there
            left = self._left[len(shares) - 1] if len(shares) == len(self._left) else 0
            shares += [shares[-1] / (1 + left)] * (turns - len(shares))
        if turns > last and len(self._reached) > turns and self._reached[last]:
            shares[last] *= sum(self._reached[last:]) / self._reached[last]
        return shares

    def _renew(self, turn: int) -> None:
        if turn < len(self._reached):
            self._staying[turn] = self._stay(turn)

    def _stay(self, turn: int) -> float:
        """Of the chains known to have been decided on at the turn before, the share that was at this one."""
        if turn == 0:
            return 1.0
        on = self._reached[turn] if turn < len(self._reached) else 0
        left = self._left[turn - 1] if turn <= len(self._left) else 0
        if turn < len(self._recorded):  # behind its last turn, a record says nothing
            on += self._recorded[turn]
            left += max(0, self._recorded[turn - 1] - self._recorded[turn])
        return max(1, on) / (max(1, on) + left)

    def state(self) -> dict[str, Any]:
        """Counts and open chains, as plain data."""
        return {
            "wanted": self._wanted,
            "open": [[problem, sample, turns] for (problem, sample), turns in sorted(self._open.items())],
            "recorded": list(self._recorded),
            "reached": list(self._reached),
            "left": list(self._left),
            "ended": [self._ended, self._ended_turns],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._wanted = state["wanted"]
        self._open = {(problem, sample): turns for problem, sample, turns in state["open"]}
        self._recorded = list(state["recorded"])
        self._reached, self._left = list(state["reached"]), list(state["left"])
        self._ended, self._ended_turns = state["ended"]
        self._staying = [self._stay(turn) for turn in range(len(self._reached))]
        self._at = [0] * (len(self._reached) + 1)
        for turns in self._open.values():
            self._at[turns] += 1
