"""Run folders with recorded chains, written by the project's own journal; a plug-in of `conftest.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from atts.config.run import resolve
from atts.store.folder import RunFolder
from atts.types import Chain, Decision, Finish, Piece, Problem, Role, Span, Status, Turn, Usage
from atts.types import Chunk as Decided

MakeRun = Callable[..., RunFolder]


def chain(problem: str, sample: int, text: str, answer: str | None, status: Status = Status.DONE) -> Chain:
    return Chain(problem, sample, status, "end", 1, text, answer, 0.5, 2.0)


def turn(problem: str, sample: int, text: str, number: int = 0) -> Turn:
    piece = Piece(Role.DRAFT, text, (1, 2, 3), Finish.END, Usage(10, 5, 3), Span(0.0, 0.5, 1.0))
    decision = Decision(0, Decided(problem, sample, number), 0.25, 0.75, 0.4, rejected=False)
    return Turn(problem, sample, number, piece, {"log_perplexity": 0.25}, decision=decision)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A run folder of these problems and chains; the chains of a problem are its samples in order."""

    def make(problems: Sequence[Problem], chains: Sequence[Chain], **config: object) -> RunFolder:
        samples = 1 + max((ended.sample for ended in chains), default=0)
        settings = resolve(options={"problems": "own.jsonl", "samples": samples, "grader": "numeric", **config})
        folder = RunFolder.create(tmp_path / "run", settings, problems)
        writer = folder.append()
        for ended in chains:
            writer.turn(turn(ended.problem, ended.sample, ended.text))
            writer.chain(ended)
        writer.close()
        return folder

    return make
