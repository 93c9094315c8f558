"""Problems from files: every bad row is named by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atts.errors import InputError
from atts.problems import Columns, describe, label, load
from atts.types import Problem


def jsonl(path: Path, *rows: Any) -> str:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return str(path)


def test_jsonl(tmp_path: Path) -> None:
    name = jsonl(
        tmp_path / "mine.jsonl",
        {"id": "first", "question": "1 + 1?", "answer": 2, "level": 1},
        "",
        {"question": "2 + 2?", "answer": 4.0},
        {"question": "Which?", "answer": "blue", "choices": ["red", "blue"]},
        {"question": "Which one?", "answer": "a", "choices": ["red", "blue"]},
    )
    assert load(name) == [
        Problem("first", "1 + 1?", "2", meta={"level": 1}),
        Problem("mine/3", "2 + 2?", "4"),
        Problem("mine/4", "Which?", "B", ("red", "blue")),
        Problem("mine/5", "Which one?", "A", ("red", "blue")),
    ]
    assert len(load(name, n=2)) == 2
    assert describe(name).origin == "file"


def test_csv_with_columns_of_other_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('\ufeffnumber,problem,gold,options\nx1,"What is\n1 + 1?",2,\nx2,Which?,blue,red|blue\n', "utf-8")
    columns = Columns.parse("question=problem, answer=gold,choices=options,id=number")
    assert load(str(path), columns=columns) == [
        Problem("x1", "What is\n1 + 1?", "2"),
        Problem("x2", "Which?", "B", ("red", "blue")),
    ]


@pytest.mark.parametrize("text", ["gold", "answer=", "colour=gold", "question:problem"])
def test_columns_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"columns .* write them as answer=…,answers=…,choices=…,id=…,question=…"):
        Columns.parse(text)


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "mine.parquet"
    table = pyarrow.table({"question": ["1?", "2?"], "answer": [1.0, 2.5], "choices": [None, ["2.5", "3"]]})
    parquet.write_table(table, path)
    assert load(str(path)) == [Problem("mine/1", "1?", "1"), Problem("mine/2", "2?", "A", ("2.5", "3"))]
    path.write_bytes(b"not parquet")
    with pytest.raises(InputError, match="not a Parquet file"):
        load(str(path))


BAD = [
    ("nonsense", "line 2: not JSON"),
    ("[1]", "line 2: not a JSON object"),
    ("[" * 100_000, "line 2: not JSON"),
    ({"question": "b"}, "line 2: no column 'answer'; it has question"),
    ({"question": "b", "answer": None}, "line 2: answer is empty"),
    ({"question": "  ", "answer": 1}, "line 2: question is empty"),
    ({"question": "b", "answer": [1, 2]}, "line 2: answer is neither text nor a number"),
    ({"question": "b", "answer": True}, "line 2: answer is neither text nor a number"),
    ('{"question": "b", "answer": NaN}', "line 2: nan is not a number"),
    ({"question": " a ", "answer": 1}, "line 2: same question as line 1"),
    ('{"question": "b \\ud835", "answer": 1}', r"line 2: half a character (\ud835)"),
    ('{"question": "b", "answer": 1, "level": "\\udfff"}', r"line 2: half a character (\udfff)"),
    ({"id": "one", "question": "b", "answer": 1}, "line 2: same id 'one' as line 1"),
    ({"question": "b", "answer": "C", "choices": ["x", "y"]}, "line 2: answer 'C' is no letter and no text"),
    ({"question": "b", "answer": "A", "choices": ["x", "x"]}, "line 2: choices must be 2 to 26 different texts"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_row_is_named_by_its_line_or_skipped(tmp_path: Path, row: Any, message: str) -> None:
    name = jsonl(tmp_path / "mine.jsonl", {"id": "one", "question": "a", "answer": 1}, row)
    with pytest.raises(InputError) as caught:
        load(name)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert [problem.id for problem in load(name, skip_bad=True)] == ["one"]


def test_many_bad_rows_are_counted(tmp_path: Path) -> None:
    name = jsonl(tmp_path / "mine.jsonl", *["x"] * 12)
    with pytest.raises(InputError, match=r"line 5: .*; and 7 more"):
        load(name)
    with pytest.raises(InputError, match="holds no problems"):
        load(name, skip_bad=True)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b'{"question": "\xff", "answer": 1}\n')
    with pytest.raises(InputError, match="line 1: not JSON"):
        load(str(path))


def test_a_csv_row_of_another_width(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("question,answer\na,1\nb\nc,2,3\n")
    with pytest.raises(InputError, match="line 3: 2 columns expected; line 4: 2 columns expected"):
        load(str(path))


def test_a_pair_of_escapes_is_one_character(tmp_path: Path) -> None:
    name = jsonl(tmp_path / "mine.jsonl", '{"question": "\\ud835\\udc65", "answer": 1}')
    assert load(name)[0].question == "\U0001d465"


def test_a_csv_row_is_named_by_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('question,answer\n\n"a\nb\nc",1\n"d\ne",\nf,3\n')
    with pytest.raises(InputError, match=r"mine.csv: line 6: answer is empty \("):
        load(str(path))
    assert [problem.id for problem in load(str(path), skip_bad=True)] == ["mine/3", "mine/8"]


def test_a_long_field_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"question,answer\n{'x' * 200_000},1\nb,2\n")
    assert [len(problem.question) for problem in load(str(path))] == [200_000, 1]


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'question,answer\na,1\n"b"x,2\nc,3\n', "line 3: not CSV"),
        (b'question,answer\na,1\n"b,2\nc,3\n', "line 3: not CSV"),
        ("question,answer\na,1\ncaf\xe9 ?,2\n".encode("latin-1"), "line 3: not UTF-8; save it as UTF-8"),
    ],
)
def test_a_broken_csv_file_is_refused_whole(tmp_path: Path, content: bytes, message: str, skip_bad: bool) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(str(path), skip_bad=skip_bad)


@pytest.mark.parametrize("field", ["question", "answer", "choices", "id"])
def test_a_column_that_does_not_exist_is_refused(tmp_path: Path, field: str) -> None:
    name = jsonl(tmp_path / "mine.jsonl", {"question": "a", "answer": 1})
    with pytest.raises(InputError, match=r"no column 'nope'; it has question, answer"):
        load(name, columns=Columns.parse(f"{field}=nope"), skip_bad=True)


def test_how_many_rows_were_skipped_is_told(tmp_path: Path) -> None:
    name = jsonl(tmp_path / "mine.jsonl", {"question": "a", "answer": 1}, "x", {"question": "b"})
    told: list[str] = []
    load(name, skip_bad=True, told=told.append)
    assert len(told) == 1 and "rows skipped: 2 (line 2: not JSON" in told[0]
    load(jsonl(tmp_path / "good.jsonl", {"question": "a", "answer": 1}), skip_bad=True, told=told.append)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nothing", {}, "there is no data set 'nothing'; there are: bundled, math500"),
        ("missing.jsonl", {}, "no file missing.jsonl"),
        ("bundled", {"split": "dev"}, "there is no split 'dev' of bundled; there are: test, calibration, train"),
        ("bundled", {"subset": "reference"}, "there is no subset 'reference' of bundled; there are: easy, hard"),
        ("p.jsonl", {"subset": "hard"}, "there is no subset 'hard' of p.jsonl; there are: none"),
        ("gsm8k", {"subset": "reference"}, "there is no subset 'reference' of gsm8k"),
        ("bundled", {"n": 0}, "must be at least 1"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(name: str, options: dict[str, Any], message: str) -> None:
    if "subset" in options:
        with pytest.raises(InputError, match=message):
            label(name, **options)
        return
    with pytest.raises(InputError, match=message):
        load(name, **options)


def test_the_bundled_family_is_the_default_kind() -> None:
    problems = load("bundled", n=5)
    assert len(problems) == 5 and load("bundled", n=5) == problems
    assert len(load("bundled")) == 20
    assert load("bundled", n=5, seed=1) != problems
    assert label("bundled") == "bundled"


@pytest.mark.parametrize(("subset", "lengths"), [("easy", {3, 4}), ("hard", {7, 8}), (None, {4, 5, 6})])
def test_bundled_problems_of_each_difficulty(subset: str | None, lengths: set[int]) -> None:
    problems = load("bundled", n=40, subset=subset)
    assert {problem.question.count(". ") - 1 for problem in problems} == lengths
    assert (subset or "bundled") in label("bundled", subset=subset)


def test_a_letter_in_the_answer_column_is_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("question,answer,choices\nWhich?,B,4 m|5 m|6 m\nTrue?,true,True|False\n", "utf-8")
    assert [problem.answer for problem in load(str(path))] == ["B", "A"]


def test_an_answer_that_can_be_read_two_ways_is_refused_unless_columns_say_which(tmp_path: Path) -> None:
    path = tmp_path / "blood.csv"
    path.write_text("question,answer,choices\nAB?,AB,O|A|B|AB\nGroup?,A,O|A|B|AB\n", "utf-8")
    with pytest.raises(InputError, match="line 3: answer 'A' is the letter of 'O' and the text of option B: say which"):
        load(str(path))
    assert [p.answer for p in load(str(path), columns=Columns.parse("answers=text"))] == ["D", "B"]
    path.write_text("question,answer,choices\nGroup?,A,O|A|B|AB\n", "utf-8")
    assert [p.answer for p in load(str(path), columns=Columns.parse("answers=letter"))] == ["A"]
    with pytest.raises(InputError, match="answers is letter or text, not 'word'"):
        Columns.parse("answers=word")


def test_options_that_only_begin_like_a_list(tmp_path: Path) -> None:
    path = tmp_path / "ions.csv"
    path.write_text("question,answer,choices\nWhich?,A,[Cu(NH3)4]2+|[Fe(CN)6]4-\n", "utf-8")
    assert load(str(path))[0].choices == ("[Cu(NH3)4]2+", "[Fe(CN)6]4-")


def test_parquet_with_bytes_and_decimals(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from decimal import Decimal

    from pyarrow import parquet

    path = tmp_path / "mine.parquet"
    images = [{"bytes": b"\xff\xd8", "path": "a.jpg"}]
    columns = {"question": ["1?"], "answer": [Decimal("12.50")], "image": images, "raw": [b"\xff"], "level": [3]}
    parquet.write_table(pyarrow.table(columns), path)
    told: list[str] = []
    assert load(str(path), told=told.append) == [Problem("mine/1", "1?", "12.5", meta={"level": 3})]
    assert told == [f"{path}: left out, since they hold no text and no numbers: image, raw"]
