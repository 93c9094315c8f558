"""How long the report of a large run takes, and how large it is: `python benchmarks/report.py [--json]`.

The run has 100 problems × 16 samples of 15 turns. A chunk has 500 tokens and about 2,000 characters, with formulas; the
target writes three of ten anew. It is written by the store's own writer into a temporary folder, which is not measured.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from atts import load_run
from atts.config.run import resolve
from atts.report.page import write_page
from atts.store.folder import RunFolder
from atts.types import Chain, Chunk, Decision, Finish, Piece, Problem, Role, Span, Status, Turn, Usage

PROBLEMS, SAMPLES, TURNS = 100, 16, 15
RATE = 0.3
_TOKENS = 500
_WORDS = 330  # of a chunk
_VOCABULARY = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in ("a", "e", "io", "u") for c in ("n", "r", "st", "")]
_FORMULAS = [rf"\(x_{{{n}}}^2+\frac{{{n}}}{{{n + 1}}}\)" for n in range(100)]
_SHARE_OF_FORMULAS = 0.03


def main() -> None:
    """Write the run, make its report, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        write_run(run)
        began, busy = time.perf_counter(), time.process_time()
        size = write_page([load_run(run)], Path(folder) / "report.html")
        found = {
            "chains": PROBLEMS * SAMPLES,
            "turns": PROBLEMS * SAMPLES * TURNS,
            "journal_mb": round((run / "journal.jsonl").stat().st_size / 1e6, 1),
            "seconds": round(time.perf_counter() - began, 2),
            "processor_s": round(time.process_time() - busy, 2),
            "mb": round(size / 1e6, 2),
        }
    if "--json" in sys.argv:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name:12} {value:,}")


def write_run(path: Path) -> None:
    """A finished run of that size."""
    draws = random.Random(0)
    problems = [Problem(f"p{number:03d}", f"Find {text(draws, 20)}", "42") for number in range(PROBLEMS)]
    config = resolve(preset="bundled", options={"limit": PROBLEMS, "samples": SAMPLES, "turns": TURNS})
    writer = RunFolder.create(path, config, problems).append()
    for order, problem in enumerate(problems):
        for sample in range(SAMPLES):
            start = 60 * draws.random()
            for turn in turns(draws, problem.id, sample, start, first=(order * SAMPLES + sample) * TURNS):
                writer.turn(turn)
            answer = draws.choice(("42", "41"))
            end = start + 3.0 * TURNS
            writer.chain(Chain(problem.id, sample, Status.DONE, "answer", TURNS, "", answer, start, end))
    writer.close()


def turns(draws: random.Random, problem: str, sample: int, start: float, *, first: int) -> Iterator[Turn]:
    """The turns of a chain, three seconds each; `first` is the number of the first decision."""
    for number in range(TURNS):
        at, p_value = start + 3.0 * number, draws.random()
        rejected = p_value <= RATE
        decision = Decision(first + number, Chunk(problem, sample, number), draws.random(), p_value, RATE, rejected)
        yield Turn(
            *(problem, sample, number),
            draft=piece(draws, Role.DRAFT, at),
            scores={"log_perplexity": draws.random()},
            scored=Usage(_TOKENS, _TOKENS, 0),
            scoring=Span(at + 1, at + 1.1, at + 1.5),
            decision=decision,
            takeover=piece(draws, Role.TARGET, at + 1.5) if rejected else None,
            replaced=rejected,
        )


def piece(draws: random.Random, author: Role, at: float) -> Piece:
    """A chunk at its limit."""
    span = Span(at, at + 0.1, at + 1)
    return Piece(author, text(draws, _WORDS), (1,) * _TOKENS, Finish.LENGTH, Usage(_TOKENS, 0, _TOKENS), span)


def text(draws: random.Random, words: int) -> str:
    """So many words, a few of them formulas."""
    chosen = draws.choices(_VOCABULARY, k=words)
    for place in range(words):
        if draws.random() < _SHARE_OF_FORMULAS:
            chosen[place] = draws.choice(_FORMULAS)
    return " ".join(chosen) + "\n\n"


if __name__ == "__main__":
    main()
