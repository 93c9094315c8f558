"""Reading runs back: finished, interrupted, failed, empty, damaged."""

from __future__ import annotations

import asyncio
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import atts
from atts.config.run import resolve
from atts.errors import InputError
from atts.report.figures import answer_seconds
from atts.report.page import render
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.types import Status


def execute(path: Path, **options: object) -> Path:
    small = {"limit": 3, "samples": 4, "draft": "scripted:5", "target": "scripted:5", "takeover_rate": 0.4}
    run = Run(prepare(resolve(preset="bundled", options=small | options)), path)
    asyncio.run(run.execute())
    return path


def test_figures_are_those_that_the_run_wrote(tmp_path: Path) -> None:
    run = atts.load_run(execute(tmp_path / "r"))
    assert json.loads(json.dumps(run.summary)) == json.loads((run.path / "summary.json").read_text())
    assert run.outcomes.correct.shape == (3, 4)
    assert len(run.chains) == len(run.verdicts) == 12
    assert [session["ended"] for session in run.sessions] == [0]


def test_figures_are_those_of_a_run_that_was_resumed_again_and_again(tmp_path: Path) -> None:
    """Nobody waited between two sessions, however many there were: the run and the reader agree on all of it."""
    path = execute(tmp_path / "r")
    whole = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for share in (0.3, 0.6):
        (path / "journal.jsonl").write_bytes(b"".join(whole[: int(len(whole) * share)]))
        execute(path)
        whole = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    run = atts.load_run(path)
    assert len(run.sessions) == 3
    assert json.loads(json.dumps(run.summary)) == json.loads((path / "summary.json").read_text())


def test_a_run_says_what_it_is_in_one_line(tmp_path: Path) -> None:
    run = atts.load_run(execute(tmp_path / "r"))
    assert repr(run) == str(run) and "\n" not in repr(run) and len(repr(run)) < 400
    assert "atts on bundled, complete, 12 of 3 × 4 chains, maj@4" in repr(run)


def test_a_notebook_shows_a_small_table_in_which_everything_is_escaped(tmp_path: Path) -> None:
    path = execute(tmp_path / "<i>&'\"")
    summary = json.loads((path / "summary.json").read_text())
    summary["warnings"] = ["<script>alert(1)</script>"]
    (path / "summary.json").write_text(json.dumps(summary))
    page = atts.load_run(path)._repr_html_()
    assert len(page) < 5000 and page.count("<table>") == page.count("</table>") == 1
    texts = Cells()
    texts.feed(page)
    assert texts.tags == {"table", "caption", "tbody", "tr", "td"}
    assert "<script>alert(1)</script>" in texts.said and str(path) in texts.said


class Cells(HTMLParser):
    """The texts of a table, as a browser reads them, and the tags around them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_frames(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    run = atts.load_run(execute(tmp_path / "r"))
    frame, turns = run.frame(), run.turn_frame()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 12
    assert frame["draft_tokens"].sum() + frame["target_tokens"].sum() == run.summary["tokens"]["kept"]
    assert turns["rejected"].sum() == frame["takeovers"].sum() > 0


def test_a_run_cut_off_is_read_as_far_as_it_got(tmp_path: Path) -> None:
    path = execute(tmp_path / "r")
    lines = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (path / "journal.jsonl").write_bytes(b"".join(lines[: len(lines) * 9 // 10]) + lines[-1][:20])
    (path / "summary.json").unlink()
    run = atts.load_run(path)
    assert run.summary["status"] == "partial"
    assert 0 < len(run.chains) < 12
    assert f"{len(run.chains)} of 12 chains have ended" in page(run)
    execute(path)
    again = atts.load_run(path)
    assert again.summary["status"] == "complete"
    assert "resumed: it was made in 2 sessions" in page(again)


def test_damaged_lines_are_named_and_skipped(tmp_path: Path) -> None:
    path = execute(tmp_path / "r")
    lines = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[4], lines[7] = b"\x00\xff{garbage\n", b'{"kind":"turn"}\n'
    (path / "journal.jsonl").write_bytes(b"".join(lines))
    run = atts.load_run(path)
    assert run.damaged == (5, 8)
    assert "Damaged lines of the journal were left out: 5, 8." in page(run)


def test_failed_chains_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    path = execute(tmp_path / "r")
    lines = (path / "journal.jsonl").read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith('{"kind":"chain"'))
    chain = json.loads(lines[place]) | {"status": "error", "reason": "the server <b>fell</b>", "answer": None}
    lines[place] = json.dumps(chain)
    (path / "journal.jsonl").write_text("\n".join(lines) + "\n")
    run = atts.load_run(path)
    key = (chain["problem"], chain["sample"])
    assert run.chains[key].status is Status.ERROR and run.verdicts[key] is None
    assert np.isnan(run.outcomes.correct).sum() == 1
    assert run.summary["status"] == "failed"
    shown = page(run)
    assert run.summary["time"]["answer_s"]["p50"] is not None
    assert "1 of 12 chains failed" in shown and "the server &lt;b&gt;fell&lt;/b&gt;" in shown


def test_problems_without_any_answer_took_no_time_to_answer(tmp_path: Path) -> None:
    path = execute(tmp_path / "r")
    lines = (path / "journal.jsonl").read_text().splitlines()
    ends = [json.loads(line) for line in lines if line.startswith('{"kind":"chain"')]
    failed = [json.dumps(chain | {"status": "error", "reason": "down", "answer": None}) for chain in ends]
    (path / "journal.jsonl").write_text("\n".join(failed) + "\n")
    run = atts.load_run(path)
    assert run.summary["time"]["answer_s"] == {"p50": None, "p99": None}
    assert answer_seconds(run) == {}
    assert "12 of 12 chains failed" in page(run)


def test_a_partial_run_says_what_its_figures_are_of(tmp_path: Path) -> None:
    path = execute(tmp_path / "r")
    lines = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (path / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    shown = page(atts.load_run(path))
    assert "count the turns of open chains too" in shown and "all figures" not in shown


@pytest.mark.parametrize("strategy", ["draft-only", "specreason", "lockstep", "atts-self", "speculative-thinking"])
def test_other_methods_are_read_and_shown(strategy: str, tmp_path: Path) -> None:
    run = atts.load_run(execute(tmp_path / "r", strategy=strategy))
    assert json.loads(json.dumps(run.summary)) == json.loads((run.path / "summary.json").read_text())
    assert strategy in page(run)


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run there"):
        atts.load_run(tmp_path)


def page(run: atts.LoadedRun) -> str:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    return render([run])
