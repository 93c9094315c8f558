"""Is grading right, how fast is it, does it leave the event loop free, and does it survive hostile texts?

    python benchmarks/grading.py [--chains 10000] [--hostile 1000] [--json]
    python benchmarks/grading.py --only cases

Cases are the project's own table of answers and of texts, by kind, with the verdicts that are due.

Needs the extra `math`. Chains are made up: answers of many shapes to 1,000 questions, 16,000 characters of text each.
Exit status 1 if a figure is out of bounds. On a machine with other work, read processor_seconds, not seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.grading.hostile import hostile

from atts.config.run import resolve
from atts.grading import extract as answers
from atts.grading import regrade as grading
from atts.grading.graders import named
from atts.grading.mathematics import Math
from atts.store.folder import RunFolder
from atts.types import Chain, Problem, Status

QUESTIONS = 1_000
TABLES = Path(__file__).parents[1] / "tests" / "grading"
SHAPES: tuple[Callable[[int, int], tuple[str, str]], ...] = (
    lambda q, s: (f"{q}", f"{q + s % 3}"),
    lambda q, s: (f"\\frac{{{q}}}{{{q + 7}}}", f"{q + s % 2}/{q + 7}"),
    lambda q, s: (f"{q}\\sqrt{{2}}", f"\\sqrt{{{2 * q * q + s % 2}}}"),
    lambda q, s: (f"({q}, {q + 1})", f"({q},{q + 1 + s % 2})"),
    lambda q, s: (f"x^2 - {q}", f"-{q} + x^{{2 + {s % 2}}}"),
    lambda q, s: (f"[{q}, \\infty)", f"[{q + s % 2},\\infty)"),
    lambda q, s: (f"\\text{{word {q}}}", f"word {q + s % 2}"),
    lambda q, s: (f"{q}\\pi", f"\\pi \\cdot {q + s % 4}"),
)


def problems() -> list[Problem]:
    return [Problem(f"q{q}", f"Question {q}?", SHAPES[q % len(SHAPES)](q, 0)[0]) for q in range(QUESTIONS)]


def chains(count: int) -> Iterator[Chain]:
    filler = random.Random(0).choices("abcdefgh {}\\$\n", k=16_000)
    for i in range(count):
        q, s = i % QUESTIONS, i // QUESTIONS
        text = "".join(filler) + f"</think> So \\boxed{{{SHAPES[q % len(SHAPES)](q, s)[1]}}}."
        yield Chain(f"q{q}", s, Status.DONE, "answer", 4, text, None, 0.0, 1.0)


def speed(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        samples = -(-count // QUESTIONS)
        config = resolve(options={"problems": "own.jsonl", "samples": samples})
        run = RunFolder.create(Path(folder) / "run", config, problems())
        writer = run.append()
        for chain in chains(count):
            writer.chain(chain)
        writer.close()
        grader = Math(workers=2)
        begun, used = time.perf_counter(), processor_seconds()
        graded, worst = asyncio.run(_graded(run, grader))
        seconds = time.perf_counter() - begun
        grader.close()
        used = processor_seconds() - used  # children count once they have ended
        begun = time.perf_counter()
        counts = grading.figures(run.problems(), graded, grader.key)
    assert counts["chains"] == count
    return {
        "chains": count,
        "seconds": seconds,
        "processor_seconds": used,
        "figures_seconds": time.perf_counter() - begun,
        "longest_block_ms": 1000 * worst,
        "right": counts["correct"],
        "ungraded": counts["ungraded"],
    }


def processor_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


async def _graded(run: RunFolder, grader: Math) -> tuple[grading.Grading, float]:
    gaps: list[float] = []

    async def watch() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - begun - 0.001)

    watcher = asyncio.create_task(watch())
    found = await grading.grade(run, grading.ByRule(grader, answers.extractor()), name="speed", how={})
    watcher.cancel()
    return found, max(gaps)


def survival(count: int, limit: int = 1) -> dict[str, Any]:
    grader = Math(workers=2, seconds=limit)
    extract = answers.extractor()
    longest_extraction = 0.0

    def judged(text: str) -> tuple[bool | None, float]:
        nonlocal longest_extraction
        begun, used = time.perf_counter(), time.thread_time()
        answer = extract(text) or text
        longest_extraction = max(longest_extraction, time.thread_time() - used)
        verdict = grader.grade(answer, Problem("p", "?", "7"))
        return verdict, time.perf_counter() - begun

    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(judged, hostile(count)))
    grader.close()
    verdicts = Counter(verdict for verdict, _ in results)
    return {
        "inputs": count,
        "seconds": time.perf_counter() - begun,
        "longest_s": max(seconds for _, seconds in results),
        "longest_extraction_s": longest_extraction,
        "hard_limit_s": 2 * limit + 1.5,
        "wrong": verdicts[False],
        "right": verdicts[True],
        "ungraded": verdicts[None],
        "workers_killed": grader.workers.replaced,
        "worker_peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "own_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def cases() -> dict[str, dict[str, float]]:
    """By kind of case: how many are right, how many wrong answers are called right, and the slowest, in seconds."""
    graders = {name: named(name) for name in ("math", "numeric", "choice", "suited")}
    found: dict[str, dict[str, float]] = {}
    for case in csv.DictReader((TABLES / "cases.csv").read_text("utf-8").splitlines()):
        choices = tuple(case["choices"].split("|")) if case["choices"] else ()
        begun = time.perf_counter()
        verdict = graders[case["grader"]].grade(case["answer"], Problem("p", "?", case["known"], choices))
        due = case["verdict"] == "right"
        _count(found, case["kind"], verdict is due, verdict is True and not due, time.perf_counter() - begun)
    for grader in graders.values():
        grader.close()
    for text in json.loads((TABLES / "texts.json").read_text("utf-8")):
        begun = time.perf_counter()
        same = answers.extractor(text["rule"])(text["text"]) == text["answer"]
        _count(found, f"extraction: {text['rule']}", same, False, time.perf_counter() - begun)
    return found


def _count(found: dict[str, dict[str, float]], kind: str, right: bool, false: bool, seconds: float) -> None:
    row = found.setdefault(kind, {"cases": 0, "right": 0, "wrong called right": 0, "slowest_s": 0.0})
    row["cases"] += 1
    row["right"] += right
    row["wrong called right"] += false
    row["slowest_s"] = max(row["slowest_s"], seconds)


def _print_cases(found: dict[str, dict[str, float]]) -> None:
    table = Table("kind", "right", "wrong called right", "slowest")
    total = {name: sum(row[name] for row in found.values()) for name in ("cases", "right", "wrong called right")}
    total["slowest_s"] = max(row["slowest_s"] for row in found.values())
    for kind, row in {**found, "all": total}.items():
        share = f"{row['right']:.0f} of {row['cases']:.0f}"
        table.add_row(kind, share, f"{row['wrong called right']:.0f}", f"{row['slowest_s']:.2f} s")
    Console().print(table)


def _trusted(found: dict[str, dict[str, float]]) -> bool:
    rows = found.values()
    enough = sum(row["right"] for row in rows) >= 0.98 * sum(row["cases"] for row in rows)
    return enough and all(row["wrong called right"] == 0 and row["slowest_s"] < 10 for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=10_000)
    parser.add_argument("--hostile", type=int, default=1_000)
    parser.add_argument("--only", choices=["cases"], help="nothing but this part")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    judged = cases()
    if not asked.json:
        _print_cases(judged)
    if asked.only:
        if asked.json:
            print(json.dumps({"cases": judged}, indent=2))
        return 0 if _trusted(judged) else 1
    found: dict[str, Any] = {"speed": speed(asked.chains), "survival": survival(asked.hostile)}
    if asked.json:
        print(json.dumps({"cases": judged, **found}, indent=2))
    else:
        table = Table("", "figure", "value")
        for part, figures in found.items():
            for name, value in figures.items():
                table.add_row(part, name, f"{value:,.3f}" if isinstance(value, float) else f"{value:,}")
        Console().print(table)
    # Processor time over two cores, since a machine may have other work.
    fast = found["speed"]["processor_seconds"] / 2 < 60
    safe = found["survival"]["longest_s"] < 2 * found["survival"]["hard_limit_s"]
    return 0 if fast and safe and _trusted(judged) else 1


if __name__ == "__main__":
    sys.exit(main())
