"""Calibration files: scores recorded before a run, and what they were recorded with.

Ours are JSON with a fingerprint. Those of the reference are read too: NumPy arrays of perplexities, and the dictionary
of its per-question variant, which is stored as a pickle and decoded here without executing anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from atts import atomic
from atts import problems as datasets
from atts.calibration import numpy_file
from atts.calibration.replay import LOGGED, read_record, usable_score
from atts.config.run import RunConfig
from atts.engines.base import DRAWING
from atts.errors import InputError
from atts.problems import prompts
from atts.stats.calibrators import CalibrationScore
from atts.stats.scores import SCORES
from atts.store.folder import RunFolder
from atts.types import EngineInfo, Problem, Role

FORMAT = "atts calibration 1"
REFERENCE_SAMPLES = 16  # the reference stores its scores question by question, 16 each

Fingerprint = Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Recorded scores; `fingerprint` says with which models, prompt, chunks and score (empty: unknown)."""

    scores: Sequence[CalibrationScore]
    fingerprint: Fingerprint = field(default_factory=dict)

    def require(self, expected: Fingerprint, path: Path | str) -> None:
        """Raise InputError naming every key in which these scores were recorded otherwise than the run would be."""
        if not self.fingerprint:
            raise InputError(f"{path}: it does not say what it was recorded with; record one with atts calibrate")
        differing = [key for key in expected if self.fingerprint.get(key) != expected[key]]
        if differing:
            changes = ", ".join(f"{key} was {self.fingerprint.get(key)!r}, is {expected[key]!r}" for key in differing)
            raise InputError(f"{path}: recorded with other settings: {changes} (record one with atts calibrate)")

    def require_disjoint(self, problems: Iterable[str], path: Path | str) -> None:
        """Raise InputError if scores of these problems are among the recorded ones."""
        shared = {score.problem for score in self.scores} & set(problems)
        if shared:
            some = ", ".join(sorted(shared)[:3])
            raise InputError(
                f"{path}: {len(shared)} of the run's problems were calibrated on ({some}); use another split"
            )

    def unrecorded(self, problems: Collection[str], path: Path | str) -> int:
        """How many of the problems have no recorded score. Raises InputError if none has one."""
        missing = len(set(problems) - {score.problem for score in self.scores})
        if missing == len(problems):
            raise InputError(
                f"{path}: it has no scores of the run's problems, which scope = question ranks each among its own; "
                "record them on these problems (atts calibrate with their --split)"
            )
        return missing


# What the draft's text depends on too: None where it is the usual, as in files of earlier versions, which do not say.
_DRAFT = (*DRAWING, "chat_template_kwargs", "draft_chat_template_kwargs", "draft_end_tokens", "stop")


def settings_fingerprint(config: RunConfig) -> Fingerprint:
    """What the scores of a run depend on, beside its models: prompt, chunks, sampling of the draft, and the score."""
    prompt = prompts.load(config.prompt_for(datasets.describe(config.problems).prompt))
    return {
        "prompt": digest(repr(prompt)),
        "chunk": config.chunk,
        "draft_tokens": config.draft_tokens,
        "draft_temperature": config.draft_temperature,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "score": config.score,
        **({"score_from": str(origin)} if (origin := SCORES.origin(config.score)) else {}),
        **{key: _plain(getattr(config, key)) if config.differs(key) else None for key in _DRAFT},
    }


def _plain(value: Any) -> Any:
    """As it is read back from JSON."""
    return list(value) if isinstance(value, tuple) else value


def digest(text: str) -> str:
    """Twelve digits that another text has not."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_fingerprint(folder: RunFolder) -> Fingerprint:
    """What the scores of a run were recorded with: its own settings, and its models, if it knows them."""
    return {**model_fingerprint(folder.engines()), **settings_fingerprint(folder.config)}


def model_fingerprint(infos: Mapping[Role, EngineInfo]) -> Fingerprint:
    """The models, as their engines call them."""
    return {role.value: info.model for role, info in infos.items()}


def by_question(path: Path) -> bool:
    """Whether a NumPy file of the reference is its per-question variant. Raises InputError."""
    return isinstance(_numpy(path), Mapping)


def in_order_of(
    problems: Sequence[Problem], scores: Sequence[CalibrationScore], path: Path | str
) -> list[CalibrationScore]:
    """Scores whose problems are told by their place among `problems`, as the reference does, with the problems' names.

    Raises InputError if a place is not there. Names that are no places are names already, and stay.
    """
    if not all(score.problem.isdecimal() for score in scores):
        return list(scores)
    last = max(int(score.problem) for score in scores)
    if last >= len(problems):
        raise InputError(f"{path}: it has question {last}, and there are {len(problems)} problems, counted from 0")
    return [score._replace(problem=problems[int(score.problem)].id) for score in scores]


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration file, whole or not at all. Raises InputError if the place cannot be written to."""
    content = {
        "format": FORMAT,
        "fingerprint": dict(calibration.fingerprint),
        "columns": ["problem", "turn", "score", "short"],
        "scores": [list(score) for score in calibration.scores],
    }
    try:
        atomic.write(path, json.dumps(content).encode())
    except OSError as error:
        raise InputError(f"{path}: cannot write there: {error.strerror or error}") from error


def read_calibration(path: Path, score: str | None = None) -> Calibration:
    """Recorded scores from a calibration file, a NumPy file of the reference, or a table or run (see `read_record`).

    `score` names the column of a table, or the score of a run; values of NumPy files are perplexities and are logged.
    Tables and NumPy files do not say what they were recorded with. Raises InputError.
    """
    if not path.exists():
        raise InputError(f"no calibration file {path}")
    if path.suffix == ".json":
        calibration = _read_json(path)
    elif path.suffix == ".npy":
        if SCORES.is_builtin(score) and score != LOGGED:
            raise InputError(f"{path}: it holds perplexities, which are of score {LOGGED}, not {score}")
        calibration = Calibration(_read_npy(path))
    elif path.is_dir():
        folder = RunFolder.open(path)
        recorded = read_record(path, score).calibration()
        calibration = Calibration(recorded, {**run_fingerprint(folder), "score": score or folder.config.score})
    else:
        calibration = Calibration(read_record(path, score).calibration())
    if not calibration.scores:
        raise InputError(f"{path}: no usable scores there")
    return calibration


def _read_json(path: Path) -> Calibration:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise InputError(f"{path}: format {content['format']!r}, not {FORMAT!r}")
        scores = [
            CalibrationScore(str(p), int(t), float(value), bool(short)) for p, t, value, short in content["scores"]
        ]
        fingerprint = dict(content["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a calibration file ({type(error).__name__}: {str(error)[:60]})") from error
    if not all(isfinite(score.score) for score in scores):
        raise InputError(f"{path}: it holds scores that are not finite")
    return Calibration(scores, fingerprint)


def _numpy(path: Path) -> Any:
    try:
        return numpy_file.read(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a NumPy file that can be read safely ({str(error)[:80]})") from error


def _read_npy(path: Path) -> list[CalibrationScore]:
    values = _numpy(path)
    if isinstance(values, Mapping):
        return _perplexities(
            (str(question), value) for question, listed in values.items() for value in _numbers(listed, question, path)
        )
    return _perplexities(
        (str(place // REFERENCE_SAMPLES), value) for place, value in enumerate(_numbers(values, "1-D array", path))
    )


def _numbers(values: Any, whose: object, path: Path) -> list[float | None]:
    listed = values if isinstance(values, list) else [values]
    if not all(value is None or isinstance(value, int | float) for value in listed):
        raise InputError(f"{path}: {str(whose)[:20]}: perplexities are needed, one dimension")
    return listed


def _perplexities(pairs: Iterable[tuple[str, float | None]]) -> list[CalibrationScore]:
    logged = ((problem, usable_score(value, "perplexity")) for problem, value in pairs)
    return [CalibrationScore(problem, 0, score) for problem, score in logged if score is not None]
