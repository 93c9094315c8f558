from __future__ import annotations

import math

import pytest

from atts.errors import InputError
from atts.stats.calibrators import CALIBRATORS, resolve_settings
from atts.stats.settings import OPTIONS, OWN


@pytest.mark.parametrize("name", CALIBRATORS)
def test_every_calibrator_says_what_it_is_and_what_it_promises(name: str) -> None:
    assert CALIBRATORS.lines()[name].partition("; options: ")[0] in (CALIBRATORS[name].__doc__ or "")
    text = " ".join((CALIBRATORS[name].__doc__ or "").split())
    assert all(f"{word}: " in text for word in ("Guarantee", "Needs", "Price"))


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"takeover_rate": 1.1}, "takeover_rate = 1.1 is outside"),
        ({"takeover_rate": math.nan}, "takeover_rate = nan is outside"),
        ({"budget": 17}, "budget = 17 is outside [0, 16]"),
        ({"budget": 4, "takeover_rate": 0.4}, "give one of them"),
        ({"alpha": -0.1}, "alpha"),
        ({"samples": 0}, "samples = 0"),
        ({"calibrator": "nope"}, "no calibrator 'nope'"),
        ({"calibrator": "coin", "scope": "question"}, "no question scope"),
        ({"compat": "reference"}, "belongs to calibrator static"),
        ({"calibrator": "static"}, "needs recorded scores"),
        ({"window": 0}, "window = 0"),
        ({"strength": 2.0}, "strength = 2"),
    ],
)
def test_contradictions_are_refused_in_one_line(given_: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as raised:
        resolve_settings(**given_)  # type: ignore[arg-type]
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given_", "rate"),
    [
        ({}, 0.2),
        ({"takeover_rate": 0.25}, 0.25),
        ({"budget": 4, "samples": 16}, 0.25),
        ({"budget": 16}, 1.0),
        ({"alpha": 0.7}, 0.3),
        ({"budget": 0}, 0.0),
    ],
)
def test_three_words_for_the_rate(given_: dict[str, float], rate: float) -> None:
    assert resolve_settings(**given_).rate == rate  # type: ignore[arg-type]


def test_every_option_is_had_by_a_calibrator_and_refused_in_its_own_words_by_the_others() -> None:
    assert {option for kind in CALIBRATORS.builtin.values() for option in kind.has} == set(OPTIONS)
    given = {"scope": "question", "compat": "reference", "threshold": 0.5}
    assert set(OWN) == set(given)
    for name, kind in CALIBRATORS.builtin.items():
        for key in OWN.keys() - set(kind.has):
            with pytest.raises(InputError, match=name):
                resolve_settings(calibrator=name, calibrated=True, **{key: given[key]})
        needed = {"threshold": 1.0} if name == "fixed" else {}
        resolve_settings(calibrator=name, calibrated=True, gain=0.5, window=9, **needed)  # which presets give to all


def test_an_option_that_no_calibrator_has_is_refused() -> None:
    with pytest.raises(InputError, match="windo = 3: Unexpected keyword argument"):
        resolve_settings(windo=3)
