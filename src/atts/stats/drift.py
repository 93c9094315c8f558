"""The drift alarm: do the first chunks of new questions still look like those of earlier ones?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from atts.seeds import derive, uniform
from atts.stats.conformal import ScoreBank, smoothed_p_value, usable
from atts.types import Chunk


class DriftAlarm:
    """Simple Jumper martingale on one turn-0 chunk a question. It warns, it never decides.

    The capital bets against uniform p-values; while questions are exchangeable it is a martingale of mean 1, so it ever
    reaches `limit` with probability at most 1 / limit (Ville). Of each question only one randomly chosen chunk is fed:
    chunks of one question resemble each other, and fed all of them the alarm rings on that alone. Price: one
    observation a question, so a shift needs some dozens of questions to be seen.

    Source: Vovk et al., Retrain or not retrain: conformal test martingales for change-point detection (2021).
    """

    SLOPES = (-1.0, 0.0, 1.0)  # bets f(p) = 1 + slope (p - 1/2), against small, no, and large p-values
    JUMP = 0.01  # the part of the capital that is spread over the bets anew each time

    def __init__(self, seed: int, samples: int, limit: float = 100.0, calibration: Iterable[float] = ()) -> None:
        self.seed = seed
        self.samples = samples
        self.limit = limit
        self.alarmed_at: int | None = None  # how many questions had been seen when it first rang
        self.seen = 0
        self._bank = ScoreBank(calibration)
        self._capital = [1.0 / len(self.SLOPES)] * len(self.SLOPES)

    @property
    def martingale(self) -> float:
        """The capital: 1 at the start, large under drift."""
        return sum(self._capital)

    def observe(self, chunk: Chunk, score: float | None) -> bool:
        """Look at a scored chunk, in order of decision; True at the moment when the alarm rings.

        It rings once and then rests, its capital as it was. Chunks other than the chosen one of each question are
        passed over, so every chunk may be shown.
        """
        if self.alarmed_at is not None or chunk.turn != 0 or not usable(score):
            return False
        if chunk.sample != self.chosen(chunk.problem):
            return False
        p_value = smoothed_p_value(self._bank, score, uniform(self.seed, chunk.problem, "drift"))
        self._bank.add(score)
        self._bet(p_value)
        self.seen += 1
        if self.martingale >= self.limit:
            self.alarmed_at = self.seen
        return self.alarmed_at is not None

    def chosen(self, problem: str) -> int:
        """The sample of a question whose first chunk is looked at."""
        return derive(self.seed, problem, "drift sample") % self.samples

    def state(self) -> dict[str, Any]:
        """Everything that later observations depend on, as plain data."""
        return {
            "seen": self.seen,
            "alarmed_at": self.alarmed_at,
            "capital": list(self._capital),
            "bank": self._bank.values(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.seen, self.alarmed_at = state["seen"], state["alarmed_at"]
        self._capital, self._bank = list(state["capital"]), ScoreBank(state["bank"])

    def _bet(self, p_value: float) -> None:
        spread = self.JUMP * self.martingale / len(self.SLOPES)
        self._capital = [
            ((1 - self.JUMP) * capital + spread) * (1 + slope * (p_value - 0.5))
            for capital, slope in zip(self._capital, self.SLOPES, strict=True)
        ]
