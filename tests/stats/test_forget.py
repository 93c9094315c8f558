"""What a calibrator holds grows with the problems that are open, not with those that were."""

from __future__ import annotations

import gc
import json

import pytest

from atts.seeds import uniform
from atts.stats.calibrators import make_calibrator
from atts.stats.control import Tally
from atts.stats.settings import CalibratorSettings
from atts.types import Chunk

SETTINGS = [
    CalibratorSettings("ranked", 0.4),
    CalibratorSettings("tracked", 0.4, scope="question", window=50),
    CalibratorSettings("coin", 0.4, hard_budget=True),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_a_problem_that_is_over_leaves_its_counts_and_nothing_else(
    settings: CalibratorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tally, "KEPT", 10)
    calibrator = make_calibrator(settings)

    def decide(first: int, last: int) -> tuple[int, int]:
        for number in range(first, last):
            for turn in range(3):
                chunk = Chunk(f"p{number}", 0, turn)
                calibrator.decide(chunk, uniform(1, number, turn), uniform(2, number, turn))
            calibrator.forget(f"p{number}")
        gc.collect()
        return len(gc.get_objects()), len(json.dumps(calibrator.state()))

    objects, size = decide(0, 100)
    more, grown = decide(100, 1500)
    assert more - objects < 50 and grown - size < 300
    assert calibrator.certificate()["all"]["n"] == 4500


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_forgetting_a_problem_changes_no_decision_on_another(settings: CalibratorSettings) -> None:
    one, other = make_calibrator(settings), make_calibrator(settings)
    for number in range(40):
        for turn in range(4):
            chunk, score, u = Chunk(f"p{number}", 0, turn), uniform(3, number, turn), uniform(4, number, turn)
            assert one.decide(chunk, score, u) == other.decide(chunk, score, u)
        one.forget(f"p{number}")
    assert one.certificate() == other.certificate()


def test_groups_that_are_closed_are_told_apart_while_they_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "KEPT", 2)
    tally = Tally()
    for name in "abcd":
        tally.add(("all", name), rejected=name in "ab")
        tally.close(name)
    tally.close("never counted")
    certificate = tally.certificate(0.5)
    assert certificate["closed"] == {"n": 2, "taken_over": 2, "deviation": 0.5}
    assert set(certificate) == {"all", "c", "d", "closed"}
    assert certificate["all"]["n"] == 4
