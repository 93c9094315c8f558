"""The control: takeovers by chance."""

from __future__ import annotations

from atts.stats.calibrators.base import RateCalibrator
from atts.types import Chunk


class Coin(RateCalibrator):
    """Bernoulli(rate), blind to the score: the control that every other calibrator is to be read beside.

    Guarantee: every chunk, scored or not, is taken over with probability `rate`, independently of all others, whatever
    the stream does.
    Needs: nothing. Price: takeovers are spent at random (selectivity 0), and the realised rate has binomial noise.
    """

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """The draw itself, which is uniform."""
        return u

    def unscored(self, u: float) -> float:
        """The draw as well: a chunk that could not be scored is like any other."""
        return u
