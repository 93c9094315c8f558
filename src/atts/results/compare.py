"""Runs beside each other: accuracy against what the target wrote and how long it took, paired by question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atts.results.loaded import LoadedRun
from atts.results.outline import UNSEEN
from atts.stats.arrays import Floats
from atts.stats.estimate import Bootstrap, Estimate, accuracy, alike, passes

METRICS = ("pass@1", "pass@k", "maj@k")


@dataclass(frozen=True, slots=True)
class Difference:
    """A run less the first one, over the questions that both graded. `gained` and `lost` name problems whose vote
    flipped to right and to wrong; a vote that ties between right and wrong answers has not flipped. `alike` names the
    metrics that are the same on every question."""

    metrics: dict[str, Estimate]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    alike: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """One run of a comparison. `best` says that no other run is at least as accurate (maj@k) for fewer target tokens.

    `data` is what to call its problems: a subset's name says that it is one.
    That is asked only within a `group`: two or more complete runs with the same questions, by number; None without one.
    Tokens and seconds are of the whole run, `running_s` without the time in which models loaded. `difference` is None
    for the first run, and where no question is shared.
    """

    name: str
    data: str
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
    loading_s: float
    running_s: float
    chain_s: float | None
    group: int | None
    best: bool
    difference: Difference | None

    def plain(self) -> dict[str, Any]:
        """As data for JSON."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        found["accuracy"] = {name: estimate.plain() for name, estimate in self.accuracy.items()}
        if self.difference is not None:
            metrics = {name: estimate.plain() for name, estimate in self.difference.metrics.items()}
            lists = {name: list(getattr(self.difference, name)) for name in ("gained", "lost", "alike")}
            found["difference"] = metrics | lists
        return found


def compare(runs: Sequence[LoadedRun]) -> list[Compared]:
    """The runs in the order given, each beside the first. Names that occur twice are told apart by number."""
    columns = [_columns(run) for run in runs]
    found = [_accuracy(run) for run in runs]
    cost = [run.summary["tokens"]["target"] for run in runs]
    groups = _groups(runs)
    best = _frontier([estimates["maj@k"].value for estimates in found], cost, groups)
    names = list(_distinct([run.name for run in runs]))
    compared = []
    for place, run in enumerate(runs):
        tokens, time, takeover = run.summary["tokens"], run.summary["time"], run.summary["takeover"]
        other = _difference(runs[0], columns[0], run, columns[place]) if place else None
        compared.append(
            Compared(
                name=names[place],
                data=run.summary["data"],
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
                loading_s=time["loading_s"],
                running_s=time["running_s"],
                chain_s=time["chain_s"]["p50"],
                group=groups[place],
                best=best[place],
                difference=other,
            )
        )
    return compared


def unparted(found: Sequence[Compared], shown: Sequence[str]) -> str | None:
    """A sentence on the runs that differ from the first one nowhere, by metric shown; None where there is none."""
    same = {one.name: [m for m in shown if m in one.difference.alike] for one in found if one.difference is not None}
    named = ", ".join(f"{name} ({', '.join(metrics)})" for name, metrics in same.items() if metrics)
    return f"the same as {found[0].name} on every question: {named}; {UNSEEN}" if named else None


def _accuracy(run: LoadedRun) -> dict[str, Estimate]:
    found = accuracy(run.outcomes)
    if run.config.vote_rule().early:
        found["maj@k"] = Bootstrap(len(run.problems)).estimate(run.majority)
    return {name: found[name] for name in METRICS}


def _columns(run: LoadedRun) -> dict[str, Floats]:
    """Each metric as a column of values, one a problem. pass@k and maj@k rest on all samples of a run."""
    passed = passes(run.outcomes)
    return dict(zip(METRICS, (passed[:, 0], passed[:, -1], run.majority), strict=True))


def _difference(
    first: LoadedRun,
    before: dict[str, Floats],
    other: LoadedRun,
    after: dict[str, Floats],
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
    same = tuple(name for name in METRICS if alike(after[name][ours], before[name][theirs]))
    return Difference(metrics, gained, lost, same)


def _groups(runs: Sequence[LoadedRun]) -> list[int | None]:
    """For each run the number of its group: complete runs with the same questions can be told apart by cost."""
    questions = [
        frozenset((problem.id, problem.question) for problem in run.problems)
        if run.summary["status"] == "complete"
        else None
        for run in runs
    ]
    counts = Counter(own for own in questions if own is not None)
    numbers = {own: number for number, own in enumerate(own for own, count in counts.items() if count > 1)}
    return [None if own is None else numbers.get(own) for own in questions]


def _frontier(values: Sequence[float], cost: Sequence[int], groups: Sequence[int | None]) -> list[bool]:
    """Whether no other run of a run's group is as good for less, or better for as much."""

    def beaten(mine: int) -> bool:
        return any(
            groups[other] == groups[mine]
            and values[other] >= values[mine]
            and cost[other] <= cost[mine]
            and (values[other] > values[mine] or cost[other] < cost[mine])
            for other in range(len(values))
        )

    able = [group is not None and not np.isnan(value) for group, value in zip(groups, values, strict=True)]
    return [one and not beaten(place) for place, one in enumerate(able)]


def _distinct(names: Sequence[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"
