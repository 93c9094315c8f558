"""Rank within rounds that everyone waits for."""

from __future__ import annotations

from typing import Any

from atts.seeds import uniform
from atts.stats.calibrators.base import RateCalibrator
from atts.stats.conformal import kept, usable
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk, Decision


class Ranked(RateCalibrator):
    """Rank among the samples of the same problem at the same turn, once all are known: strategy lockstep's own.

    Guarantee: of n scored samples exactly rate · n are taken over, the strangest ones; a fraction is rounded up or down
    by a number derived from problem and turn, so that it is right on average. Needs: every score of the round before
    its first decision (`announce`), that is, a barrier. Price: the time that everyone waits for the slowest.
    """

    def __init__(self, settings: CalibratorSettings) -> None:
        super().__init__(settings)
        self._rounds: dict[str, dict[int, dict[int, float]]] = {}  # problem -> turn -> sample -> score

    def announce(self, chunk: Chunk, score: float | None) -> None:
        """Rank the score with the others of its round."""
        if score is not None and usable(score):
            self._rounds.setdefault(chunk.problem, {}).setdefault(chunk.turn, {})[chunk.sample] = kept(score)

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """(rank − v) / n: the strangest of n samples has rank 1, equal scores rank by sample, v is the round's own."""
        self.announce(chunk, score)
        scores = self._rounds[chunk.problem][chunk.turn]
        rank = sum((other, -sample) >= (score, -chunk.sample) for sample, other in scores.items())
        return (rank - uniform(0, chunk.problem, chunk.turn, "round")) / len(scores)

    def learn(self, decision: Decision) -> None:
        """Know the score, so that a resumed round is ranked as a whole."""
        self.announce(decision.chunk, decision.score)

    def forget(self, problem: str) -> None:
        """Its rounds are over."""
        super().forget(problem)
        self._rounds.pop(problem, None)

    def _state(self) -> dict[str, Any]:
        rounds = [
            [problem, turn, [list(pair) for pair in sorted(scores.items())]]
            for problem, turns in sorted(self._rounds.items())
            for turn, scores in sorted(turns.items())
        ]
        return {"rounds": rounds}

    def _restore(self, state: dict[str, Any]) -> None:
        self._rounds = {}
        for problem, turn, scores in state["rounds"]:
            self._rounds.setdefault(problem, {})[turn] = dict(scores)
