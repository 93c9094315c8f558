"""Rank against every score so far."""

from __future__ import annotations

from atts.stats.calibrators.base import BankedCalibrator
from atts.types import Decision


class Online(BankedCalibrator):
    """Rank against every score so far, of the same turn (or of all turns), with a fixed threshold.

    Guarantee: over scores exchangeable within a category, a chunk is taken over with probability `rate` exactly, ties
    included. Needs: that exchangeability, which fails past turn 0, because a decision changes what comes later and
    who arrives when; no calibration set. Price: under drift and feedback the rate is off and nothing brings it back;
    `window` forgets old scores, and makes p-values coarser.
    """

    def learn(self, decision: Decision) -> None:
        """Bank the score."""
        if decision.score is not None:
            self.bank(decision.chunk, decision.score)
