"""A threshold on the score itself: the yardstick."""

from __future__ import annotations

from collections.abc import Iterable
from math import atan, pi

from atts.errors import InputError
from atts.stats.calibrators.base import RateCalibrator
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk


class Fixed(RateCalibrator):
    """Take over what scores `threshold` or more, whatever rate comes of it: the yardstick that others are held against.

    Guarantee: equal scores are decided equally; no rate is promised, and there is no certificate. Needs: a threshold in
    units of the score, which nobody knows before the run. Price: the rate is what the scores make of it.

    What stands in the place of the p-value is 1/2 - arctan(score - threshold) / pi, at most 1/2 where it is taken over.
    """

    has = (*RateCalibrator.has, "threshold")
    promises = False

    @classmethod
    def check(cls, settings: CalibratorSettings, calibrated: bool) -> None:
        """There is no threshold that suits every score."""
        if settings.threshold is None:
            raise InputError(
                "calibrator fixed needs a threshold: the score from which chunks are taken over (threshold)"
            )

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """Below 1/2 as far as the score is above the threshold."""
        return max(1e-300, 0.5 - atan(score - (self.settings.threshold or 0.0)) / pi)

    def threshold(self, groups: Iterable[str]) -> float:
        """Where the score is the threshold."""
        return 0.5

    def certificate(self) -> dict[str, dict[str, float]]:
        """None: nothing was promised."""
        return {}
