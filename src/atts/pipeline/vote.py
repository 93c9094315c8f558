"""When the majority among the samples of a problem is decided, so that the rest need not be made."""

from __future__ import annotations

from collections import Counter
from math import ceil, exp, lgamma
from typing import Literal

VoteStop = Literal["off", "exact", "statistical"]


class Vote:
    """Counts the answers to one problem as its samples end, and says when the outcome is decided.

    `exact`: the leading answer is ahead by more than the samples that are still to come, so that it wins, alone,
    whatever they say; the majority is provably the one of all samples, under any rule for ties. `statistical`: given
    what was seen, the chance that the rest would leave it without that lead is at most `error`. That chance is
    Bayesian: a sample of the rest votes for the leader rather than for a rival with a probability whose prior is
    uniform, independently of when it ends; the rivals' chances, a new answer's among them, are added up.
    """

    def __init__(self, samples: int, stop: VoteStop = "exact", error: float = 0.05) -> None:
        self._samples = samples
        self._stop = stop
        self._error = error
        self._votes: Counter[str] = Counter()
        self._ended = 0

    def add(self, answer: str | None) -> bool:
        """A sample has ended with this answer, or with none and so without a vote. Is the problem decided now?"""
        self._ended += 1
        if answer is not None:
            self._votes[answer] += 1
        return self.decided()

    def decided(self) -> bool:
        """Whether what is still to come need not be waited for."""
        rest = self._samples - self._ended
        if rest <= 0:
            return True
        if self._stop == "off":
            return False
        (_, most), *others = self._votes.most_common() or [("", 0)]
        rivals = [votes for _, votes in others] + [0]  # the last one is an answer not seen so far
        if most > rivals[0] + rest:
            return True
        return self._stop == "statistical" and sum(overtaking(most, votes, rest) for votes in rivals) <= self._error


def overtaking(leader: int, rival: int, rest: int) -> float:
    """The chance that a rival draws level with the leader or passes it, if all of the rest vote for one of the two.

    A vote goes to the rival with a probability that is Beta(rival + 1, leader + 1) after what was seen, so that the
    rest's votes for it are beta-binomial.
    """
    least = ceil((leader - rival + rest) / 2)
    return sum(_beta_binomial(votes, rest, rival + 1, leader + 1) for votes in range(max(0, least), rest + 1))


def _beta_binomial(successes: int, n: int, a: float, b: float) -> float:
    ways = lgamma(n + 1) - lgamma(successes + 1) - lgamma(n - successes + 1)
    return exp(ways + _log_beta(successes + a, n - successes + b) - _log_beta(a, b))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
