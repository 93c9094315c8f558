from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from atts.config.run import require_used, resolve, validated
from atts.errors import InputError
from atts.stats.calibrators import CALIBRATORS, make_calibrator, refuse_unused, resolve_settings
from atts.stats.calibrators.coin import Coin
from atts.stats.settings import OPTIONS, OWN


class Biased(Coin):
    """A coin with options of its own."""

    by: Annotated[float, Field(ge=0, le=1)] = 0.5
    side: Literal["heads", "tails"] = "heads"


class Clashing(Coin):
    rate: float = 0.5


HERE = f"{__name__}:Biased"


def test_a_calibrator_has_its_options_as_attributes() -> None:
    made: Any = make_calibrator(resolve_settings(calibrator=HERE, own={"by": 0.25}))
    assert (made.by, made.side) == (0.25, "heads")
    assert "by=0.5, side='heads'" in CALIBRATORS._line(Biased)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"by": 2}, "calibrator_options.by = 2: Input should be less than or equal to 1"),
        ({"side": "edge"}, "calibrator_options.side = 'edge'"),
        ({"sid": "heads"}, "no option 'sid' of calibrator .*did you mean 'side'"),
        ({"window": 3}, "calibrator_options.window: it is a key of the run"),
    ],
)
def test_what_is_wrong_with_them_is_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(options={"calibrator": HERE, "calibrator_options": given})


def test_an_option_needs_a_name_that_calibrators_do_not_have() -> None:
    with pytest.raises(InputError, match="its option 'rate' needs another name"):
        CALIBRATORS[f"{__name__}:Clashing"]


def test_they_are_saved_whole_and_tell_runs_apart() -> None:
    plain = resolve(options={"calibrator": HERE})
    same = resolve(options={"calibrator": HERE}, assignments=["calibrator_options.by=0.5"])
    other = resolve(options={"calibrator": HERE}, assignments=["calibrator_options.by=0.1"])
    assert plain.calibrator_options == {"by": 0.5, "side": "heads"} == same.calibrator_options
    assert plain.fingerprint() == same.fingerprint() != other.fingerprint()
    assert validated(other.model_dump()) == other
    assert other.calibrator_settings().own == {"by": 0.1, "side": "heads"}


@pytest.mark.parametrize("name", CALIBRATORS.builtin)
def test_an_option_that_was_asked_for_and_would_do_nothing_is_refused(name: str) -> None:
    given = {"by_turn": False, "window": 9, "gain": 0.5, "strength": 0.5, "hard_budget": True}
    assert given.keys() | OWN.keys() == OPTIONS.keys()
    for key, value in given.items():
        if key in CALIBRATORS[name].has:
            refuse_unused(name, {key: value})
        else:
            with pytest.raises(InputError, match=f"{key} = .*: calibrator {name} has no such option; it has: "):
                refuse_unused(name, {key: value})
    refuse_unused(name, dict(OPTIONS))


def test_presets_may_say_it_all_the_same() -> None:
    config = resolve(preset="bundled", options={"calibrator": "coin"})
    require_used(config, {"calibrator": "coin", "window": None})
    with pytest.raises(InputError, match="window = 5: calibrator coin has no such option"):
        require_used(config, {"calibrator": "coin"}, ["window=5"])
