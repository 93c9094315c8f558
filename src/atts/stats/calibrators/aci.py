"""Classical adaptive conformal inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from atts.stats.calibrators.base import BankedCalibrator
from atts.stats.calibrators.tracked import Tracked
from atts.stats.conformal import BankBy
from atts.stats.settings import CalibratorSettings


class ACI(Tracked):
    """Adaptive conformal inference (Gibbs & Candès 2021): one integrator, one bank. A baseline.

    Guarantee: after T decisions of any sequence the rate is within
    `max(rate + eta (1 - rate), 1 - rate + eta rate) / (eta T)` of the promise. Needs: nothing. Price: it holds for
    the whole run only: turns and questions drift as they like.
    """

    has = (*BankedCalibrator.has, "gain")

    STEPS: ClassVar[Mapping[str, float]] = {"all": 0.03}

    def bank_by(self, settings: CalibratorSettings) -> BankBy:
        """All turns together unless asked otherwise."""
        return "turn" if settings.by_turn else "all"
