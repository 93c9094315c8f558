"""Asynchronous test-time scaling of LLM reasoning with conformal takeover-rate control.

What stands in `__all__` is a promise: it changes in a way that breaks code only with a minor version (a major one from
1.0 on), and the change log says so. Everything else may change at any time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atts.api.answers import extract, grade, vote_key
    from atts.api.look import check, check_async, compare
    from atts.api.run import run, run_async
    from atts.engines import engine
    from atts.errors import AttsError, EngineError, InputError, NoRoomError, RunError, ScoreError
    from atts.grading.extract import rule
    from atts.grading.graders import grader
    from atts.pipeline.strategies import strategy
    from atts.problems.prompts import prompt
    from atts.problems.sources import dataset
    from atts.results.loaded import LoadedRun, load_run
    from atts.stats.calibrators import calibrator
    from atts.stats.scores import score
    from atts.types import Message, Problem

__version__ = "0.1.0"

_EXPORTS = {
    "AttsError": "atts.errors",
    "EngineError": "atts.errors",
    "InputError": "atts.errors",
    "LoadedRun": "atts.results.loaded",
    "Message": "atts.types",
    "NoRoomError": "atts.errors",
    "Problem": "atts.types",
    "RunError": "atts.errors",
    "ScoreError": "atts.errors",
    "calibrator": "atts.stats.calibrators",
    "check": "atts.api.look",
    "check_async": "atts.api.look",
    "compare": "atts.api.look",
    "dataset": "atts.problems.sources",
    "engine": "atts.engines",
    "extract": "atts.api.answers",
    "grade": "atts.api.answers",
    "grader": "atts.grading.graders",
    "load_run": "atts.results.loaded",
    "prompt": "atts.problems.prompts",
    "rule": "atts.grading.extract",
    "run": "atts.api.run",
    "run_async": "atts.api.run",
    "score": "atts.stats.scores",
    "strategy": "atts.pipeline.strategies",
    "vote_key": "atts.api.answers",
}
"""Where each name stands, which is imported at its first use, so that the command line starts at once."""

__all__ = [
    "AttsError",
    "EngineError",
    "InputError",
    "LoadedRun",
    "Message",
    "NoRoomError",
    "Problem",
    "RunError",
    "ScoreError",
    "__version__",
    "calibrator",
    "check",
    "check_async",
    "compare",
    "dataset",
    "engine",
    "extract",
    "grade",
    "grader",
    "load_run",
    "prompt",
    "rule",
    "run",
    "run_async",
    "score",
    "strategy",
    "vote_key",
]


def __getattr__(name: str) -> Any:
    """What stands in `__all__`."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(_EXPORTS[name]), name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
