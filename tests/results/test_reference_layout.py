"""The reference's folders: read, and written again equal in every field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atts.errors import InputError
from atts.results.reference_layout import ReferenceFolder, write
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
    assert write(tmp_path / "ours", ReferenceFolder(source).records({})) == len(RECORDS)
    assert contents(tmp_path / "ours") == contents(source)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


ODD = [
    [record(i, f"{i // 2}?", [small(0, "x")]) for i in (4, 5, 6, 7)],  # begins in the middle
    [record(i, f"{i // 4}?", [small(0, "x")]) for i in (0, 1, 4, 5, 8, 9)],  # four samples a question, two of them made
    [record(0, "One?", [small(0, "x"), scored(0, 1.2, 0.7), {"turn": 0, "model": "eval_generate", "output": None}])],
    [record(0, "One?", [small(0, "x"), {"turn": 0, "model": "eval_ppl", "ppl": None, "percentile": 0.5}])],
    [record(0, ["One?"], [small(0, "x")])],
    [record(0, "One?", [small(0, "x") | {"finish": "stop"}]) | {"seed": 3}],  # more than the layout has
]


@pytest.mark.parametrize("records", ODD)
def test_what_is_unusual_comes_back_too(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    source = publish(tmp_path / "theirs", records)
    write(tmp_path / "ours", ReferenceFolder(source).records({}))
    assert contents(tmp_path / "ours") == contents(source)


def test_other_answers_are_all_that_changes(tmp_path: Path) -> None:
    folder = ReferenceFolder(publish(tmp_path / "theirs", RECORDS))
    found = dict(folder.records({("reference/0000", 1): "7", ("reference/0002", 0): None}))
    assert [found[i]["final_answer"] for i in range(6)] == ["1", "7", "", "invalid", "invalid", "invalid"]
    assert [found[i]["full_history"] for i in range(6)] == [entry["full_history"] for entry in RECORDS]


def test_a_number_in_the_name_of_a_file_stays_its_number(tmp_path: Path) -> None:
    source = tmp_path / "theirs"
    source.mkdir()
    (source / "problem_0003.json").write_text(json.dumps(record(103, "One?", []), indent=4))
    write(tmp_path / "ours", ReferenceFolder(source).records({}))
    assert contents(tmp_path / "ours") == contents(source)


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
        write(source, folder.records({}))


def test_a_question_is_known_without_its_context_where_that_tells(tmp_path: Path) -> None:
    source = publish(
        tmp_path / "theirs", [record(i, text, []) for i, text in enumerate(("Find x.", "Find y.", "a Find z."))]
    )
    known = [
        Problem("a", "Let x = 2.\n\nFind x.", "2", meta={"context": " Let x = 2. "}),
        Problem("b", "Let y = 3.\n\nFind y.", "3", meta={"context": "Let y = 3."}),
        Problem("c", "Let y = 4.\n\nFind y.", "4", meta={"context": "Let y = 4."}),
        Problem("d", "a\n\nFind z.", "5", meta={"context": "a"}),
    ]
    assert [problem.answer for problem in ReferenceFolder(source, known).problems()] == ["2", "", "5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cannot be read"), ("{}", "problem_index"), ('{"problem_index": 0, "final_answer": 3}', "final_answer")],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, text: str, message: str) -> None:
    source = publish(tmp_path / "theirs", RECORDS)
    (source / "problem_0002.json").write_text(text)
    with pytest.raises(InputError, match=rf"problem_0002.*{message}"):
        ReferenceFolder(source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"full_history": [5]}, "entry 0 is no object"),
        ({"full_history": [small(0, "x"), {"model": "small", "output": "x"}]}, "entry 1 is no object with turn"),
        ({"full_history": [{"turn": 0, "model": "small", "output": 5}]}, "entry 0: output is wrong"),
        ({"full_history": [{"turn": "0", "model": "small", "output": ""}]}, "entry 0: turn is wrong"),
        ({"full_history": [{"turn": 0, "model": "eval_ppl", "ppl": "1"}]}, "entry 0: ppl is wrong"),
        ({"question": 5}, "question is neither"),
        ({"question": []}, "question is neither"),
        ({"question": ["a", 5]}, "question is neither"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    source = publish(tmp_path / "theirs", [*RECORDS, record(6, "Six?", []) | change])
    with pytest.raises(InputError, match=rf"problem_0006.*{message}"):
        ReferenceFolder(source)


def test_an_unknown_entry_is_named(tmp_path: Path) -> None:
    source = publish(tmp_path / "theirs", [record(0, "One?", [{"turn": 0, "model": "other", "output": ""}])])
    with pytest.raises(InputError, match="other"):
        list(ReferenceFolder(source).histories())
