"""Comparisons: paired by question, and honest about what cannot be compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

import atts
from atts.results.compare import compare, unparted
from atts.stats.estimate import majority
from tests.results.test_loaded import execute


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[atts.LoadedRun]:
    folder = tmp_path_factory.mktemp("runs")
    return [atts.load_run(execute(folder / name, strategy=name)) for name in ("atts", "draft-only", "target-only")]


def with_verdicts(run: atts.LoadedRun, right: set[str]) -> atts.LoadedRun:
    """The run as if exactly these problems had been solved."""
    return replace(run, verdicts={key: key[0] in right for key in run.verdicts})


def test_differences_are_those_of_the_questions_and_flips_are_named(runs: list[atts.LoadedRun]) -> None:
    ids = [problem.id for problem in runs[0].problems]
    first, second = with_verdicts(runs[0], {ids[0]}), with_verdicts(runs[1], {ids[1], ids[2]})
    one, two = compare([first, second])
    assert one.difference is None and two.difference is not None
    found = two.difference.metrics["maj@k"]
    assert found.value == pytest.approx((majority(second.outcomes)[:, -1] - majority(first.outcomes)[:, -1]).mean())
    assert found.low <= found.value <= found.high
    assert two.difference.gained == (ids[1], ids[2]) and two.difference.lost == (ids[0],)


def test_runs_that_differ_nowhere_are_named_with_what_their_interval_means(runs: list[atts.LoadedRun]) -> None:
    ids = {problem.id for problem in runs[0].problems}
    first, same, other = with_verdicts(runs[0], ids), with_verdicts(runs[1], ids), with_verdicts(runs[2], set())
    found = compare([first, same, other])
    assert found[1].plain()["difference"]["alike"] == ["pass@1", "pass@k", "maj@k"]
    sentence = unparted(found, ["pass@1", "maj@k"])
    assert sentence is not None and f"{found[1].name} (pass@1, maj@k); there the interval is" in sentence
    assert found[2].name not in sentence
    assert unparted(compare([first, other]), ["pass@1"]) is None


def test_only_shared_questions_are_paired(runs: list[atts.LoadedRun]) -> None:
    problems = runs[1].problems
    other = replace(problems[0], question="another question")
    part = replace(runs[1], problems=(other, *problems[1:]))
    difference = compare([runs[0], part])[1].difference
    assert difference is not None and difference.metrics["pass@1"].questions == len(problems) - 1
    strangers = tuple(replace(problem, question="?" + problem.question) for problem in problems)
    assert compare([runs[0], replace(runs[1], problems=strangers)])[1].difference is None


def test_the_frontier(runs: list[atts.LoadedRun]) -> None:
    everything = {problem.id for problem in runs[0].problems}
    draft, target = with_verdicts(runs[1], set()), with_verdicts(runs[2], everything)
    both = with_verdicts(runs[0], everything)
    best = {one.strategy: one.best for one in compare([draft, target, both])}
    # The target alone is as good, and writes more.
    assert best == {"draft-only": True, "target-only": False, "atts": True}


def test_the_frontier_is_of_complete_runs_with_the_same_questions(runs: list[atts.LoadedRun]) -> None:
    everything = {problem.id for problem in runs[0].problems}
    both, target = (with_verdicts(run, everything) for run in (runs[0], runs[2]))
    partial = replace(with_verdicts(runs[1], everything), summary={**runs[1].summary, "status": "partial"})
    fewer = replace(with_verdicts(runs[1], everything), problems=runs[1].problems[:2])
    # Drafts alone would beat both, for no target token at all.
    for other in (partial, fewer):
        assert [(one.group, one.best) for one in compare([target, both, other])] == [
            (0, False),
            (0, True),
            (None, False),
        ]
    assert [one.best for one in compare([both, fewer])] == [False, False]
    # Two sets of questions have a frontier each.
    assert [one.best for one in compare([target, both, fewer, fewer])] == [False, True, True, True]


def test_names_that_occur_twice(runs: list[atts.LoadedRun]) -> None:
    assert [one.name for one in compare([runs[0], runs[0]])] == ["atts", "atts (2)"]
    assert compare([runs[0]])[0].plain()["difference"] is None


def costing(run: atts.LoadedRun, target: int) -> atts.LoadedRun:
    """The run as if the target had written so many tokens."""
    return replace(run, summary={**run.summary, "tokens": {**run.summary["tokens"], "target": target}})


def test_the_better_of_two_that_cost_the_same_is_on_the_frontier_alone(runs: list[atts.LoadedRun]) -> None:
    ids = [problem.id for problem in runs[0].problems]
    good, bad = (costing(with_verdicts(runs[0], set(right)), 500) for right in (ids[:2], ids[:1]))
    assert [one.best for one in compare([bad, good])] == [False, True]
    assert [one.best for one in compare([good, good])] == [True, True]  # neither beats the other
    assert [one.best for one in compare([good, costing(good, 499)])] == [False, True]
    assert [one.best for one in compare([good, costing(bad, 499)])] == [True, True]  # worse, for less
