"""Rank against a fixed calibration set."""

from __future__ import annotations

from atts.errors import InputError
from atts.stats.calibrators.base import BankedCalibrator
from atts.stats.conformal import BankBy, reference_p_value
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk


class Static(BankedCalibrator):
    """Rank against a fixed calibration set, as the paper does; by question with `scope="question"`.

    Guarantee: a chunk exchangeable with the calibration scores is taken over with probability `rate` exactly. Needs:
    a calibration file, and that exchangeability, which chunks after turn 0 and other questions do not have. Price:
    nothing corrects the rate: calibrated on first chunks at 0.40, recorded runs realise 0.30 at turn 1 and 0.61 at
    turn 14. With `compat="reference"` the p-value is the reference's, which is not even valid in small sets.
    A question without calibration scores is ranked among all of them.
    """

    has = (*BankedCalibrator.has, "scope", "compat")
    minimum = 1  # what was recorded for a question is used, however little it is

    @classmethod
    def check(cls, settings: CalibratorSettings, calibrated: bool) -> None:
        """There is nothing to rank among without recorded scores."""
        if not calibrated:
            raise InputError(
                "calibrator static needs recorded scores: give a calibration file (atts calibrate writes one)"
            )

    def bank_by(self, settings: CalibratorSettings) -> BankBy:
        """By question in question scope, by turn if asked for, otherwise all scores together."""
        if settings.scope == "question":
            return "question"
        return "turn" if settings.by_turn else "all"

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        """Smoothed, or the reference's, among the calibration scores."""
        if self.settings.compat == "reference":
            return reference_p_value(self.banks.bank(chunk), score)
        return super().p_value(chunk, score, u)
