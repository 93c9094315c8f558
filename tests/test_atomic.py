from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from atts import atomic


def test_json_files_are_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    atomic.write_json(path, {"a": 1})
    atomic.write_json(path, {"a": "é"})
    assert json.loads(path.read_text()) == {"a": "é"}
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"old")
    with atomic.whole(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_what_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="no row"), atomic.whole(path) as file:
        file.write(b"half")
        raise ValueError("no row")
    assert [(found, found.read_bytes()) for found in tmp_path.iterdir()] == [(path, b"old")]


def test_a_new_file_never_replaces(tmp_path: Path) -> None:
    path = tmp_path / "grading.jsonl"
    atomic.write(path, b"first", new=True)
    with pytest.raises(FileExistsError):
        atomic.write(path, b"second", new=True)
    assert [(found, found.read_bytes()) for found in tmp_path.iterdir()] == [(path, b"first")]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """/dev/full takes nothing, as a disk that is full."""
    path = tmp_path / "summary.json"
    path.write_bytes(b"old")
    (tmp_path / f".summary.json.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        atomic.write(path, b"new")
    assert [(found, found.read_bytes()) for found in tmp_path.iterdir()] == [(path, b"old")]


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    atomic.write(pipe, b"events")
    reader.join(10)
    assert read == [b"events"] and pipe.is_fifo()


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "run.json", tmp_path / "run.json"
    target.write_bytes(b"old")
    link.symlink_to(target)
    atomic.write(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["run.json"]
