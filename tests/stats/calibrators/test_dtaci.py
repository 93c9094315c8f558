from __future__ import annotations

from dataclasses import replace

import pytest

from atts.stats.calibrators.dtaci import DtACI
from atts.stats.control import ExpertMixture
from atts.types import Chunk
from tests.stats.calibrators.streams import R1, decided, made

STREAM = [("a", n % 4, n % 3, (n * 7 % 11) / 3, (n * 0.618034) % 1 or 0.5) for n in range(200)]


def dtaci() -> DtACI:
    calibrator = made(replace(R1, name="dtaci"))
    assert isinstance(calibrator, DtACI)
    return calibrator


def test_the_experts_see_every_p_value_and_their_threshold_decides() -> None:
    calibrator, experts = dtaci(), ExpertMixture(R1.rate)
    for decision in decided(calibrator, list(STREAM)):
        assert decision.threshold == pytest.approx(experts.threshold())
        assert decision.p_value is not None
        experts.update(decision.p_value)
    assert calibrator.experts.state() == experts.state()


def test_a_chunk_without_a_score_is_the_strangest_possible_one() -> None:
    """It is taken over and nothing is banked; to the experts it is p = 0, so that their thresholds come down."""
    calibrator, experts = dtaci(), ExpertMixture(R1.rate)
    decision = calibrator.decide(Chunk("a", 0, 0), None, 0.5)
    experts.update(0.0)
    assert decision.rejected and decision.p_value is None
    assert calibrator.experts.state() == experts.state()
    assert calibrator.experts.threshold() < R1.rate
    assert calibrator.state()["banks"] == {"all": [], "banks": {}}
