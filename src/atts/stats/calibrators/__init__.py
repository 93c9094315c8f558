"""Calibrators: how a score becomes a decision, by name; one file each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from atts.errors import InputError
from atts.options import refused
from atts.registry import Registry, ShapeError, first_line, unknown
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
from atts.stats.settings import OPTIONS, OWN, CalibratorSettings, resolve_rate

__all__ = [
    "CALIBRATORS",
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
    if strange := next((option for option in thing.has if option not in OPTIONS), None):
        raise ShapeError(str(unknown("option", strange, OPTIONS, of="calibrators")))
    return thing


def _line(calibrator: type[RateCalibrator]) -> str:
    return f"{first_line(calibrator)}; options: {', '.join(f'{key}={OPTIONS[key]!r}' for key in calibrator.has)}"


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
    line=_line,
)


def calibrator(name: Any) -> Any:
    """Decorates a class derived from `RateCalibrator`, to be had as a calibrator under that name."""
    return CALIBRATORS.register(name)


def make_calibrator(settings: CalibratorSettings, calibration: Sequence[CalibrationScore] = ()) -> Calibrator:
    """A calibrator from its settings, its banks warmed with `calibration`. Raises InputError on contradictions."""
    validate(settings, bool(calibration))
    with CALIBRATORS.blaming(settings.name):
        made = CALIBRATORS[settings.name](settings)
    made.warm(calibration)
    return made


def resolve_settings(
    *,
    calibrator: str = "budgeted",
    takeover_rate: float | None = None,
    budget: float | None = None,
    alpha: float | None = None,
    samples: int = 16,
    calibrated: bool = False,
    **options: Any,
) -> CalibratorSettings:
    """The settings that a run asks for, in the run file's own words; `calibrated` if it names a calibration file.

    `options` are those of `CalibratorOptions`. Raises InputError, in one line, if they contradict each other.
    """
    rate = resolve_rate(samples, takeover_rate=takeover_rate, budget=budget, alpha=alpha)
    try:
        settings = CalibratorSettings(calibrator, rate, samples, **options)
    except ValidationError as error:
        raise refused(error) from error
    validate(settings, calibrated)
    return settings


def validate(settings: CalibratorSettings, calibrated: bool) -> None:
    """Raise InputError if the settings contradict each other; `calibrated` if there are recorded scores."""
    kind = CALIBRATORS[settings.name]
    for key, own in OWN.items():
        if key not in kind.has and (value := getattr(settings, key)) != OPTIONS[key]:
            raise InputError(
                own.refusal.format(name=settings.name, value=f"{value:g}" if isinstance(value, float) else value)
            )
    kind.check(settings, calibrated)
