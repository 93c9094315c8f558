"""Votes of a recorded run that weigh samples by what is known of them beside their answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from atts.stats.arrays import Floats
from atts.stats.estimate import Bootstrap, Estimate, Outcomes, vote
from atts.types import Chain, Key, Problem, Turn

Weights = Mapping[Key, float]


def by_perplexity(turns: Sequence[Turn]) -> float:
    """1 over the mean perplexity of the scored chunks under the target; 0 where none was scored, which is no vote.

    What no text can have is no perplexity: the reference writes 0 where it could not score.
    """
    scored = [perplexity for turn in turns if (perplexity := perplexity_of(turn)) is not None]
    found = [perplexity for perplexity in scored if 1 <= perplexity < math.inf]
    return len(found) / sum(found) if found else 0.0


def by_takeovers(turns: Sequence[Turn]) -> float:
    """1 over 1 + the number of takeovers."""
    return 1 / (1 + sum(turn.takeover is not None or turn.replaced for turn in turns))


WEIGHINGS: dict[str, Callable[[Sequence[Turn]], float]] = {"perplexity": by_perplexity, "takeovers": by_takeovers}


def perplexity_of(turn: Turn) -> float | None:
    """The perplexity of a turn's chunk under the target; None where it was not scored."""
    if "perplexity" in turn.scores:
        return turn.scores["perplexity"]
    return math.exp(turn.scores["log_perplexity"]) if "log_perplexity" in turn.scores else None


def weights(histories: Iterable[tuple[Chain, Sequence[Turn]]]) -> dict[str, dict[Key, float]]:
    """The weight of every chain, by the names of `WEIGHINGS`."""
    found: dict[str, dict[Key, float]] = {name: {} for name in WEIGHINGS}
    for chain, turns in histories:
        for name, weigh in WEIGHINGS.items():
            found[name][chain.problem, chain.sample] = weigh(turns)
    return found


def weighted(problems: Sequence[Problem], table: Outcomes, weighings: Mapping[str, Weights]) -> dict[str, Estimate]:
    """The accuracy of the vote of all samples under each weighing, with its interval.

    A question of which no sample has a weight is left out: it has not voted wrong, it has not voted.
    """
    samples = range(table.correct.shape[1])
    bootstrap = Bootstrap(len(problems))
    arrays = {name: _array(problems, samples, known) for name, known in weighings.items()}
    return {name: bootstrap.estimate(_votes(table, weights)) for name, weights in arrays.items()}


def _votes(table: Outcomes, weights: Floats) -> Floats:
    return np.where(weights.any(axis=1), vote(replace(table, weights=weights)), np.nan)


def _array(problems: Sequence[Problem], samples: range, known: Weights) -> Floats:
    return np.array([[known.get((problem.id, sample), 0.0) for sample in samples] for problem in problems])
