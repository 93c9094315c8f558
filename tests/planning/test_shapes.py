"""Shapes come back as they were recorded, and a wrong file says where it is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from atts.config.run import resolve
from atts.engines.simulated.hardware import Machine
from atts.engines.simulated.work import Recorded, TurnShape, Typical
from atts.errors import InputError
from atts.planning.plan import Plan, simulate
from atts.planning.shapes import load_work
from atts.store.folder import RunFolder
from atts.types import Problem

LINES = [
    {"question": 4, "sample": 0, "answer": "15", "turns": [[1375, 1.7, 275], [550, 1.3, None], [10, None, None]]},
    {"question": 4, "sample": 1, "answer": "invalid", "turns": [[9999, 2.0, 0]]},
    {"question": 9, "sample": 0, "answer": None, "turns": [[275, 1.1, None]]},
]


def write(path: Path, *lines: object) -> str:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return str(path)


def test_a_file_of_chains(tmp_path: Path) -> None:
    work = load_work(write(tmp_path / "chains.jsonl", *LINES))
    assert isinstance(work, Recorded)
    assert (work.problems, work.samples, work.most_turns) == (2, 2, 3)
    first = work.shape(0, 0)
    assert first.answer == "15"
    assert first.turns[0] == TurnShape(500, 1.7, 100, True)
    assert first.turns[1] == TurnShape(200, 1.3, 100, False)  # drawn from the only takeover there is
    assert work.shape(0, 1).turns == (TurnShape(500, 2.0, 0, True),)
    assert work.shape(0, 1).answer is None
    assert work.shape(1, 1) == work.shape(1, 0)  # fewer samples than asked for repeat


def test_limits(tmp_path: Path) -> None:
    path = write(tmp_path / "chains.jsonl", *LINES)
    assert load_work(path, problems=1, samples=1).problems == 1
    assert load_work(path, limit=50).shape(0, 0).turns[0].draft == 50
    with pytest.raises(InputError, match="has 2 problems, fewer than the 3"):
        load_work(path, problems=3)


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    typical = Typical(count=4, samples=3)
    machines = Machine.named("8b@h100"), Machine.named("32b@2xh100")
    config = resolve(options={"problems": "own.jsonl", "samples": 3})
    RunFolder.create(tmp_path / "run", config, [Problem(str(n), "?", "1") for n in range(4)])
    simulate(Plan(typical, *machines), tmp_path / "run" / "journal.jsonl")
    work = load_work(str(tmp_path / "run"))
    lengths = sorted(tuple(turn.draft for turn in work.shape(p, s).turns) for p in range(4) for s in range(3))
    assert lengths == sorted(
        tuple(turn.draft for turn in typical.shape(p, s).turns) for p in range(4) for s in range(3)
    )


def test_a_chunk_without_characters_loses_nothing_of_its_chain(tmp_path: Path) -> None:
    empty = {"question": 1, "answer": "7", "turns": [[0, None, None], [500, 2, None], [0, 2, 0], [90, None, None]]}
    machines = Machine.named("8b@h100"), Machine.named("32b@2xh100")
    for fixed in (True, False):
        work = load_work(write(tmp_path / "chains.jsonl", empty), fixed=fixed)
        summary = simulate(Plan(work, *machines, rate=0.0)).summary
        assert summary["chains"]["answered"] == 1
        assert summary["tokens"]["draft"] == 1 + 182 + 1 + 33


def test_pieces_of_a_run_are_cut_like_those_of_a_file(tmp_path: Path) -> None:
    config = resolve(options={"problems": "own.jsonl", "samples": 2})
    RunFolder.create(tmp_path / "run", config, [Problem(str(n), "?", "1") for n in range(2)])
    machines = Machine.named("8b@h100"), Machine.named("32b@2xh100")
    simulate(Plan(Typical(count=2, samples=2), *machines, rate=1.0), tmp_path / "run" / "journal.jsonl")
    work = load_work(str(tmp_path / "run"), limit=50)
    pieces = [(turn.draft, turn.takeover) for p in range(2) for s in range(2) for turn in work.shape(p, s).turns]
    assert max(max(pair) for pair in pieces) == 50


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: not a chain"),
        ({"question": 1}, "line 2: not a chain"),
        ({"question": 1, "turns": []}, "a chain has turns"),
        ({"question": 1, "turns": [[10, 0.5, None]]}, "a perplexity is at least 1"),
        ({"question": 1, "turns": [[10, 1.5]]}, "line 2: not a chain"),
        ("[]", "line 2: not a chain"),
        ({"question": [1], "turns": [[-5, 1.5, None]]}, "line 2: not a chain"),
        ({"question": [1], "turns": [[10, None, None]]}, "a question is a text or a whole number"),
        ({"question": True, "turns": [[10, None, None]]}, "a question is a text or a whole number"),
        ({"question": 1, "answer": [1], "turns": [[10, None, None]]}, "an answer is a text, a number or null"),
        ({"question": 1, "turns": [[math.inf, None, None]]}, "a length is at least 0, and a finite number"),
        ({"question": 1, "turns": [[10**400, None, None]]}, "line 2: not a chain"),
        ({"question": 1, "turns": [["10", None, None]]}, "a length is at least 0"),
        ({"question": 1, "turns": [[10, None, False]]}, "a length is at least 0"),
        ({"question": 1, "turns": [[10, True, None]]}, "a perplexity is at least 1"),
        ({"question": 1, "turns": [[10, math.inf, None]]}, "a perplexity is at least 1, and a finite number"),
        ({"question": 1, "turns": [[10, math.nan, None]]}, "a perplexity is at least 1, and a finite number"),
        ("[" * 100_000, "line 2: not a chain"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_work(write(tmp_path / "chains.jsonl", LINES[0], line))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no chains there"):
        load_work(write(tmp_path / "empty.jsonl"))
    with pytest.raises(InputError, match="give typical, a run folder or a file"):
        load_work(str(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="no run there"):
        load_work(str(tmp_path))
