"""Standard output and error as they may be: encodings without our signs, closed pipes, full disks."""

from __future__ import annotations

import json
import os
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
