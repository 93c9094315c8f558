"""The caller's own problems and functions, given names under which a run finds them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from atts import problems as datasets
from atts.config.run import RunConfig, require_used, resolve
from atts.errors import InputError
from atts.grading.extract import RULES
from atts.grading.graders import GRADERS
from atts.own import with_digest
from atts.pipeline.strategies import STRATEGIES
from atts.problems.prompts import PROMPTS
from atts.registry import Registry
from atts.stats.calibrators import CALIBRATORS
from atts.stats.scores import SCORES
from atts.types import Problem

_REGISTRIES: Mapping[str, Registry[Any]] = {
    "score": SCORES,
    "grader": GRADERS,
    "answer": RULES,
    "prompt": PROMPTS,
    "strategy": STRATEGIES,
    "calibrator": CALIBRATORS,
}
"""The keys of a run that take a thing itself in the place of its name."""

MOST_SHOWN = 80  # characters of a value in a message


def configured(
    problems: object,
    config: str | os.PathLike[str] | None,
    keys: Mapping[str, object],
    out: str | os.PathLike[str] | None = None,
) -> RunConfig:
    """The configuration that these ask for; what is the caller's own has a name and can be found by it.

    Raises InputError as the command line does.
    """
    for key, path in (("config", config), ("out", out)):
        if path is not None and not isinstance(path, str | os.PathLike):
            raise InputError(f"{key} = {_shown(path)}: a path is needed")
    named = {key: _name(key, value) for key, value in keys.items()}
    if problems is not None:
        named["problems"] = _problems(problems)
    resolved = resolve(run_file=None if config is None else Path(config), options=named)
    require_used(resolved, named)
    return resolved


def _name(key: str, value: object) -> object:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, str) or key not in _REGISTRIES:
        return value
    return _REGISTRIES[key].adopt(value)


def _problems(given: object) -> str:
    """The name of a data set or file, or one for a list of problems."""
    if isinstance(given, str | os.PathLike):
        return str(os.fspath(given))
    if not isinstance(given, Iterable):
        raise InputError(f"problems = {_shown(given)}: a name, a file, or a list of atts.Problem")
    problems = list(given)
    for place, problem in enumerate(problems):
        _require(problem, place)
    content = repr([(p.id, p.question, p.answer, p.choices) for p in problems])
    name = with_digest("problems", content)
    datasets.SOURCES.register(name, describe="problems given from Python")(lambda: problems)
    return name


def _require(problem: object, place: int) -> None:
    """Raise InputError unless this is a problem whose parts are of their types."""
    if not isinstance(problem, Problem):
        raise InputError(f"problems: item {place} is {_shown(problem)}, not an atts.Problem")
    for part in ("id", "question", "answer"):
        if not isinstance(value := getattr(problem, part), str):
            raise InputError(f"problems: item {place}: {part} = {_shown(value)}: a text is needed")
    if not problem.id or not problem.question:
        raise InputError(f"problems: item {place} has no {'question' if problem.id else 'id'}")
    if isinstance(problem.choices, str) or not all(isinstance(choice, str) for choice in problem.choices):
        raise InputError(f"problems: item {place}: choices = {_shown(problem.choices)}: texts are needed")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
