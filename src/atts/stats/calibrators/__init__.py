"""Calibrators: how a score becomes a decision, by name; one file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from atts.errors import InputError
from atts.registry import Registry, ShapeError, first_line
from atts.stats.calibrator import Calibrator
from atts.stats.calibrators.aci import ACI
from atts.stats.calibrators.base import CalibrationScore, RateCalibrator
from atts.stats.calibrators.budgeted import Budgeted
from atts.stats.calibrators.coin import Coin
from atts.stats.calibrators.dtaci import DtACI
from atts.stats.calibrators.fixed import Fixed
from atts.stats.calibrators.online import Online
from atts.stats.calibrators.ranked import Ranked
from atts.stats.calibrators.static import Static
from atts.stats.calibrators.tracked import Tracked
from atts.stats.settings import CalibratorSettings, Compat, Scope, resolve_rate

__all__ = [
    "CALIBRATORS",
    "OWN_OPTIONS",
    "CalibrationScore",
    "RateCalibrator",
    "make_calibrator",
    "resolve_settings",
    "validate",
]


def as_calibrator(name: str, thing: Any) -> type[RateCalibrator]:
    """A class derived from `RateCalibrator`."""
    if not (isinstance(thing, type) and issubclass(thing, RateCalibrator)):
        raise ShapeError("a calibrator is a class derived from atts.stats.calibrators.RateCalibrator")
    if thing.p_value is RateCalibrator.p_value:
        raise ShapeError("it does not define p_value")
    return thing


CALIBRATORS: Registry[type[RateCalibrator]] = Registry(
    "calibrator",
    "atts.calibrators",
    {
        "budgeted": Budgeted,
        "tracked": Tracked,
        "online": Online,
        "static": Static,
        "aci": ACI,
        "dtaci": DtACI,
        "fixed": Fixed,
        "coin": Coin,
        "ranked": Ranked,
    },
    shape=as_calibrator,
    line=first_line,
)


def calibrator(name: Any) -> Any:
    """Decorates a class derived from `RateCalibrator`, to be had as a calibrator under that name."""
    return CALIBRATORS.register(name)


OWN_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "scope": ("tracked", "static"),
    "compat": ("static",),
    "threshold": ("fixed",),
}
"""Options that only some calibrators have, and which those are."""


def make_calibrator(settings: CalibratorSettings, calibration: Sequence[CalibrationScore] = ()) -> Calibrator:
    """A calibrator from its settings, its banks warmed with `calibration`. Raises InputError on contradictions."""
    validate(settings, bool(calibration))
    with CALIBRATORS.blaming(settings.name):
        made = CALIBRATORS[settings.name](settings)
    made.warm(calibration)
    return made


def resolve_settings(
    *,
    calibrator: str = "tracked",
    takeover_rate: float | None = None,
    budget: float | None = None,
    alpha: float | None = None,
    scope: Scope = "run",
    samples: int = 16,
    hard_budget: bool = False,
    calibrated: bool = False,
    by_turn: bool | None = None,
    window: int | None = None,
    strength: float = 1.0,
    gain: float = 1.0,
    compat: Compat = "none",
    threshold: float | None = None,
) -> CalibratorSettings:
    """The settings that a run asks for, in the run file's own words; `calibrated` if it names a calibration file.

    Raises InputError, in one line, if they contradict each other.
    """
    rate = resolve_rate(samples, takeover_rate=takeover_rate, budget=budget, alpha=alpha)
    settings = CalibratorSettings(
        name=calibrator,
        rate=rate,
        scope=scope,
        samples=samples,
        hard_budget=hard_budget,
        by_turn=by_turn,
        window=window,
        strength=strength,
        gain=gain,
        compat=compat,
        threshold=threshold,
    )
    validate(settings, calibrated)
    return settings


def validate(settings: CalibratorSettings, calibrated: bool) -> None:
    """Raise InputError if the settings contradict each other; `calibrated` if there are recorded scores."""
    CALIBRATORS[settings.name]  # or InputError
    if not 0 <= settings.rate <= 1:
        raise InputError(f"takeover_rate = {settings.rate:g} is outside [0, 1]")
    if settings.samples < 1:
        raise InputError(f"samples = {settings.samples} is less than 1")
    if settings.window is not None and settings.window < 1:
        raise InputError(f"window = {settings.window} is less than 1: leave it out to keep every score")
    if not 0 < settings.gain <= 10:
        raise InputError(f"gain = {settings.gain:g} is outside (0, 10]: 1 is usual, less corrects more slowly")
    if not 0 <= settings.strength <= 1:
        raise InputError(f"strength = {settings.strength:g} is outside [0, 1]")
    if settings.scope == "question" and settings.name not in OWN_OPTIONS["scope"]:
        raise InputError(f"calibrator {settings.name} has no question scope: use tracked or static, or scope = run")
    if settings.compat != "none" and settings.name not in OWN_OPTIONS["compat"]:
        raise InputError(f"compat = {settings.compat} belongs to calibrator static, not to {settings.name}")
    if settings.threshold is not None and settings.name not in OWN_OPTIONS["threshold"]:
        raise InputError(f"threshold = {settings.threshold:g} belongs to calibrator fixed, not to {settings.name}")
    if settings.name == "fixed" and (settings.threshold is None or not isfinite(settings.threshold)):
        raise InputError("calibrator fixed needs a threshold: the score from which chunks are taken over (threshold)")
    if settings.name == "static" and not calibrated:
        raise InputError("calibrator static needs recorded scores: give a calibration file (atts calibrate writes one)")
