"""Runs beside each other: accuracy against what the target wrote and how long it took, paired by question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atts.evals.loaded import LoadedRun
from atts.stats.estimate import Bootstrap, Estimate, accuracy, passes

METRICS = ("pass@1", "pass@k", "maj@k")


@dataclass(frozen=True, slots=True)
class Difference:
    """A run less the first one, over the questions that both graded. `gained` and `lost` name problems whose vote
    flipped to right and to wrong; a vote that ties between right and wrong answers has not flipped."""

    metrics: dict[str, Estimate]
    gained: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """One run of a comparison. `best` says that no other run is at least as accurate (maj@k) for fewer target tokens.

    That is asked of the runs that are `ranked` only: complete, and of the same questions as the first run.
    Tokens and seconds are of the whole run; `difference` is None for the first run, and where no question is shared.
    """

    name: str
    strategy: str
    status: str
    problems: int
    samples: int
    accuracy: dict[str, Estimate]
    rate: float | None
    target_tokens: int
    target_read: int
    draft_tokens: int
    wall_s: float
    chain_s: float | None
    ranked: bool
    best: bool
    difference: Difference | None

    def plain(self) -> dict[str, Any]:
        """As data for JSON."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        found["accuracy"] = {name: estimate.plain() for name, estimate in self.accuracy.items()}
        if self.difference is not None:
            metrics = {name: estimate.plain() for name, estimate in self.difference.metrics.items()}
            found["difference"] = metrics | {"gained": list(self.difference.gained), "lost": list(self.difference.lost)}
        return found


def compare(runs: Sequence[LoadedRun]) -> list[Compared]:
    """The runs in the order given, each beside the first. Names that occur twice are told apart by number."""
    columns = [_columns(run) for run in runs]
    found = [_accuracy(run) for run in runs]
    cost = [run.summary["tokens"]["target"] for run in runs]
    ranked = _ranked(runs)
    best = _frontier([e["maj@k"].value if one else np.nan for e, one in zip(found, ranked, strict=True)], cost)
    names = list(_distinct([run.name for run in runs]))
    compared = []
    for place, run in enumerate(runs):
        tokens, time, takeover = run.summary["tokens"], run.summary["time"], run.summary["takeover"]
        other = _difference(runs[0], columns[0], run, columns[place]) if place else None
        compared.append(
            Compared(
                name=names[place],
                strategy=run.config.strategy,
                status=run.summary["status"],
                problems=len(run.problems),
                samples=run.config.samples,
                accuracy=found[place],
                rate=takeover["rate"]["value"] if takeover else None,
                target_tokens=tokens["target"],
                target_read=tokens["prefilled"],
                draft_tokens=tokens["draft"],
                wall_s=time["wall_s"],
                chain_s=time["chain_s"]["p50"],
                ranked=ranked[place],
                best=best[place],
                difference=other,
            )
        )
    return compared


def _accuracy(run: LoadedRun) -> dict[str, Estimate]:
    found = accuracy(run.outcomes)
    if run.config.vote_stop != "off":
        found["maj@k"] = Bootstrap(len(run.problems)).estimate(run.majority)
    return {name: found[name] for name in METRICS}


def _columns(run: LoadedRun) -> dict[str, NDArray[np.float64]]:
    """Each metric as a column of values, one a problem. pass@k and maj@k rest on all samples of a run."""
    passed = passes(run.outcomes)
    return dict(zip(METRICS, (passed[:, 0], passed[:, -1], run.majority), strict=True))


def _difference(
    first: LoadedRun,
    before: dict[str, NDArray[np.float64]],
    other: LoadedRun,
    after: dict[str, NDArray[np.float64]],
) -> Difference | None:
    rows = {(problem.id, problem.question): row for row, problem in enumerate(first.problems)}
    pairs = [
        (rows[key], row, problem.id)
        for row, problem in enumerate(other.problems)
        if (key := (problem.id, problem.question)) in rows
    ]
    if not pairs:
        return None
    ours, theirs = [pair[1] for pair in pairs], [pair[0] for pair in pairs]
    bootstrap = Bootstrap(len(pairs))
    metrics = {name: bootstrap.difference(after[name][ours], before[name][theirs]) for name in METRICS}
    old, new = before["maj@k"][theirs], after["maj@k"][ours]
    ids = [pair[2] for pair in pairs]
    gained = tuple(id_ for id_, was, is_ in zip(ids, old, new, strict=True) if was < 0.5 < is_)
    lost = tuple(id_ for id_, was, is_ in zip(ids, old, new, strict=True) if is_ < 0.5 < was)
    return Difference(metrics, gained, lost)


def _ranked(runs: Sequence[LoadedRun]) -> list[bool]:
    """Which runs can be told apart by accuracy and cost; none where there is nothing to tell them from."""
    questions = [{(problem.id, problem.question) for problem in run.problems} for run in runs]
    able = [
        run.summary["status"] == "complete" and own == questions[0] for run, own in zip(runs, questions, strict=True)
    ]
    return able if sum(able) > 1 else [False] * len(runs)


def _frontier(values: Sequence[float], cost: Sequence[int]) -> list[bool]:
    """Whether no other run is as good for less, or better for as much."""

    def beaten(mine: int) -> bool:
        return any(
            values[other] >= values[mine]  # NaN is neither as good nor better
            and cost[other] <= cost[mine]
            and (values[other] > values[mine] or cost[other] < cost[mine])
            for other in range(len(values))
        )

    return [not np.isnan(value) and not beaten(place) for place, value in enumerate(values)]


def _distinct(names: Sequence[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"
