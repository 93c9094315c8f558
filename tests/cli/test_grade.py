"""`atts grade` and `atts export` as a user calls them."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from atts.cli import main
from atts.config.run import resolve
from atts.store.folder import RunFolder
from atts.types import Chain, Finish, Piece, Problem, Role, Span, Status, Turn, Usage


@pytest.fixture
def run(tmp_path: Path) -> Path:
    config = resolve(options={"problems": "own.jsonl", "samples": 2, "grader": "exact"})
    problems = [Problem("a", "One half?", "0.5"), Problem("b", "Two?", "2")]
    folder = RunFolder.create(tmp_path / "run", config, problems)
    writer = folder.append()
    for problem, sample, answer in (("a", 0, "1/2"), ("a", 1, "0.5"), ("b", 0, "3"), ("b", 1, None)):
        text = f"So \\boxed{{{answer}}}" if answer else "Hm"
        piece = Piece(Role.DRAFT, text, (1, 2), Finish.END, Usage(3, 0, 2), Span(0, 0, 1))
        writer.turn(Turn(problem, sample, 0, piece, {"log_perplexity": 0.5}))
        writer.chain(Chain(problem, sample, Status.DONE, "end", 1, text, answer, 0.0, 1.5))
    writer.close()
    return folder.path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    status, out, err = call(capsys, *arguments, "--json")
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_another_grader_changes_a_verdict_and_writes_a_file_of_its_own(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.iterdir()}
    found = report(capsys, "grade", str(run), "--grader", "numeric")
    assert found["before"]["correct"] == 1 and found["after"]["correct"] == 2
    assert [(c["after"]["problem"], c["after"]["sample"]) for c in found["changes"]] == [("a", 0)]
    assert found["disagreements"] == 1
    assert Path(found["written"]).name == "recorded-numeric.jsonl"
    again = report(capsys, "grade", str(run), "--grader", "numeric", "--against", "recorded-numeric")
    assert Path(again["written"]).name == "recorded-numeric-2.jsonl"
    assert again["changes"] == []
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_dry_run_writes_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "grade", str(run), "--grader", "numeric", "--dry-run")
    assert found["written"] is None and len(found["changes"]) == 1
    assert not (run / "gradings").exists()


def test_a_grading_that_changes_nothing_says_what_its_interval_means(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = " ".join(call(capsys, "grade", str(run), "--dry-run")[1].split())
    assert "change of pass@1: none on any question; there the interval is how far other questions could" in said


def test_the_table_fits_a_screen(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "grade", str(run), "--grader", "numeric")
    assert status == 0
    assert max(len(line) for line in out.splitlines() if str(run) not in line) <= 100  # a path is not cut
    assert "pass@1" in out and "wrong: 1/2" in out and "right: 1/2" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grader", "guess"], "there is no grader 'guess'"),
        (["--answer", "guess"], "there is no answer rule 'guess'"),
        (["--pattern", "("], "not a regular expression"),
        (["--grader", "judge"], "needs --model"),
        (["--against", "none"], "no grading 'none'"),
        (["--name", "a/b"], "grading name"),
        (["--split", "test"], "--split and --columns go with --problems"),
        (["--columns", "answer=gold"], "--split and --columns go with --problems"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    status, out, err = call(capsys, "grade", str(run), *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert not (run / "gradings").exists()


def test_a_folder_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "grade", str(tmp_path))
    assert status == 2 and "neither a run folder" in err


def test_results_of_the_reference_are_graded_with_answers_from_elsewhere(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "theirs"
    assert call(capsys, "export", str(run), "--layout", "reference", "--out", str(out))[0] == 0
    assert sorted(path.name for path in out.iterdir()) == [f"problem_{i:04d}.json" for i in range(4)]
    status, _, err = call(capsys, "grade", str(out))
    assert status == 2 and "--problems" in err
    known = tmp_path / "known.jsonl"
    known.write_text('{"question":"One half?","answer":"0.5"}\n{"question":"Two?","answer":2}\n')
    found = report(capsys, "grade", str(out), "--problems", str(known), "--grader", "numeric", "--answer", "boxed")
    assert found["after"]["correct"] == 2 and found["after"]["chains"] == 4
    name = Path(found["written"]).stem
    again = tmp_path / "again"
    assert call(capsys, "export", str(out), "--layout", "reference", "--grading", name, "--out", str(again))[0] == 0
    for file in again.iterdir():
        assert file.read_bytes() == (out / file.name).read_bytes()


async def test_a_judge_is_asked_once_and_then_never_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, openai_server: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.url)
    arguments = ("grade", str(run), "--grader", "judge", "--model", "judge-1")
    dry = await asyncio.to_thread(report, capsys, *arguments, "--dry-run")
    assert openai_server.bodies == []
    assert dry["after"]["reasons"] == {"not asked": 3}
    first = await asyncio.to_thread(report, capsys, *arguments)
    assert first["judge"] == {"requests": 3, "cached": 0, "failed": 0}
    assert first["after"]["correct"] == 3
    second = await asyncio.to_thread(report, capsys, *arguments)
    assert second["judge"] == {"requests": 0, "cached": 3, "failed": 0}
    assert len(openai_server.bodies) == 3
    gradings = await asyncio.to_thread(lambda: [path.read_text() for path in (run / "gradings").iterdir()])
    assert len(gradings) == 2 and not any("sk-secret" in text for text in gradings)


async def test_a_judge_that_is_not_there_fails_the_command_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, openai_server: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    openai_server.script = lambda body, number: web.Response(status=404, text="no [/red] model")
    address = openai_server.url.replace("http://", "http://me:secret@")
    arguments = ("grade", str(run), "--grader", "judge", "--model", "judge-1", "--base-url", address)
    status, out, err = await asyncio.to_thread(call, capsys, *arguments)
    assert status == 1 and "[/red]" in out
    assert err.startswith("error: 3 answers got no reply of the judge: ") and err.count("\n") == 1
    [saved] = await asyncio.to_thread(lambda: [path.read_text() for path in (run / "gradings").iterdir()])
    assert json.loads(saved.partition("\n")[0])["server"] == openai_server.url and "secret" not in saved


def test_a_pattern_gives_a_grading_its_name(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "grade", str(run), "--pattern", r"boxed\{(.*)\}", "--dry-run")
    assert found["grading"] == "pattern-exact"


def folder(path: Path, asked: list[Problem], **options: Any) -> Path:
    """A run in which every problem was answered with a stray tag."""
    made = RunFolder.create(path, resolve(options={"samples": 1, "grader": "exact", **options}), asked)
    writer = made.append()
    for problem in asked:
        writer.chain(Chain(problem.id, 0, Status.DONE, "end", 1, "\\boxed{[/b]}", "[/red]", 0.0, 1.5))
    writer.close()
    return made.path


def test_square_brackets_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder(tmp_path / "a[red]", [Problem("[/x]", "?", "[/b]")], problems="[b].jsonl")
    status, out, err = call(capsys, "grade", str(run), "--answer", "boxed")
    assert status == 0, err
    assert all(text in out for text in ("a[red]", "[b].jsonl", "[/x]", "wrong: [/red]", "right: [/b]"))
    status, out, err = call(capsys, "compare", str(run), str(run))
    assert status == 0 and "[b].jsonl" in out and "a[red]" in out, err


def test_a_subset_is_never_shown_as_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder(tmp_path / "run", [Problem("a", "?", "1")], problems="aime24", subset="reference")
    called = "aime24 (reference subset: the first 15)"
    assert report(capsys, "grade", str(run), "--dry-run")["data"] == called
    assert called in " ".join(call(capsys, "grade", str(run), "--dry-run")[1].split())
    whole = folder(tmp_path / "whole", [Problem("a", "?", "1")], problems="aime24")
    _, out, _ = call(capsys, "compare", str(run), str(whole), "--json")
    assert [one["data"] for one in json.loads(out)] == [called, "aime24"]
    assert called in " ".join(call(capsys, "compare", str(run), str(run))[1].split())
    assert "(reference" in call(capsys, "compare", str(run), str(whole))[1]


def test_half_a_character_in_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    entry = {"turn": 0, "model": "small", "output": "\\boxed{\ud835}"}
    record = {
        "problem_index": 0,
        "final_answer": "5",
        "duration_seconds": 1.0,
        "full_history": [entry],
        "question": "?",
    }
    (theirs / "problem_0000.json").write_text(json.dumps(record))
    (tmp_path / "known.csv").write_text("frage,loesung\n?,5\n")
    options = ("--problems", str(tmp_path / "known.csv"), "--columns", "question=frage,answer=loesung")
    status, out, err = call(capsys, "grade", str(theirs), *options, "--answer", "boxed")
    assert status == 0 and "wrong: ?" in out, err
    exported = tmp_path / "chains.csv"
    status, _, err = call(capsys, "export", str(theirs), "--grading", "boxed-suited", "--out", str(exported))
    assert status == 0 and "\\ud835" in exported.read_text(), err


@pytest.mark.parametrize("name", ["grade", "export", "compare", "check", "report"])
def test_examples_in_help_stand_line_by_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, name, "--help")
    assert "\\b" not in out
    assert any(line.strip().startswith(f"atts {name} ") for line in out.splitlines())


def test_export_as_csv_with_verdicts(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(capsys, "grade", str(run), "--grader", "numeric", "--name", "mine")
    target = tmp_path / "chains.csv"
    assert report(capsys, "export", str(run), "--grading", "mine", "--out", str(target))["count"] == 4
    with target.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["correct"] for row in rows] == ["True", "True", "False", "False"]
    assert rows[0]["draft_tokens"] == "2" and rows[0]["seconds"] == "1.5"
    status, _, err = call(capsys, "export", str(run), "--out", str(target))
    assert status == 2 and "stands already" in err
    assert report(capsys, "export", str(run), "--table", "turns", "--out", str(tmp_path / "turns.csv"))["count"] == 4


def test_export_as_parquet(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    target = tmp_path / "turns.parquet"
    report(capsys, "export", str(run), "--layout", "parquet", "--table", "turns", "--out", str(target))
    rows = parquet.read_table(target).to_pylist()
    assert [row["log_perplexity"] for row in rows] == [0.5] * 4
