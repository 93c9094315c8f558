"""Do the intervals of pass@1, pass@k and maj@k cover at their nominal level where samples of a question are correlated?

    python benchmarks/coverage.py [--runs 1000] [--json]

Difficulty is drawn from a Beta law for each question, then samples by that difficulty; wrong answers fall on three
others. The truth is the mean over 200,000 questions. Beside our interval stands the plain percentile bootstrap, and one
that takes samples for independent.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from atts.stats.estimate import Bootstrap, Outcomes, majority, passes

Floats = NDArray[np.float64]
LAWS = {"even": (1.0, 1.0), "split": (0.5, 0.5), "easy": (4.0, 1.0), "very easy": (8.0, 0.6), "hard": (0.4, 4.0)}
QUESTIONS = (20, 50, 200)
SAMPLES = 8
METRICS = ("pass@1", f"pass@{SAMPLES}", f"maj@{SAMPLES}")


def columns(rng: np.random.Generator, law: tuple[float, float], questions: int) -> tuple[Floats, Floats]:
    """Values by question and metric, and every single verdict."""
    rates = rng.beta(*law, questions)
    correct = rng.random((questions, SAMPLES)) < rates[:, None]
    votes = np.where(correct, 0, 1 + rng.integers(0, 3, correct.shape))
    table = Outcomes.of(correct, votes)
    passed = passes(table)
    return np.stack([passed[:, 0], passed[:, -1], majority(table)[:, -1]], axis=1), table.correct


def measure(law: tuple[float, float], questions: int, runs: int) -> Floats:
    """Coverage [interval, metric] of ours, the percentile bootstrap, and (pass@1 only) independent samples."""
    rng = np.random.default_rng(questions)
    truth = columns(rng, law, 200_000)[0].mean(axis=0)
    ours = Bootstrap(questions, draws=1000)
    counts = rng.multinomial(questions, np.full(questions, 1 / questions), size=1000) / questions
    covered = np.zeros((3, len(METRICS)))
    for _ in range(runs):
        values, correct = columns(rng, law, questions)
        found = ours.estimates(values)
        covered[0] += [e.low - 1e-12 <= t <= e.high + 1e-12 for e, t in zip(found, truth, strict=True)]
        low, high = np.quantile(counts @ values, [0.025, 0.975], axis=0)
        covered[1] += (low - 1e-12 <= truth) & (truth <= high + 1e-12)
        mean, spread = correct.mean(), 1.96 * correct.std() / correct.size**0.5
        covered[2, 0] += abs(mean - truth[0]) <= spread
    covered[2, 1:] = np.nan
    return covered / runs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, law in LAWS.items():
        for questions in QUESTIONS:
            ours, plain, naive = measure(law, questions, asked.runs)
            for i, metric in enumerate(METRICS):
                shares = {"ours": ours[i], "percentile": plain[i], "independent": naive[i]}
                figures = {key: None if np.isnan(value) else round(float(value), 3) for key, value in shares.items()}
                rows.append({"law": name, "questions": questions, "metric": metric, **figures})
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
