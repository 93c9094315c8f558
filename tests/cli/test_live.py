"""The live view: what a person is told while a run goes on."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from atts.cli import live
from atts.config.run import resolve
from atts.events import ChainEnded, ChainStarted, Event, RunStarted, StageEnded, StageQueued, TurnEnded, Warned
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.types import Chain, Stage, Status, Turn


def execute(path: Path, console: Console, *, quiet: bool = False) -> tuple[live.Progress, dict[str, object]]:
    """A real run on scripted engines, watched; returns the last progress and the summary."""
    options = {"limit": 5, "samples": 4, "draft": "scripted:5", "target": "scripted:5", "takeover_rate": 0.4}
    seen = live.Progress()
    with live.watch(console, quiet=quiet) as sink:
        run = Run(prepare(resolve(preset="bundled", options=options)), path, sinks=[sink, seen])
        return seen, asyncio.run(run.execute())


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=30, color_system=None)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_progress_agrees_with_the_summary(tmp_path: Path) -> None:
    progress, summary = execute(tmp_path / "r", Console(file=io.StringIO()), quiet=True)
    takeover = summary["takeover"]
    assert isinstance(takeover, dict)
    assert (progress.ended, progress.open, progress.failed) == (20, 0, 0)
    assert progress.taken_over / progress.decisions == pytest.approx(takeover["rate"]["value"])
    rows = {turn: taken / n for turn, (n, taken) in progress.by_turn.items()}
    assert rows == pytest.approx({row["turn"]: row["rate"] for row in takeover["by_turn"]})
    assert set(progress.queued.values()) == set(progress.running.values()) == {0}
    accuracy = live.Meters(progress).accuracy()
    found = summary["accuracy"]
    assert accuracy is not None and isinstance(found, dict)
    assert accuracy.value == pytest.approx(found["pass@1"]["value"])
    assert accuracy.low <= accuracy.value <= accuracy.high


def test_the_view_fits_a_screen_and_says_everything(tmp_path: Path) -> None:
    progress, _ = execute(tmp_path / "r", terminal())
    progress(Warned("the scores have drifted", progress.now))
    console = terminal()
    console.print(live.view(live.Meters(progress)))
    shown = text(console)
    assert all(len(line) <= 80 for line in shown.splitlines())
    for part in ("20/20", "open", "running", "waiting", "tokens/s", "promised 40.0%", "by turn", "accuracy", "drifted"):
        assert part in shown
    assert "20 chains" in shown and " to " in shown


def test_a_long_warning_and_many_turns_do_not_break_it() -> None:
    progress = live.Progress()
    progress(RunStarted(10, 3, 0.4, 0.0))
    progress.started, progress.now = 0.0, 5.0
    progress.decisions, progress.taken_over = 900, 300
    progress.by_turn.update({turn: [30, 10] for turn in range(40)})
    progress(Warned("[bold]server[/nonsense] " * 60, 5.0))
    console = terminal()
    console.print(live.view(live.Meters(progress)))
    assert "and 24 more" in text(console) and "[/nonsense]" in text(console)


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(live, "_LINE_EVERY", 0.0)
    console = Console(file=io.StringIO(), width=80)
    execute(tmp_path / "r", console)
    lines = text(console).splitlines()
    assert lines[0] == "20 chains wanted, 0 ended before; loading models"
    assert lines[-1].startswith("20/20 chains") and "takeover" in lines[-1] and "tokens/s" in lines[-1]
    assert "\x1b" not in text(console)


def test_a_line_before_the_first_chain_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LINE_EVERY", 0.0)
    lines: list[str] = []
    sink = live.plain_lines(live.Meters(live.Progress()), lines.append)
    sink(RunStarted(2, 0, None, 0.0))
    sink(ChainStarted("p", 0, 0, 0.0))
    assert len(lines) == 1  # models load
    sink(StageQueued(Stage.DRAFT, "p", 0, 1.0))
    sink(StageEnded(Stage.DRAFT, "p", 0, True, 100, 2.0))
    sink(TurnEnded(Turn("p", 0, 0), 2.0))
    assert lines[-1] == "0/2 chains, 1 open, 1 turn, tokens/s: draft 100, scored 0, target 0"


def test_time_left_follows_the_turns_that_are_made() -> None:
    """Sixteen chains of twelve turns side by side: as the first one ends, the others are as good as through."""
    progress = live.Progress()
    progress(RunStarted(32, 0, None, 0.0))
    for sample in range(16):
        progress(ChainStarted("p", sample, 0, 0.0))
        progress(StageQueued(Stage.DRAFT, "p", sample, 0.0))
    for turn in range(12):
        for sample in range(16):
            assert progress.time_left is None
            progress(TurnEnded(Turn("p", sample, turn), (turn + 1) * 0.5))
    progress(ChainEnded(Chain("p", 0, Status.DONE, "end", 12, "", "42", 0.0, 6.0), True, 6.0))
    # Fifteen last turns, and sixteen chains more.
    assert progress.time_left == pytest.approx(6 * (15 + 16 * 12) / (16 * 12))
    for sample in range(1, 16):
        progress(ChainEnded(Chain("p", sample, Status.ERROR, "down", 12, "", None, 0.0, 6.0), None, 6.0))
    assert progress.time_left == pytest.approx(6)


def test_a_terminal_that_cannot_draw_gets_plain_lines(tmp_path: Path) -> None:
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    execute(tmp_path / "r", dumb)
    assert text(dumb).startswith("20 chains wanted") and "\x1b" not in text(dumb)


def test_quiet_is_quiet(tmp_path: Path) -> None:
    console = terminal()
    execute(tmp_path / "r", console, quiet=True)
    assert text(console) == ""


def test_speed_is_that_of_the_last_seconds() -> None:
    progress = live.Progress()
    meters = live.Meters(progress)
    progress.started = 0.0
    for second in range(60):
        progress.now = float(second)
        progress.tokens[Stage.DRAFT] += 100 if second < 30 else 10
        speed = meters.speed()
    assert speed[Stage.DRAFT] == pytest.approx(10, rel=0.1)


def test_a_warning_is_written_at_once() -> None:
    lines: list[str] = []
    sink = live.plain_lines(live.Meters(live.Progress()), lines.append)
    events: list[Event] = [RunStarted(4, 0, None, 0.0), Warned("watch out", 1.0)]
    for event in events:
        sink(event)
    assert lines == ["4 chains wanted, 0 ended before; loading models", "warning: watch out"]


def test_a_resumed_run_is_counted_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rate, answers and turns are those of the folder, not of this session."""
    path = tmp_path / "r"
    execute(path, Console(file=io.StringIO()), quiet=True)
    journal = path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    turns = sum(line.startswith(b'{"kind":"turn"') for line in lines[: len(lines) // 2])
    console = Console(file=io.StringIO(), width=80)
    monkeypatch.setattr(live, "_LINE_EVERY", 0.0)
    progress, summary = execute(path, console)
    shown = text(console).splitlines()
    assert shown[0].endswith(f"going on: {turns} turns kept")
    takeover, accuracy = summary["takeover"], summary["accuracy"]
    assert isinstance(takeover, dict) and isinstance(accuracy, dict)
    assert progress.taken_over / progress.decisions == pytest.approx(takeover["rate"]["value"])
    assert progress.decisions == takeover["decisions"]
    right = live.Meters(progress).accuracy()
    assert right is not None and right.value == pytest.approx(accuracy["pass@1"]["value"])
    assert f"{takeover['rate']['value']:.1%} of {takeover['decisions']}" in shown[-1]
    assert f"{progress.kept + progress.turns} turns" in shown[-1] and "session" not in shown[-1]


@pytest.mark.parametrize("make", [terminal, lambda: Console(file=io.StringIO(), width=80)])
def test_what_is_left_of_a_run_is_said_at_once(tmp_path: Path, make: Callable[[], Console]) -> None:
    path = tmp_path / "r"
    new, going_on, complete = make(), make(), make()
    execute(path, new)
    assert "going on" not in text(new) and "nothing left" not in text(new)
    journal = path / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:1]))
    execute(path, going_on)
    assert "going on: 1 turn kept" in text(going_on)
    execute(path, complete)
    assert "nothing left to do" in text(complete)
