from __future__ import annotations

import json
import os
import threading
from dataclasses import replace

import pytest

from atts.config.run import resolve
from atts.errors import InputError, RunError
from atts.store.folder import RunFolder
from atts.store.journal import JournalWriter
from atts.types import Status
from tests.store.made import PROBLEMS, a_chain, a_turn, piece


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


def test_closing_brings_the_journal_to_the_disk(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run has closed survives the machine: every line is there when the disk is asked to keep it."""
    synced: list[int] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", note)
    writer = folder.append()
    writer.turn(a_turn())
    writer.chain(a_chain())
    writer.close()
    assert synced == [(folder.path / "journal.jsonl").stat().st_size]
    assert synced[0] > 0
