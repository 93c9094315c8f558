"""The reference's folders: read, and written again equal in every field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atts.errors import InputError
from atts.evals.reference_layout import ReferenceFolder, write
from atts.types import Problem

MULTIPLE_CHOICE = ["Which?", "right", "wrong 1", "wrong 2", "wrong 3"]


def record(index: int, question: Any, history: list[dict[str, Any]], answer: str = "invalid") -> dict[str, Any]:
    return {
        "problem_index": index,
        "final_answer": answer,
        "duration_seconds": 12.345678901234567 + index,
        "full_history": history,
        "question": question,
    }


def small(turn: int, output: str | None) -> dict[str, Any]:
    return {"turn": turn, "model": "small", "output": output}


def scored(turn: int, ppl: float, percentile: float) -> dict[str, Any]:
    return {"turn": turn, "model": "eval_ppl", "ppl": ppl, "percentile": percentile}


def taken(turn: int, output: str) -> dict[str, Any]:
    return {"turn": turn, "model": "eval_generate", "output": output}


RECORDS = [
    record(
        0,
        "One?",
        [
            small(0, "So \\boxed{1}"),
            scored(0, 1.6998628521760086, 0.4125),
        ],
        "1",
    ),
    record(1, "One?", [small(0, "Hm"), scored(0, 2.1, 0.9), taken(0, "no"), small(1, "…"), scored(1, 1.0, 0.0)]),
    record(2, "Two?", [small(0, "a"), scored(0, 1.5, 0.7), taken(0, ""), small(1, "")], ""),
    record(3, "Two?", [small(0, None)]),
    record(4, MULTIPLE_CHOICE, [small(0, "Answer: \\boxed{A}\n\n"), scored(0, 0, 0.0)], "A"),
    record(5, MULTIPLE_CHOICE, []),
]


def publish(folder: Path, records: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    for entry in records:
        text = json.dumps(entry, indent=4)
        (folder / f"problem_{entry['problem_index']:04d}.json").write_text(text, encoding="utf-8")
    return folder


def test_imported_and_exported_again_it_is_the_same(tmp_path: Path) -> None:
    source = publish(tmp_path / "theirs", RECORDS)
    folder = ReferenceFolder(source)
    count = write(tmp_path / "ours", folder.problems(), folder.histories(), folder.repeats)
    assert count == len(RECORDS)
    for file in source.iterdir():
        assert json.loads((tmp_path / "ours" / file.name).read_bytes()) == json.loads(file.read_bytes())
        assert (tmp_path / "ours" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("missing", [0, 1, 3, 5])
def test_a_missing_file_shifts_nothing(tmp_path: Path, missing: int) -> None:
    folder = ReferenceFolder(publish(tmp_path / "theirs", [r for r in RECORDS if r["problem_index"] != missing]))
    assert folder.repeats == 2
    numbers = [(chain.problem, chain.sample) for chain in folder.chains()]
    assert numbers == [(f"reference/{i // 2:04d}", i % 2) for i in range(6) if i != missing]


def test_chains_say_what_the_files_say(tmp_path: Path) -> None:
    folder = ReferenceFolder(publish(tmp_path / "theirs", RECORDS))
    first, second, third, *_ = folder.chains()
    assert (first.answer, first.turns, first.end) == ("1", 1, 12.345678901234567)
    assert (second.answer, second.turns, second.text) == (None, 2, "Hm\n\nno\n\n…")
    assert third.answer == ""
    turns = list(folder.histories())[1][1]
    assert turns[0].scores == {"perplexity": 2.1, "percentile": 0.9}
    assert turns[0].takeover is not None and turns[0].takeover.text == "no"


def test_known_answers_come_from_a_data_set_by_the_question(tmp_path: Path) -> None:
    source = publish(tmp_path / "theirs", RECORDS)
    known = [
        Problem("a", "Two?", "2"),
        Problem("b", "One?  ", "1"),
        Problem("c", "Which?", "C", ("wrong 2", "wrong 1", "right", "wrong 3")),
    ]
    answers = [problem.answer for problem in ReferenceFolder(source, known).problems()]
    assert answers == ["1", "2", "A"]
    assert [problem.answer for problem in ReferenceFolder(source).problems()] == ["", "", ""]


def test_a_full_folder_is_never_written_into(tmp_path: Path) -> None:
    source = publish(tmp_path / "theirs", RECORDS)
    folder = ReferenceFolder(source)
    with pytest.raises(InputError, match="not empty"):
        write(source, folder.problems(), folder.histories(), folder.repeats)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cannot be read"), ("{}", "problem_index"), ('{"problem_index": 0, "final_answer": 3}', "final_answer")],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, text: str, message: str) -> None:
    source = publish(tmp_path / "theirs", RECORDS)
    (source / "problem_0002.json").write_text(text)
    with pytest.raises(InputError, match=rf"problem_0002.*{message}"):
        ReferenceFolder(source)


def test_an_unknown_entry_is_named(tmp_path: Path) -> None:
    source = publish(tmp_path / "theirs", [record(0, "One?", [{"turn": 0, "model": "other", "output": ""}])])
    with pytest.raises(InputError, match="other"):
        list(ReferenceFolder(source).histories())
