"""Do the intervals of pass@1, pass@k and maj@k cover at their nominal level where samples of a question are correlated?

    python benchmarks/coverage.py [--runs 1000] [--of accuracy differences failures] [--json]

Difficulty is drawn from a Beta law for each question, then samples by that difficulty; wrong answers fall on three
others. The truth is the mean over 200,000 questions. Beside our interval stands the plain percentile bootstrap, and one
that takes samples for independent. Differences are those of two runs on the same questions.

`failures` puts rules for a difference beside each other, each as coverage and mean width (of pass@1): where a run is
as good as the other but on few questions, and where it is a little worse on all. The rules: ours; its bootstrap alone,
with half a question at the largest difference seen; that with the half question at ±1; Student's t.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from atts.stats.arrays import Bools, Floats
from atts.stats.estimate import Bootstrap, Estimate, Outcomes, majority, passes

LAWS = {"even": (1.0, 1.0), "split": (0.5, 0.5), "easy": (4.0, 1.0), "very easy": (8.0, 0.6), "hard": (0.4, 4.0)}
QUESTIONS = (20, 50, 200)
SAMPLES = 8
WORSE = 0.1  # by how much the other run of a difference is less able, at every question
ROUNDING = 1e-12
GOOD, MANY = 0.99, 16  # pass@1 and samples of the runs of which one fails on few questions
FAILURES = {"3 % lose all": (0.03, GOOD), "5 % lose .5": (0.05, 0.5), "10 % lose .3": (0.1, 0.3)}  # (share, loss)
FEW = (10, 20, 50, 100)
STUDENT = {10: 2.262, 20: 2.093, 50: 2.010, 100: 1.984, 200: 1.972}  # 97.5 % quantiles, by questions
METRICS = ("pass@1", f"pass@{SAMPLES}", f"maj@{SAMPLES}")


def columns(rng: np.random.Generator, rates: Floats) -> tuple[Floats, Floats]:
    """Values by question and metric, and every single verdict, of questions of these difficulties."""
    correct = rng.random((len(rates), SAMPLES)) < rates[:, None]
    votes = np.where(correct, 0, 1 + rng.integers(0, 3, correct.shape))
    table = Outcomes.of(correct, votes)
    passed = passes(table)
    return np.stack([passed[:, 0], passed[:, -1], majority(table)[:, -1]], axis=1), table.correct


def measure(law: tuple[float, float], questions: int, runs: int) -> Floats:
    """Coverage [interval, metric] of ours, the percentile bootstrap, and (pass@1 only) independent samples."""
    rng = np.random.default_rng(questions)
    truth = columns(rng, rng.beta(*law, 200_000))[0].mean(axis=0)
    ours, counts = Bootstrap(questions, draws=1000), resamples(rng, questions)
    covered = np.zeros((3, len(METRICS)))
    for _ in range(runs):
        values, correct = columns(rng, rng.beta(*law, questions))
        covered[0] += [holds(e, t) for e, t in zip(ours.estimates(values), truth, strict=True)]
        covered[1] += percentile(counts, values, truth)
        mean, spread = correct.mean(), 1.96 * correct.std() / correct.size**0.5
        covered[2, 0] += abs(mean - truth[0]) <= spread
    covered[2, 1:] = np.nan
    return covered / runs


def measure_differences(law: tuple[float, float], questions: int, runs: int) -> Floats:
    """The same of a run less a worse one on the same questions; there is no interval over samples."""
    rng = np.random.default_rng(questions)

    def pair(size: int) -> tuple[Floats, Floats]:
        rates = rng.beta(*law, size)
        return columns(rng, rates)[0], columns(rng, np.clip(rates - WORSE, 0, 1))[0]

    better, worse = pair(200_000)
    truth = (better - worse).mean(axis=0)
    ours, counts = Bootstrap(questions, draws=1000), resamples(rng, questions)
    covered = np.full((3, len(METRICS)), np.nan)
    covered[:2] = 0
    for _ in range(runs):
        better, worse = pair(questions)
        found = [ours.difference(*both) for both in zip(better.T, worse.T, strict=True)]
        covered[0] += [holds(e, t) for e, t in zip(found, truth, strict=True)]
        covered[1] += percentile(counts, better - worse, truth)
    return covered / runs


def resamples(rng: np.random.Generator, questions: int) -> Floats:
    """A thousand draws of as many questions, as weights [draw, question]."""
    return rng.multinomial(questions, np.full(questions, 1 / questions), size=1000) / questions


def percentile(counts: Floats, values: Floats, truth: Floats) -> Bools:
    """Whether the percentile bootstrap's intervals hold the truth, by metric."""
    low, high = np.quantile(counts @ values, [0.025, 0.975], axis=0)
    return np.asarray((low - ROUNDING <= truth) & (truth <= high + ROUNDING))


def holds(estimate: Estimate, truth: float) -> bool:
    return bool(estimate.low - ROUNDING <= truth <= estimate.high + ROUNDING)


Pair = Callable[[np.random.Generator, int], tuple[Floats, Floats]]  # pass@1 by question: of the worse, of the better


def failing(share: float, loss: float) -> tuple[Pair, float]:
    """Two runs of pass@1 .99, of which one loses so much at a share of the questions; and the true difference."""

    def draw(rng: np.random.Generator, questions: int) -> tuple[Floats, Floats]:
        rates = GOOD - loss * (rng.random(questions) < share)
        return rng.binomial(MANY, rates) / MANY, rng.binomial(MANY, GOOD, questions) / MANY

    return draw, -share * loss


def ordinary(law: tuple[float, float]) -> tuple[Pair, float]:
    """Two runs on questions of this law, one of them worse everywhere; and the true difference."""

    def draw(rng: np.random.Generator, questions: int) -> tuple[Floats, Floats]:
        rates = rng.beta(*law, questions)
        worse = np.clip(rates - WORSE, 0, 1)
        return rng.binomial(SAMPLES, worse) / SAMPLES, rng.binomial(SAMPLES, rates) / SAMPLES

    rates = np.random.default_rng(0).beta(*law, 1_000_000)
    return draw, float((np.clip(rates - WORSE, 0, 1) - rates).mean())


def by_rule(bootstrap: Bootstrap, ours: Floats, theirs: Floats) -> dict[str, Estimate]:
    """The difference and its interval by each rule."""
    values, questions = ours - theirs, len(ours)
    seen = float(np.abs(values).max()) if np.ptp(values) > ROUNDING else 1.0
    mean, half = values.mean(), STUDENT[questions] * values.std(ddof=1) / questions**0.5
    return {
        "ours": bootstrap.difference(ours, theirs),
        "largest seen": bootstrap.estimate(values, limits=(-seen, seen)),
        "±1": bootstrap.estimate(values, limits=(-1, 1)),
        "Student": Estimate(mean, mean - half, mean + half, questions),
    }


def measure_rules(pair: Pair, truth: float, questions: int, runs: int) -> dict[str, tuple[float, float]]:
    """Coverage and mean width by rule."""
    rng, bootstrap = np.random.default_rng(questions), Bootstrap(questions, draws=1000)
    found = [by_rule(bootstrap, *pair(rng, questions)) for _ in range(runs)]
    return {
        rule: (
            float(np.mean([holds(one[rule], truth) for one in found])),
            float(np.mean([one[rule].high - one[rule].low for one in found])),
        )
        for rule in found[0]
    }


def rules(runs: int) -> list[dict[str, Any]]:
    """A row a case and number of questions; "coverage width" by rule."""
    cases = {name: failing(*case) for name, case in FAILURES.items()}
    cases |= {f"worse by {WORSE}, {name}": ordinary(law) for name, law in LAWS.items()}
    rows = []
    for name, (pair, truth) in cases.items():
        for questions in FEW if name in FAILURES else QUESTIONS:
            measured = measure_rules(pair, truth, questions, runs)
            figures = {rule: [round(figure, 3) for figure in pair] for rule, pair in measured.items()}
            rows.append({"of": "failures", "case": name, "questions": questions, **figures})
    return rows


OF = {"accuracy": measure, "differences": measure_differences}


def figures(of: str, runs: int) -> list[dict[str, Any]]:
    """Coverage by law, number of questions and metric."""
    rows = []
    for name, law in LAWS.items():
        for questions in QUESTIONS:
            ours, plain, naive = OF[of](law, questions, runs)
            for i, metric in enumerate(METRICS):
                shares = {"ours": ours[i], "percentile": plain[i], "independent": naive[i]}
                found = {key: None if np.isnan(value) else round(float(value), 3) for key, value in shares.items()}
                rows.append({"of": of, "law": name, "questions": questions, "metric": metric, **found})
    return rows


def shown(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(cell(value) for value in row.values()))
    return table


def cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(f"{figure:.3f}" for figure in value)
    return "–" if value is None else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--of", choices=[*OF, "failures"], nargs="*", default=[*OF, "failures"])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = [row for of in asked.of if of in OF for row in figures(of, asked.runs)]
    compared = rules(asked.runs) if "failures" in asked.of else []
    if asked.json:
        print(json.dumps(rows + compared, indent=2))
    else:
        if rows:
            Console().print(shown("coverage of nominal 95 % intervals", rows))
        if compared:
            Console().print(shown("nominal 95 % intervals of a difference: coverage and mean width", compared))
    least = min([row["ours"] for row in rows] + [row["ours"][0] for row in compared], default=1.0)
    return 0 if least > 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
