"""Tables at every width: figures stand whole, names give way, rows are stacked where nothing else helps."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from atts.cli import cli
from atts.engines.scripted import ScriptedEngine
from atts.errors import EngineError
from tests.results.test_loaded import execute

COMMANDS = (
    ["compare", "first", "a-second-run-with-a-rather-long-name"],
    ["replay", "first"],
    ["plan", "--problems", "2", "--samples", "2"],
    ["check", "--draft", "scripted:5", "--target", "scripted:5"],
    ["grade", "first", "--dry-run", "--grader", "numeric"],
    ["ls"],
    ["calibrate", "--describe", "first"],
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tables")
    execute(place / "first")
    execute(place / "a-second-run-with-a-rather-long-name", strategy="target-only")
    return place


def shown(*arguments: str, width: int) -> str:
    done = CliRunner().invoke(cli, list(arguments), env={"COLUMNS": str(width)})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.stdout


def figures(text: str) -> list[str]:
    """All numbers of a text that have a point or a comma (names of problems have none), whatever the layout."""
    return sorted(re.findall(r"\d+[.,]\d[\d.,]*", text))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_width_cuts_a_figure(place: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    whole = figures(shown(*command, width=300))
    for width in (40, 60, 80):
        text = shown(*command, width=width)
        assert "…" not in text or "…" in shown(*command, width=300)
        if command[0] not in ("ls", "check"):  # their long words are folded
            assert figures(text) == whole, f"{width} columns"
    assert max(map(len, shown(*command, width=40).splitlines())) <= 40


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_twenty_columns_are_filled_and_no_more(
    place: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    table = [line for line in shown(*command, width=20).splitlines() if not line.startswith(("On the", "chains", "*"))]
    assert max(map(len, table)) <= 20 or command[0] in ("replay", "plan")


def test_with_one_sample_pass_at_1_stands_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    execute(tmp_path / "one", samples=1)
    for command in (["run", "--config", "one/run.json", "--out", "one"], ["compare", "one", "one"]):
        text = shown(*command, width=100)
        assert "pass@1" in text and "maj@" not in text, command
    text = shown("grade", "one", "--dry-run", width=100)
    rows = [line for line in text.splitlines() if "pass@1" in line and "│" in line]
    assert len(rows) == 2 and "maj@" not in text  # a figure, and its change


def test_a_failed_run_says_so_first_and_on_how_little_its_figures_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = ScriptedEngine.__init__

    def failing(self: ScriptedEngine, *args: object, **kwargs: object) -> None:
        make(self, *args, **kwargs)  # type: ignore[arg-type]
        self.script = replace(
            self.script, fail=lambda call, count: EngineError("down") if call == "score" and count > 12 else None
        )

    monkeypatch.setattr(ScriptedEngine, "__init__", failing)
    monkeypatch.chdir(tmp_path)
    options = ["--draft", "scripted:5", "--target", "scripted:5", "--limit", "3", "--samples", "4", "--chains", "1"]
    text = shown("run", *options, "--chunk", "step", "--quiet", "--out", "r", width=100)
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in text.splitlines() if "│" in line]
    found = dict(rows)
    assert rows[0][0] == "status"
    failed = re.fullmatch(r"failed: (\d+) of 12 chains", found["status"])
    assert failed and int(failed[1])
    done = 12 - int(failed[1])
    assert found["pass@1"].endswith(f" of {done} of 12 chains")
    assert found["maj@4"].endswith(" of 3 problems")
    assert "down" in found["failed"]
