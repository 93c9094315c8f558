"""Do the intervals of pass@1, pass@k and maj@k cover at their nominal level where samples of a question are correlated?

    python benchmarks/coverage.py [--runs 1000] [--of accuracy differences] [--json]

Difficulty is drawn from a Beta law for each question, then samples by that difficulty; wrong answers fall on three
others. The truth is the mean over 200,000 questions. Beside our interval stands the plain percentile bootstrap, and one
that takes samples for independent. Differences are those of two runs on the same questions.
"""

from __future__ import annotations

import argparse
import json
import sys
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


OF = {"accuracy": measure, "differences": measure_differences}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--of", choices=OF, nargs="*", default=list(OF))
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for of in asked.of:
        for name, law in LAWS.items():
            for questions in QUESTIONS:
                ours, plain, naive = OF[of](law, questions, asked.runs)
                for i, metric in enumerate(METRICS):
                    shares = {"ours": ours[i], "percentile": plain[i], "independent": naive[i]}
                    figures = {
                        key: None if np.isnan(value) else round(float(value), 3) for key, value in shares.items()
                    }
                    rows.append({"of": of, "law": name, "questions": questions, "metric": metric, **figures})
    if asked.json:
        print(json.dumps(rows, indent=2))
    else:
        table = Table(*rows[0], title="coverage of nominal 95 % intervals")
        for row in rows:
            table.add_row(*("–" if value is None else str(value) for value in row.values()))
        Console().print(table)
    return 0 if min(row["ours"] for row in rows) > 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
