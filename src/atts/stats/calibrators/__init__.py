"""Calibrators: how a score becomes a decision, by name; one file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from atts.errors import InputError
from atts.options import declared, refused
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
    "own_options",
    "refuse_unused",
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
    if taken := next((option for option in vars(declared(thing)()) if option in _TAKEN), None):
        raise ShapeError(f"its option {taken!r} needs another name: calibrators have that one already")
    return thing


_TAKEN = frozenset({*vars(RateCalibrator(CalibratorSettings())), *dir(RateCalibrator), *OPTIONS})
"""Names that mean something else in every calibrator, or in every run."""


def _line(calibrator: type[RateCalibrator]) -> str:
    options = {key: OPTIONS[key] for key in calibrator.has} | vars(declared(calibrator)())
    return f"{first_line(calibrator)}; options: {', '.join(f'{key}={value!r}' for key, value in options.items())}"


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
    own: Mapping[str, Any] | None = None,
    **options: Any,
) -> CalibratorSettings:
    """The settings that a run asks for, in the run file's own words; `calibrated` if it names a calibration file.

    `options` are those of `CalibratorOptions`, `own` those that this calibrator alone has. Raises InputError, in one
    line, if they contradict each other.
    """
    rate = resolve_rate(samples, takeover_rate=takeover_rate, budget=budget, alpha=alpha)
    try:
        settings = CalibratorSettings(calibrator, rate, samples, own=own_options(calibrator, own), **options)
    except ValidationError as error:
        raise refused(error) from error
    validate(settings, calibrated)
    return settings


def own_options(name: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All options that the calibrator of that name alone has, with what was given of them.

    Raises InputError naming the one that is wrong.
    """
    kind = declared(CALIBRATORS[name])
    try:
        return dict(vars(kind(**(given or {}))))
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "unexpected_keyword_argument":
            raise _no_option(name, first["loc"][0]) from error
        raise refused(error, "calibrator_options.") from error


def refuse_unused(name: str, given: Mapping[str, Any]) -> None:
    """Raise InputError for a shared option that was asked for and that the calibrator of that name does not have."""
    has = CALIBRATORS[name].has
    for key, usual in OPTIONS.items():
        if key not in has and key not in OWN and given.get(key, usual) not in (None, usual):
            raise InputError(
                f"{key} = {_plain(given[key])}: calibrator {name} has no such option; it has: {', '.join(has)}"
            )


def _no_option(name: str, option: object) -> InputError:
    own = vars(declared(CALIBRATORS[name])())
    if option in OPTIONS:
        return InputError(f"calibrator_options.{option}: it is a key of the run, {option} = …")
    return unknown("option", option, own, of=f"calibrator {name}")


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def validate(settings: CalibratorSettings, calibrated: bool) -> None:
    """Raise InputError if the settings contradict each other; `calibrated` if there are recorded scores."""
    kind = CALIBRATORS[settings.name]
    for key, own in OWN.items():
        if key not in kind.has and (value := getattr(settings, key)) != OPTIONS[key]:
            raise InputError(
                own.refusal.format(name=settings.name, value=f"{value:g}" if isinstance(value, float) else value)
            )
    kind.check(settings, calibrated)
