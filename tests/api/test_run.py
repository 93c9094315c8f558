"""Runs from Python: own problems and functions, in plain code, on a running loop, in a notebook, interrupted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

import atts
from atts.events import ChainEnded, Event, RunEnded, RunStarted
from atts.stats.calibrators import RateCalibrator
from atts.stats.scores import Evidence
from atts.types import Chunk
from tests.polling import until

PROBLEMS = [atts.Problem(f"p{number}", f"What is {number}?", "42") for number in range(4)]
SMALL: dict[str, Any] = {
    "samples": 3,
    "draft": "scripted:4",
    "target": "scripted:4",
    "chunk": "step",
    "takeover_rate": 0.4,
}


def strange(evidence: Evidence) -> float:
    """The least likely token."""
    return -float(evidence.target.min())


def same(answer: str, problem: atts.Problem) -> bool:
    """Letter for letter."""
    return answer == problem.answer


def after_the_word(text: str) -> str | None:
    """What follows "answer is", up to the full stop."""
    return text.rpartition("answer is ")[2].rstrip(".") if "answer is " in text else None


def in_words(problem: atts.Problem) -> str:
    """A short prompt."""
    return f"Please: {problem.question}"


def test_own_problems_and_functions(tmp_path: Path) -> None:
    own = {"score": strange, "grader": same, "answer": after_the_word, "prompt": in_words}
    run = atts.run(PROBLEMS, out=tmp_path / "r", **SMALL, **own)
    assert run.summary["status"] == "complete" and len(run.chains) == 12
    assert run.problems == tuple(PROBLEMS)
    assert {chain.answer for chain in run.chains.values()} == {r"\boxed{42}"}
    assert set(run.verdicts.values()) == {False}
    [decided] = {len(turn.scores) for turns in run.turns.values() for turn in turns if turn.decision}
    assert decided > 5  # the built-in ones too
    turn = next(turn for turn in run.turns["p0", 0] if turn.decision)
    assert turn.decision is not None and turn.decision.score == pytest.approx(turn.scores[run.config.score], rel=1e-8)
    for key, function in own.items():
        assert getattr(run.config, key).startswith(f"{function.__name__}@")


def test_it_is_the_run_that_the_command_makes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "atts", "run", "bundled", "--limit", "2", "--out", str(tmp_path / "command")]
    options = [part for key, value in SMALL.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    slots = ["--chains", "1", "--json", "--quiet"]
    said = subprocess.run([*command, *options, *slots], capture_output=True, text=True, check=True, cwd=tmp_path)
    run = atts.run("bundled", limit=2, out=tmp_path / "python", chains=1, **SMALL)
    command_run = atts.load_run(tmp_path / "command")
    assert {key: chain.text for key, chain in run.chains.items()} == {
        key: chain.text for key, chain in command_run.chains.items()
    }
    assert run.config == command_run.config
    assert run.summary["accuracy"] == json.loads(said.stdout)["accuracy"]


def test_a_run_file_is_read_and_keywords_win(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('samples = 5\ndraft = "scripted:4"\ntarget = "scripted:4"\nlimit = 2\n')
    run = atts.run(config=tmp_path / "run.toml", samples=2, out=tmp_path / "r")
    assert (run.config.samples, run.config.limit, len(run.chains)) == (2, 2, 4)


def test_the_same_call_finds_its_folder_and_makes_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = atts.run(PROBLEMS, score=strange, **SMALL)
    journal = (first.path / "journal.jsonl").read_bytes()
    assert atts.run(PROBLEMS, score=strange, **SMALL).path == first.path
    assert (first.path / "journal.jsonl").read_bytes() == journal
    assert atts.run(PROBLEMS[:3], score=strange, **SMALL).path != first.path


@pytest.mark.parametrize("key", ["score", "grader", "answer", "prompt"])
def test_a_resume_with_another_function_is_refused(tmp_path: Path, key: str) -> None:
    functions: dict[str, list[Any]] = {
        "score": [lambda evidence: float(evidence.target.sum()), lambda evidence: float(evidence.target.max())],
        "grader": [lambda answer, problem: True, lambda answer, problem: False],
        "answer": [lambda text: "1", lambda text: "2"],
        "prompt": [lambda problem: "1", lambda problem: "2"],
    }
    one, other = functions[key]
    atts.run(PROBLEMS, out=tmp_path / "r", **SMALL, **{key: one})
    before = {path: path.read_bytes() for path in (tmp_path / "r").iterdir()}
    with pytest.raises(atts.InputError, match=f"holds another run: {key} was 'lambda@") as error:
        atts.run(PROBLEMS, out=tmp_path / "r", **SMALL, **{key: other})
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in (tmp_path / "r").iterdir()} == before


@pytest.mark.parametrize(
    ("problems", "keys", "message"),
    [
        ("bundled", {"drafft": "x"}, "drafft: there is no such key .*did you mean 'draft'"),
        ("bundled", {"samples": 0}, "samples = 0"),
        ("bundled", {"samples": "many"}, "samples = 'many'"),
        ("bundld", {}, "no data set 'bundld'.*did you mean 'bundled'"),
        ("bundled", {"score": "log_perplexit"}, "did you mean 'log_perplexity'"),
        ("bundled", {"score": lambda: 1.0}, "score 'lambda@.*has to take"),
        ("bundled", {"grader": lambda answer: True}, "grader 'lambda@.*has to take"),
        ("bundled", {"strategy": int}, "strategy 'int@.*derived from"),
        ("bundled", {"preset": "nope"}, "preset"),
        ("bundled", {"progress": 3}, "progress = 3"),
        ([], {}, "holds no problems"),
        (["What is 2?"], {}, "item 0 is 'What is 2[?]', not an atts.Problem"),
        ([PROBLEMS[0], PROBLEMS[0]], {}, "ids stand for more than one problem, such as 'p0'"),
        ([atts.Problem("a", "b", 3)], {}, "item 0: answer = 3: a text is needed"),
        ([atts.Problem("", "b", "3")], {}, "item 0 has no id"),
        (7, {}, "problems = 7"),
        ("bundled", {"config": 7}, "config = 7: a path is needed"),
        ("bundled", {"calibrator": "coin", "window": 5}, "window = 5: calibrator coin has no such option"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: Path, problems: Any, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(atts.InputError, match=message) as error:
        atts.run(problems, out=tmp_path / "r", **keys)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


async def test_on_a_running_loop(tmp_path: Path, blockbuster: BlockBuster) -> None:
    awaited = await atts.run_async(PROBLEMS, out=tmp_path / "awaited", chains=1, **SMALL)
    blockbuster.deactivate()  # this one is meant to wait where it is called
    waited = atts.run(PROBLEMS, out=tmp_path / "waited", chains=1, **SMALL)
    assert {key: chain.text for key, chain in awaited.chains.items()} == {
        key: chain.text for key, chain in waited.chains.items()
    }
    assert atts.check(draft="scripted:", target="scripted:").ok
    assert (await atts.check_async(draft="scripted:", target="scripted:")).ok


async def test_a_cancelled_run_is_saved_and_the_same_call_goes_on(tmp_path: Path) -> None:
    slow = SMALL | {"draft": "scripted:4,0.02", "out": tmp_path / "r"}
    heard: list[Event] = []
    running = asyncio.create_task(atts.run_async(PROBLEMS, progress=heard.append, **slow))
    await until(lambda: any(isinstance(event, ChainEnded) for event in heard))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert json.loads((tmp_path / "r" / "summary.json").read_text())["status"] == "partial"
    heard.clear()
    assert (await atts.run_async(PROBLEMS, progress=heard.append, **slow)).summary["status"] == "complete"
    assert isinstance(heard[0], RunStarted) and heard[0].ended > 0 and isinstance(heard[-1], RunEnded)


SCRIPT = """
import atts, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a program in the background of a shell hears no Ctrl-C
try:
    atts.run("bundled", limit=4, samples=4, draft="scripted:40,0.8", target="scripted:40,0.8", chunk="step", out="r",
             progress=lambda event: print(type(event).__name__, flush=True))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("presses", [1, 2])
def test_interrupted_it_saves_and_raises_keyboard_interrupt(tmp_path: Path, presses: int) -> None:
    env = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", SCRIPT]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env
    )
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        if line == "TurnEnded\n":
            break
    for press in range(presses):
        process.send_signal(signal.SIGINT)
        if press == 0:
            assert "again: stop now" in process.stderr.readline()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out.splitlines()[-1] == "interrupted" and "Traceback" not in err
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert summary["status"] == "partial" and summary["tokens"]["kept"] > 0


NOTEBOOK = """
import nbformat, nbclient
cells = ["import atts, asyncio; asyncio.get_running_loop()",
         "slow = dict(draft='scripted:4,0.4', target='scripted:4', chunk='step')",
         "run = atts.run('bundled', limit=2, samples=2, out='r', **slow); run"]
book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
shown = []
class Client(nbclient.NotebookClient):
    def process_message(self, msg, cell, index):
        if msg["msg_type"] in ("display_data", "update_display_data"):
            shown.append(msg["content"]["data"]["text/html"])
        return super().process_message(msg, cell, index)
Client(book, timeout=60).execute()
[view, table] = book.cells[2].outputs
assert table["data"]["text/html"].startswith("<table>"), table
assert table["data"]["text/plain"].startswith("<LoadedRun 'r'"), table
assert any("2/4" in html or "4/4" in html or "open" in html for html in shown), shown
assert shown[-1] == "" and len(shown) > 2, shown
"""


def test_in_a_notebook_it_waits_shows_how_far_it_is_and_ends_as_a_table(tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    env = os.environ | {"PYTHONPATH": ":".join(sys.path), "IPYTHONDIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", NOTEBOOK]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=100)
    assert done.returncode == 0, done.stderr


def test_a_terminal_shows_the_live_view_and_a_pipe_nothing_unless_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    atts.run(PROBLEMS, out=tmp_path / "quiet", **SMALL)
    assert capfd.readouterr() == ("", "")
    atts.run(PROBLEMS, out=tmp_path / "loud", progress=True, **SMALL)
    assert "12 chains wanted" in capfd.readouterr().err


def test_looking_at_engines_and_at_runs_beside_each_other(tmp_path: Path) -> None:
    report = atts.check(draft="scripted:", target="scripted:", patience=0.1)
    assert report.ok and {finding.role for finding in report.findings} >= {"draft", "target"}
    gone = atts.check(draft="vllm:http://127.0.0.1:1", target="scripted:", patience=0.1)
    assert not gone.ok and gone.failures
    one = atts.run(PROBLEMS, out=tmp_path / "one", **SMALL)
    other = atts.run(PROBLEMS, out=tmp_path / "other", seed=1, **SMALL)
    compared = atts.compare(one, tmp_path / "other")
    assert [entry.name for entry in compared] == ["one", "other"] and compared[1].difference is not None
    assert atts.compare([one, other]) == compared
    with pytest.raises(atts.InputError, match="no run there"):
        atts.compare(tmp_path / "nothing")
    with pytest.raises(atts.InputError, match="one run at least"):
        atts.compare()


def test_waiting_does_not_keep_an_error_to_itself(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(atts.AttsError):
        atts.run(PROBLEMS, out=tmp_path / "r", **SMALL | {"target": "vllm:http://127.0.0.1:1", "patience": 0.1})
    assert time.monotonic() - began < 30


def test_a_run_with_a_grader_of_ones_own_can_be_read_where_it_is_not(tmp_path: Path) -> None:
    asked: list[str] = []

    def curious(answer: str, problem: atts.Problem) -> bool:
        asked.append(problem.id)
        if problem.id == "p3":
            raise KeyError("unknown")
        return problem.id == "p0"

    run = atts.run(PROBLEMS, grader=curious, out=tmp_path / "r", **SMALL)
    assert {problem for (problem, _), verdict in run.verdicts.items() if verdict} == {"p0"}
    assert {key[0] for key in run.ungraded} == {"p3"} and "KeyError" in run.ungraded["p3", 0]
    assert any("KeyError" in warning for warning in run.summary["warnings"])
    program = "import atts; run = atts.load_run('r'); print(run.verdicts, run.votes, run.ungraded, sep='|')"
    env = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path, env=env
    )
    assert said.stdout.strip() == f"{run.verdicts}|{run.votes}|{run.ungraded}"
    before = len(asked)
    assert atts.load_run(tmp_path / "r").summary == run.summary and len(asked) == before


@pytest.mark.parametrize("key", ["score", "answer"])
def test_a_function_that_raises_ends_its_chain_and_no_other(tmp_path: Path, key: str) -> None:
    calls = 0

    def once(given: Any) -> Any:
        """Breaks at its fifth call."""
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyError("fifth")
        return 1.0 if key == "score" else None

    run = atts.run(PROBLEMS, out=tmp_path / "r", **SMALL, **{key: once})
    failed = [chain for chain in run.chains.values() if chain.status == "error"]
    assert len(failed) == 1 and len(run.chains) == 12 and "KeyError" in failed[0].reason
    assert run.summary["status"] == "failed" and run.summary["errors"] == {failed[0].reason: 1}
    again = atts.run(PROBLEMS, out=tmp_path / "r", **SMALL, **{key: once})
    assert again.summary["status"] == "complete" and len(again.chains) == 12


@pytest.mark.parametrize("key", ["score", "answer"])
def test_a_function_that_ends_the_program_ends_its_chains_and_not_the_run(tmp_path: Path, key: str) -> None:
    def leaves(given: Any) -> Any:
        raise SystemExit(3)

    run = atts.run(PROBLEMS, out=tmp_path / "r", **SMALL, **{key: leaves})
    assert {chain.status for chain in run.chains.values()} == {"error"} and len(run.chains) == 12
    [reason] = run.summary["errors"]
    assert "called sys.exit" in reason


def test_a_grader_that_ends_the_program_leaves_answers_ungraded(tmp_path: Path) -> None:
    def leaves(answer: str, problem: atts.Problem) -> bool:
        raise SystemExit(3)

    run = atts.run(PROBLEMS, out=tmp_path / "r", **SMALL, grader=leaves)
    assert set(run.verdicts.values()) == {None} and "SystemExit" in run.ungraded["p0", 0]


class Half(RateCalibrator):
    """Half of all."""

    share: float = 0.5

    def p_value(self, chunk: Chunk, score: float, u: float) -> float:
        return u * (1 - self.share)


def elsewhere(folder: Path, *arguments: str) -> str:
    """What the command says in another process, which knows nothing of ours."""
    env = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-m", "atts", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=env)
    return done.stdout + done.stderr


def test_what_was_given_from_python_is_asked_for_again_by_the_command(tmp_path: Path) -> None:
    """Resumed there it is refused in one line; read there it is whole."""
    run = atts.run(PROBLEMS, out=tmp_path / "problems", **SMALL)
    again = ("run", "--config", "problems/run.json", "--out", "problems", "--quiet")
    assert "these problems were given from Python; give the same ones again from there" in elsewhere(tmp_path, *again)
    run = atts.run(calibrator=Half, calibrator_options={"share": 0.25}, limit=2, out=tmp_path / "r", **SMALL)
    assert run.config.calibrator_options == {"share": 0.25}
    said = elsewhere(tmp_path, "run", "--config", "r/run.json", "--out", "r", "--quiet")
    assert "calibrator 'Half@" in said and "was given from Python as itself; give it again from there" in said
    assert json.loads(elsewhere(tmp_path, "compare", "r", "--json"))


def test_what_is_no_path_is_bad_input() -> None:
    for call in (lambda: atts.load_run(5), lambda: atts.compare(5), lambda: atts.run("bundled", out=5)):  # type: ignore[arg-type]
        with pytest.raises(atts.InputError, match="path is needed"):
            call()
