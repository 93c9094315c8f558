"""Nonconformity scores: how strange a chunk is to the target (large = strange), from per-token log-probabilities.

All log-probabilities are natural logarithms, so scores are in nats. A score is never invented: what is missing, not
finite or misaligned raises ScoreError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from atts.errors import AttsError, ScoreError
from atts.registry import Registry, first_line, takes
from atts.stats.arrays import Floats
from atts.stats.conformal import kept

WINDOW = 32  # tokens of `worst_window`


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a score is computed from: one log-probability a token of the chunk, and the chunk's length as text.

    `target` has shape (tokens,); `draft` the same, or is None where the draft's log-probabilities are not known or
    belong to other tokens (vocabularies that differ). `characters` is the length of the chunk's text.
    """

    target: Floats
    draft: Floats | None
    characters: int


@dataclass(frozen=True, slots=True)
class Score:
    """A score by name; `needs_draft` if it cannot be computed without the draft's log-probabilities."""

    name: str
    description: str
    function: Callable[[Evidence], float]
    needs_draft: bool = False


def log_perplexity(evidence: Evidence) -> float:
    """Mean negative log-probability a token under the target."""
    return -float(evidence.target.mean())


def log_likelihood_ratio(evidence: Evidence) -> float:
    """Mean over the tokens of `log q(draft) - log p(target)`: how much likelier the draft found its chunk.

    The logarithm of the ratio that speculative decoding tests token by token (Leviathan et al. 2023).
    """
    if evidence.draft is None:
        raise ScoreError("the draft's log-probabilities are missing: log_likelihood_ratio needs them")
    return float((evidence.draft - evidence.target).mean())


def worst_window(evidence: Evidence) -> float:
    """The largest mean negative log-probability of 32 consecutive tokens; of the whole chunk if it is shorter."""
    width = min(WINDOW, len(evidence.target))
    sums = np.cumsum(np.concatenate([[0.0], -evidence.target]))
    return float((sums[width:] - sums[:-width]).max()) / width


def nats_per_character(evidence: Evidence) -> float:
    """Negative log-probability of the chunk per character of text: comparable between tokenizers."""
    if evidence.characters < 1:
        raise ScoreError("the chunk has tokens but no text: nats_per_character is not defined")
    return -float(evidence.target.sum()) / evidence.characters


def as_score(name: str, thing: Any, *, description: str = "", needs_draft: bool = False) -> Score:
    """A `Score`, or a function from `Evidence` to a number made one."""
    if isinstance(thing, Score):
        return replace(thing, name=name)
    takes(thing, "evidence")
    return Score(name, description or first_line(thing), thing, needs_draft)


SCORES: Registry[Score] = Registry(
    "score",
    "atts.scores",
    {
        "log_perplexity": Score(
            "log_perplexity", "mean negative log-probability a token under the target", log_perplexity
        ),
        "log_likelihood_ratio": Score(
            "log_likelihood_ratio",
            "mean log-probability a token under the draft minus that under the target",
            log_likelihood_ratio,
            needs_draft=True,
        ),
        "worst_window": Score(
            "worst_window", "largest mean negative log-probability of 32 consecutive tokens", worst_window
        ),
        "nats_per_character": Score(
            "nats_per_character", "negative log-probability a character of text", nats_per_character
        ),
    },
    shape=as_score,
    line=lambda score: score.description,
)


def score(name: str, *, description: str = "", needs_draft: bool = False) -> Any:
    """Decorates a function from `Evidence` to a number (large = strange), to be had as a score under that name.

    `needs_draft` says that it cannot be computed without the draft's log-probabilities.
    """
    return SCORES.register(name, description=description, needs_draft=needs_draft)


def score_chunk(
    score: Score, target: Sequence[float], draft: Sequence[float] | None = None, characters: int = 0
) -> float:
    """The nonconformity score of a chunk, in nats, finite.

    `target` and `draft` hold one log-probability for each token of the chunk, `characters` the length of its text.
    Raises ScoreError if there are no tokens, a value is missing or not finite, or the two lengths differ.
    """
    return _finite(score, evidence(target, draft, characters))


def raw_scores(
    target: Sequence[float], draft: Sequence[float] | None = None, characters: int = 0, *, wanted: str = ""
) -> dict[str, float]:
    """Every score that can be computed, by name, and the raw `perplexity`: what a run logs to be rescored later.

    Computed are those that are built in, and the one that is `wanted`. Raises ScoreError as `score_chunk` does; a score
    that needs what this chunk does not have is left out.
    """
    known = evidence(target, draft, characters)
    raw: dict[str, float] = {}
    for name in dict.fromkeys((*_BUILT_IN, wanted or "log_perplexity")):
        score = _BUILT_IN[name] if name in _BUILT_IN else SCORES[name]
        if not (score.needs_draft and known.draft is None) and not (name == "nats_per_character" and characters < 1):
            raw[name] = _finite(score, known)
    with np.errstate(over="ignore"):
        perplexity = float(np.exp(raw["log_perplexity"]))
    if np.isfinite(perplexity):
        raw["perplexity"] = perplexity
    return raw


def evidence(target: Sequence[float], draft: Sequence[float] | None = None, characters: int = 0) -> Evidence:
    """Checked arrays from what the engines returned. Raises ScoreError."""
    scored = _log_probabilities(target, "target")
    if draft is None:
        return Evidence(scored, None, characters)
    drawn = _log_probabilities(draft, "draft")
    if len(drawn) != len(scored):
        raise ScoreError(f"misaligned: {len(drawn)} log-probabilities of the draft, {len(scored)} of the target")
    return Evidence(scored, drawn, characters)


def _log_probabilities(values: Sequence[float], whose: str) -> Floats:
    if len(values) == 0:
        raise ScoreError(f"the {whose} returned no log-probabilities: the chunk has no tokens")
    array = np.asarray(values, dtype=np.float64)  # None becomes NaN
    if not np.isfinite(array).all():
        first = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ScoreError(f"the {whose}'s log-probability of token {first} of {len(array)} is {values[first]}")
    return array


def _finite(score: Score, known: Evidence) -> float:
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            value = score.function(known)
    except SystemExit as error:  # it ends the chain, not the program
        raise AttsError(f"score {score.name} called sys.exit") from error
    if not isinstance(value, Real):
        raise TypeError(f"score {score.name} gave {value!r}, which is no number")
    if not np.isfinite(float(value)):
        raise ScoreError(f"{score.name} of the chunk is {value}")
    return kept(float(value))


_BUILT_IN = SCORES.builtin
