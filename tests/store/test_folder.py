from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from atts.config.run import resolve
from atts.errors import InputError, RunError
from atts.store.store import JournalWriter, RunFolder, write_json
from atts.types import Chain, Chunk, Decision, Finish, Piece, Problem, Role, Span, Status, Turn, Usage

PROBLEMS = [Problem("p0", "1+1?", "2", meta={"level": 1}), Problem("p1", "Which?", "B", ("x", "y"))]


def piece(author: Role = Role.DRAFT, text: str = "abc\n\n") -> Piece:
    return Piece(author, text, tuple(text.encode()), Finish.STOP, Usage(9, 4, 5), Span(0.0, 0.125, 1.5), (-0.5,) * 5)


def a_turn(number: int = 0, sample: int = 0) -> Turn:
    decision = Decision(3, Chunk("p0", sample, number), 0.25, 0.5, 0.2, False)
    return Turn("p0", sample, number, piece(), {"perplexity": 1.28}, Usage(14, 9), Span(1, 2, 3), decision)


def a_chain(sample: int = 0) -> Chain:
    return Chain("p0", sample, Status.DONE, "answer", 2, "abc\n\n€", "2", 0.0, 9.0)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", resolve(), PROBLEMS)


def test_what_is_written_is_read_back(folder: RunFolder) -> None:
    writer = folder.append()
    writer.turn(a_turn(0))
    writer.turn(a_turn(1))
    writer.chain(a_chain())
    writer.close()
    journal = RunFolder.open(folder.path).journal()
    [first, second] = journal.turns["p0", 0]
    assert (first.turn, second.turn) == (0, 1)
    assert first.decision == a_turn().decision
    assert first.draft is not None and first.draft.log_probabilities is None  # bulky; everything else stands
    assert (first.draft.ids, first.draft.span, first.draft.usage) == (piece().ids, piece().span, piece().usage)
    assert journal.chains == {("p0", 0): a_chain()}
    assert journal.damaged == []
    assert journal.last_time == 9.0
    assert folder.problems() == PROBLEMS
    assert folder.config == resolve()


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_cut_off_before_the_next_one(folder: RunFolder, cut: int) -> None:
    writer = folder.append()
    writer.turn(a_turn(0))
    writer.turn(a_turn(1))
    writer.close()
    path = folder.path / "journal.jsonl"
    os.truncate(path, path.stat().st_size - cut)
    assert len(folder.journal().turns["p0", 0]) == 1
    writer = folder.append()
    writer.turn(a_turn(1))
    writer.close()
    assert [turn.turn for turn in folder.journal().turns["p0", 0]] == [0, 1]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_damaged_line_is_named_and_skipped(folder: RunFolder) -> None:
    writer = folder.append()
    for number in range(3):
        writer.turn(a_turn(number))
    writer.close()
    path = folder.path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"kind":"turn","pro\n' + lines[2] + b"\xff\xfe\n[]\n")
    journal = folder.journal()
    assert journal.damaged == [2, 4, 5]
    # Turn 2 has lost its predecessor: the chain goes on from turn 1.
    assert [turn.turn for turn in journal.turns["p0", 0]] == [0]
    assert journal.unused == {("p0", 0): 1}
    assert folder.gaps()[:2] == [
        "Damaged lines of the journal were left out: 2, 4, 5.",
        "1 further turn of 1 chain could not be used, because a turn before them is missing.",
    ]


@pytest.mark.parametrize("line", [b"[" * 200_000, b'{"kind":"turn","problem":' + b"[" * 200_000])
def test_a_line_nested_without_end_is_damaged(line: bytes, folder: RunFolder) -> None:
    (folder.path / "journal.jsonl").write_bytes(line + b"\n")
    assert folder.journal().damaged == [1]


def test_a_time_that_is_no_time_damages_its_line_and_a_score_does_not(folder: RunFolder) -> None:
    writer = folder.append()
    writer.turn(a_turn(0))
    writer.turn(a_turn(1))
    writer.close()
    path = folder.path / "journal.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first.replace(b'"p_value":0.5', b'"p_value":NaN') + second.replace(b'"end":1.5', b'"end":1e999'))
    journal = folder.journal()
    assert journal.damaged == [2]
    assert len(journal.turns["p0", 0]) == 1


def test_a_chain_that_was_tried_again_has_one_history_with_all_its_turns(folder: RunFolder) -> None:
    writer = folder.append()
    writer.turn(a_turn(0))
    writer.turn(a_turn(0, sample=1))
    writer.chain(replace(a_chain(), status=Status.ERROR, turns=1))
    writer.chain(replace(a_chain(1), turns=1))
    writer.turn(a_turn(1))
    writer.chain(a_chain())
    writer.turn(a_turn(0, sample=2))  # never ended
    writer.close()
    found = {chain.sample: (chain.status, [turn.turn for turn in turns]) for chain, turns in folder.histories()}
    assert found == {1: (Status.DONE, [0]), 0: (Status.DONE, [0, 1])}
    assert len(list(folder.histories())) == 2
    assert folder.gaps() == ["14 of 16 chains have not ended."]


def test_one_process_at_a_time(folder: RunFolder) -> None:
    writer = folder.append()
    with pytest.raises(InputError, match="in use by another process"):
        folder.append()
    writer.close()
    folder.append().close()


def test_a_full_disk_is_an_error_not_a_silence(folder: RunFolder) -> None:
    writer = folder.append()
    written = threading.Event()

    class Full:
        def write(self, data: bytes) -> None:
            written.set()
            raise OSError(28, "No space left on device")

    real, writer._file = writer._file, Full()  # type: ignore[assignment]
    writer.turn(a_turn())
    written.wait(60)
    writer._thread.join(60)
    with pytest.raises(RunError, match="No space left"):
        writer.turn(a_turn(1))
    writer._file = real
    with pytest.raises(RunError, match="No space left"):
        writer.close()


def test_the_keys_that_differ_are_named(folder: RunFolder) -> None:
    folder.refuse_if_different(resolve())
    folder.refuse_if_different(resolve(options={"chains": 3, "draft_slots": 2}))  # only how fast
    with pytest.raises(InputError, match=r"samples was 8, is 4, takeover_rate was 0\.2, is 0\.3") as error:
        folder.refuse_if_different(resolve(options={"samples": 4, "takeover_rate": 0.3}))
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run there"):
        RunFolder.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        RunFolder.open(tmp_path)


def test_json_files_are_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": "é"})
    assert json.loads(path.read_text()) == {"a": "é"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["journal.jsonl", "summary.json", "problems.jsonl"])
def test_somebody_elses_files_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"mine": 1}\n')
    with pytest.raises(InputError, match=name):
        RunFolder.create(tmp_path, resolve(), PROBLEMS)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == '{"mine": 1}\n'


def test_killed_before_there_was_a_run_it_begins_again(folder: RunFolder) -> None:
    (folder.path / "run.json").unlink()
    assert RunFolder.create(folder.path, resolve(), PROBLEMS).problems() == PROBLEMS


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({}, "not a run of layout 1"),
        ({"schema": 2, "config": {}}, "not a run of layout 1"),
        ({"schema": 1, "config": "x"}, "not a run of layout 1"),
        ({"schema": 1, "config": {"newer": 1}, "versions": {"atts-llm": "9.1"}}, "written by atts 9.1, .*newer"),
    ],
)
def test_a_folder_of_another_version_says_so(folder: RunFolder, run: dict[str, object], message: str) -> None:
    write_json(folder.path / "run.json", run)
    with pytest.raises(InputError, match=f"run.json.*{message}") as error:
        RunFolder.open(folder.path)
    assert "\n" not in str(error.value)


def test_a_full_disk_is_one_error(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full takes nothing, as a disk that is full."""
    (folder.path / "journal.jsonl").symlink_to("/dev/full")
    writer = JournalWriter.__new__(JournalWriter)
    monkeypatch.setattr(JournalWriter, "_open_alone", staticmethod(lambda path: path.open("ab")))
    JournalWriter.__init__(writer, folder.path / "journal.jsonl")
    writer.chain(a_chain())
    with pytest.raises(RunError, match="No space left"):
        writer.close()
    (folder.path / f".summary.json.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"summary.json: cannot be written: No space left"):
        folder.write_summary({"status": "complete"})
    assert not list(folder.path.glob(".summary*"))
