"""Standard output and error as they may be: encodings without our signs, closed pipes, full disks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atts.cli import streams
from tests.results.test_loaded import execute

COMMANDS = [["ls"], ["ls", "--json"], ["compare", "run", "run"], ["grade", "run", "--dry-run"], ["run", "--help"]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("streams")
    execute(place / "run")
    return place


def run_atts(place: Path, *arguments: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "atts", *arguments]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, timeout=300, check=False)


ALL = """
import json, sys
from atts.cli import main
for command in json.loads(sys.argv[1]):
    try:
        main(command)
    except SystemExit as ended:
        assert ended.code == 0, command
    print("\\f", end="")
"""
"""All commands in one process, as starting one takes the most time."""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_every_encoding_shows_every_table(place: Path, encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", ALL, json.dumps(COMMANDS)]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    parts = done.stdout.decode(encoding).split("\f")
    for arguments, shown in zip(COMMANDS, parts[:-1], strict=True):
        assert "\\u2" not in shown or arguments == ["ls", "--json"]  # none of our own signs; letters keep their numbers
        if arguments == ["ls", "--json"]:
            assert "Candès" in json.loads(shown)["calibrators"]["dtaci"]


def test_an_error_is_one_line_in_every_encoding(place: Path) -> None:
    for encoding, shown in (("ascii", "n\\u00e4h-\\u221e"), ("latin-1", "näh-\\u221e")):
        done = run_atts(place, "compare", "näh–∞", encoding=encoding)
        assert done.returncode == 2
        assert done.stderr.decode(encoding) == f"error: {shown}: no run there (a folder with run.json is needed)\n"


@pytest.mark.parametrize("command", [["ls"], ["run", "--help"]])
def test_a_reader_that_leaves_is_no_error(place: Path, command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "atts", *command], cwd=place, stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("command", [["ls"], ["ls", "--json"]])
def test_a_full_disk_is_one_line(place: Path, command: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "atts", *command], cwd=place, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"error: standard output: No space left on device\n")


def test_a_run_goes_on_when_nobody_reads_its_progress(place: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "atts", "run", "--draft", "scripted:5", "--target", "scripted:5", "--limit", "2"]
    try:
        done = subprocess.run(
            [*command, "--json", "--out", "unseen"], cwd=place, stdout=subprocess.PIPE, stderr=write, check=False
        )
    finally:
        os.close(write)
    assert done.returncode == 0 and json.loads(done.stdout)["status"] == "complete"


def test_our_own_signs_have_others_of_the_same_width() -> None:
    assert "8 × 2, 1–3 → x…".encode("ascii", streams.PLAIN) == b"8 x 2, 1-3 > x~"
    assert "π 𝜋".encode("ascii", streams.PLAIN) == b"\\u03c0 \\U0001d70b"


def test_names_that_cannot_be_are_bad_input(place: Path) -> None:
    for command in (["replay", "a" * 300, "--score", "ppl"], ["compare", "run/run.json/more"]):
        done = run_atts(place, *command)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") == 1


def test_what_was_given_is_never_written_over(place: Path) -> None:
    scores = place / "scores.csv"
    scores.write_text("problem,sample,turn,ppl\na,0,0,1.5\nb,0,0,2.5\n")
    for command, kept in (
        (["report", "run", "--out", "run/run.json"], place / "run" / "run.json"),
        (["report", "run", "--timeline", "run/../run/journal.jsonl"], place / "run" / "journal.jsonl"),
        (["replay", "scores.csv", "--score", "ppl", "--decisions", "scores.csv"], scores),
    ):
        before = kept.read_bytes()
        done = run_atts(place, *command)
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1, done.stderr
        assert kept.read_bytes() == before


def test_files_that_are_nested_without_end_or_empty_are_refused_in_one_line(place: Path) -> None:
    (place / "deep.json").write_text("[" * 100_000)
    shutil.copytree(place / "run", place / "without", dirs_exist_ok=True)
    (place / "without" / "problems.jsonl").write_bytes(b"")
    for command in (
        ["run", "--config", "deep.json", "--out", "new"],
        ["calibrate", "--describe", "deep.json"],
        ["compare", "without"],
    ):
        done = run_atts(place, *command)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") == 1
    assert not (place / "new").exists()
