"""Run folders of version 0.1.0: whatever later versions change, they load, are looked at, graded again and resumed.

    atts run --limit 3 --samples 2 --chunk tokens --draft-tokens 24 --target-tokens 24 --takeover-rate 0.4 --seed 3
    atts run --limit 3 --samples 2 --chunk tokens --draft-tokens 16 --target-tokens 12 --takeover-rate 0.5 --seed 5 \
        --on-reject continue --hard-budget --chains 2        (killed with two chains ended and two open)
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import atts
from atts.cli import cli
from atts.store.folder import RunFolder
from atts.store.journal import Journal
from atts.types import Status

FOLDERS = Path(__file__).parent / "runs-0.1.0"
KEYS = {(f"test-3-000{number}", sample) for number in range(3) for sample in range(2)}
Contents = dict[str, bytes]


@pytest.fixture(params=["complete", "interrupted"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDERS / request.param, tmp_path / request.param))


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDERS / "complete", tmp_path / "complete"))


def contents(folder: Path) -> Contents:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def indices(journal: Journal) -> list[int]:
    """The numbers of the decisions, in the order in which the calibrator took them."""
    turns = (turn for turns in journal.turns.values() for turn in turns)
    return sorted(turn.decision.index for turn in turns if turn.decision)


def invoke(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done


def resume(folder: Path) -> None:
    command = [sys.executable, "-m", "atts", "run", "--config", folder / "run.json"]
    done = subprocess.run(
        [*command, "--out", folder, "--quiet"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_loads_and_nothing_in_it_is_written(run: Path) -> None:
    before = contents(run)
    loaded = atts.load_run(run)
    assert (len(loaded.problems), loaded.config.samples, loaded.damaged) == (3, 2, ())
    assert sum(map(len, loaded.turns.values())) == before["journal.jsonl"].count(b'{"kind":"turn"')
    assert len(loaded.chains) == before["journal.jsonl"].count(b'{"kind":"chain"')
    assert contents(run) == before


def test_a_whole_run_has_the_figures_that_it_was_given(complete: Path) -> None:
    loaded = atts.load_run(complete)
    said = json.loads((complete / "summary.json").read_bytes())
    assert set(loaded.chains) == KEYS
    assert all(chain.status is Status.DONE for chain in loaded.chains.values())
    assert loaded.summary["accuracy"] == said["accuracy"]
    right = [loaded.verdicts[key] for key in loaded.chains]
    assert sum(map(bool, right)) / len(right) == said["accuracy"]["pass@1"]["value"]
    decided = [turn.decision for turns in loaded.turns.values() for turn in turns if turn.decision]
    assert sum(one.rejected for one in decided) / len(decided) == pytest.approx(said["takeover"]["rate"]["value"])
    assert {engine.model for engine in RunFolder.open(complete).engines().values()} == {"draft", "target"}


def test_report_and_timeline(run: Path, tmp_path: Path) -> None:
    before = contents(run)
    invoke("report", run, "--out", tmp_path / "page.html")
    invoke("report", run, "--timeline", tmp_path / "trace.json")
    page = (tmp_path / "page.html").read_text()
    assert all(problem.id in page and problem.question[:80] in page for problem in RunFolder.open(run).problems())
    assert json.loads((tmp_path / "trace.json").read_bytes())["traceEvents"]
    assert contents(run) == before


def test_exports(run: Path, tmp_path: Path) -> None:
    before = contents(run)
    loaded = atts.load_run(run)
    invoke("export", run, "--table", "turns", "--out", tmp_path / "turns.csv")
    invoke("export", run, "--layout", "reference", "--out", tmp_path / "reference")
    with (tmp_path / "turns.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(loaded.turns[key]) for key in loaded.chains)
    records = [json.loads(path.read_bytes()) for path in sorted((tmp_path / "reference").iterdir())]
    assert [record["final_answer"] for record in records] == [
        loaded.chains[key].answer for key in sorted(loaded.chains)
    ]
    assert contents(run) == before


def test_graded_again_the_verdicts_are_the_same(run: Path) -> None:
    before = contents(run)
    loaded = atts.load_run(run)
    done = json.loads(invoke("grade", run, "--json", "--name", "again").output)
    path = run / "gradings" / "again.jsonl"
    verdicts = [line for line in map(json.loads, path.read_bytes().splitlines()) if line["kind"] == "verdict"]
    assert {(line["problem"], line["sample"]): line["correct"] for line in verdicts} == loaded.verdicts
    assert done
    assert contents(run) == before


def test_a_whole_run_has_nothing_left_to_do(complete: Path) -> None:
    before = contents(complete)
    resume(complete)
    after = contents(complete)
    assert after["journal.jsonl"] == before["journal.jsonl"] and after["run.json"] == before["run.json"]
    said, says = json.loads(before["summary.json"]), json.loads(after["summary.json"])
    assert [says[key] for key in ("chains", "accuracy", "tokens")] == [
        said[key] for key in ("chains", "accuracy", "tokens")
    ]


def test_an_interrupted_run_goes_on_in_mid_chain(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDERS / "interrupted", tmp_path / "interrupted"))
    before, kept = contents(folder), RunFolder.open(folder).journal()
    assert {key for key in kept.turns if key not in kept.chains}  # chains that are open, with turns
    resume(folder)
    after, journal = contents(folder), RunFolder.open(folder).journal()
    assert after["journal.jsonl"].startswith(before["journal.jsonl"])
    assert after["run.json"] == before["run.json"]
    assert (journal.damaged, journal.unused) == ([], {})
    assert len(journal.chains) == 6 and all(chain.status is Status.DONE for chain in journal.chains.values())
    for key, turns in kept.turns.items():
        assert journal.turns[key][: len(turns)] == turns
    earlier, all_ = indices(kept), indices(journal)
    assert len(set(all_)) == len(all_) > len(earlier)
    assert min(set(all_) - set(earlier)) > max(earlier)  # the same calibrator counts on
    assert json.loads(after["summary.json"])["status"] == "complete"
