from __future__ import annotations

import asyncio
import gc
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atts.cli.live import Progress
from atts.config.run import RunConfig, resolve
from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.errors import EngineError, InputError, NoRoomError, RunError
from atts.events import ChainEnded, Decided, Event, RunEnded, RunStarted, TurnEnded, Warned
from atts.results.loaded import load_run
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.store.journal import JournalWriter
from atts.types import EngineInfo, Generation, Role, Scoring, TokenIds, Turn


def scripted(**options: Any) -> RunConfig:
    values = {"draft": "scripted:6", "target": "scripted:6", "limit": 4, "samples": 4, "chunk": "step"}
    return resolve(options=values | {"on_reject": "replace", "takeover_rate": 0.3} | options)


class Heard(list[Event]):
    """The events of a run; `enough` is set once so many turns have ended."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.enough = asyncio.Event()
        self._left = turns

    def append(self, event: Event) -> None:
        super().append(event)
        self._left -= isinstance(event, TurnEnded)
        if self._left <= 0:
            self.enough.set()


async def run(config: RunConfig, path: Path, events: list[Event] | None = None) -> dict[str, Any]:
    return await (await prepared(config, path, events)).execute()


async def prepared(config: RunConfig, path: Path, events: list[Event] | None = None) -> Run:
    setup = await asyncio.to_thread(prepare, config)
    return Run(setup, path, sinks=[] if events is None else [events.append])


async def test_the_summary_keeps_its_contract(tmp_path: Path) -> None:
    summary = await run(scripted(), tmp_path / "run")
    assert summary["schema"] == 1 and summary["status"] == "complete"
    assert (summary["problems"], summary["samples"]) == (4, 4)
    assert summary["chains"] == {"done": 16, "answered": 16, "error": 0, "cancelled": 0, "wanted": 16}
    assert set(summary["accuracy"]) == {"pass@1", "pass@k", "maj@k"}
    takeover, tokens, time = summary["takeover"], summary["tokens"], summary["time"]
    assert takeover["target_rate"] == 0.3
    assert sum(row["n"] for row in takeover["by_turn"]) == takeover["decisions"] == 16 * 6
    assert takeover["rate"]["low"] <= takeover["rate"]["value"] <= takeover["rate"]["high"]
    assert takeover["certificate"]["all"]["n"] == 96
    assert tokens["kept"] == tokens["draft"] + tokens["target"] - tokens["discarded"]
    assert 0 < tokens["target_share"] < 1
    assert time["wall_s"] > 0 and time["chain_s"]["p50"] <= time["chain_s"]["p99"]
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize("strategy", ["draft-only", "target-only"])
async def test_one_model_alone_promises_no_rate(tmp_path: Path, strategy: str) -> None:
    summary = await run(scripted(strategy=strategy), tmp_path)
    assert summary["takeover"] is None
    assert summary["tokens"]["target_share"] == (strategy == "target-only")
    assert set(summary["engines"]) == {strategy.removesuffix("-only")}


async def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first = await run(scripted(), tmp_path)
    before = (tmp_path / "journal.jsonl").read_bytes()
    events: list[Event] = []
    assert await run(scripted(), tmp_path, events) == first
    assert (tmp_path / "journal.jsonl").read_bytes() == before
    started, ended = events  # whoever watches is told that there is nothing left to do
    assert isinstance(started, RunStarted) and started.ended == started.chains == 16
    assert len(started.earlier) == 16 and isinstance(ended, RunEnded)


@pytest.mark.parametrize("lines", [1, 7, 30, 70])
async def test_resumed_from_any_line_it_ends_the_same(tmp_path: Path, lines: int) -> None:
    """Every chain and every turn once; the state of the rate control as if there had been no break."""
    config = scripted(draft_slots=1, score_slots=1, takeover_slots=1, chains=1)  # one order only
    whole = await run(config, tmp_path / "whole")
    await run(config, tmp_path / "cut")
    journal = tmp_path / "cut" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:lines]) + b'{"kind":"tu')
    (tmp_path / "cut" / "summary.json").unlink()
    events: list[Event] = []
    resumed = await run(config, tmp_path / "cut", events)
    started = next(event for event in events if isinstance(event, RunStarted))
    assert started.ended + sum(isinstance(event, ChainEnded) for event in events) == 16
    assert resumed["takeover"] == whole["takeover"]
    assert resumed["accuracy"] == whole["accuracy"]
    assert resumed["tokens"] == whole["tokens"]
    texts = [
        sorted((c["problem"], c["sample"], c["text"]) for c in _lines(tmp_path / name, "chain"))
        for name in ("whole", "cut")
    ]
    assert texts[0] == texts[1]


async def test_interrupted_and_resumed(tmp_path: Path) -> None:
    config = scripted(samples=8, draft_slots=2)
    heard = Heard(turns=40)
    first = await prepared(config, tmp_path, heard)
    running = asyncio.create_task(first.execute())
    await heard.enough.wait()
    first.stop()
    partial = await running
    assert partial["status"] == "partial"
    done = {(c["problem"], c["sample"]) for c in _lines(tmp_path, "chain")}
    assert len(done) < 32
    summary = await run(config, tmp_path)
    assert summary["status"] == "complete"
    keys = [(c["problem"], c["sample"]) for c in _lines(tmp_path, "chain")]
    assert len(keys) == len(set(keys)) == 32
    turns = [(t["problem"], t["sample"], t["turn"]) for t in _lines(tmp_path, "turn")]
    assert len(turns) == len(set(turns)) == 32 * 6


async def test_killed_before_the_summary_the_run_is_complete_all_the_same(tmp_path: Path) -> None:
    """The summary of an earlier session stands there still; what the journal says is what counts."""
    whole = await run(scripted(), tmp_path)
    earlier = whole | {"status": "partial", "chains": whole["chains"] | {"done": 3}}
    (tmp_path / "summary.json").write_text(json.dumps(earlier))
    summary = await run(scripted(), tmp_path)
    assert (summary["status"], summary["chains"]) == ("complete", whole["chains"])
    assert summary["engines"] == whole["engines"]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary


async def test_a_line_about_another_run_changes_nothing(tmp_path: Path) -> None:
    whole = await run(scripted(), tmp_path)
    journal = tmp_path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    foreign = lines[0].replace(b'"problem":"' + json.loads(lines[0])["problem"].encode(), b'"problem":"nobody')
    journal.write_bytes(b"".join([foreign, *lines]))
    (tmp_path / "summary.json").unlink()
    summary = await run(scripted(), tmp_path)
    assert (summary["status"], summary["tokens"]) == ("complete", whole["tokens"])


async def test_another_set_of_problems_under_the_same_name_is_refused(tmp_path: Path) -> None:
    rows = [{"id": name, "question": f"{name}?", "answer": "42"} for name in "abc"]
    table, out = tmp_path / "p.jsonl", tmp_path / "run"

    def write(some: list[dict[str, str]]) -> RunConfig:
        table.write_text("".join(json.dumps(row) + "\n" for row in some))
        return scripted(problems=str(table), limit=None)

    await run(await asyncio.to_thread(write, rows), out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    for some, message in (
        (rows[:2], "there were 3, are 2"),
        ([*rows, {"id": "d", "question": "d?", "answer": "42"}], "there were 3, are 4"),
        ([rows[0], rows[1] | {"answer": "41"}, rows[2]], "'b' is another"),
        ([rows[0], rows[1], rows[2] | {"question": "else?"}], "'c' is another"),
    ):
        config = await asyncio.to_thread(write, some)
        with pytest.raises(InputError, match=message):
            await run(config, out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


async def test_another_prompt_under_the_same_name_is_refused(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.toml"
    prompt.write_text('plain = "Solve: {question}"')
    config = scripted(prompt=str(prompt))
    await run(config, tmp_path / "run")
    prompt.write_text('plain = "Guess: {question}"')
    with pytest.raises(InputError, match="the prompt has changed"):
        await run(config, tmp_path / "run")


async def test_a_chain_that_fills_the_context_has_no_answer_and_is_no_failure(tmp_path: Path) -> None:
    class Narrow(ScriptedEngine):
        async def score(self, prefix: TokenIds, continuation: TokenIds, **others: Any) -> Scoring:
            self._require(prefix, len(continuation))
            return await super().score(prefix, continuation, **others)

        async def generate(self, prefix: TokenIds, **others: Any) -> Generation:
            self._require(prefix, 1)
            return await super().generate(prefix, **others)

        def _require(self, prefix: TokenIds, more: int) -> None:
            if len(bytes(prefix).rpartition(b"<assistant>")[2]) + more > self.room:
                raise NoRoomError("full")

        room = 0

    for room, status, reason in ((40, "complete", "context"), (0, "failed", "full")):
        setup = await asyncio.to_thread(prepare, scripted(on_reject="continue"))
        engine = Narrow(Script(write=steps(6)))
        engine.room = room
        summary = await Run(replace(setup, engines=dict.fromkeys(Role, engine)), tmp_path / reason).execute()
        chains = _lines(tmp_path / reason, "chain")
        assert summary["status"] == status and {chain["reason"] for chain in chains} == {reason}
        turns = _lines(tmp_path / reason, "turn")
        for chain in (chain for chain in chains if chain["reason"] == "context"):
            own = [turn for turn in turns if (turn["problem"], turn["sample"]) == (chain["problem"], chain["sample"])]
            assert chain["answer"] is None and chain["turns"] == len(own) > 0
            assert chain["text"].startswith(own[0]["draft"]["text"])


async def test_a_cancelled_run_is_saved(tmp_path: Path) -> None:
    events = Heard(turns=20)
    running = asyncio.create_task(run(scripted(), tmp_path, events))
    await events.enough.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "partial"
    assert isinstance(events[-1], RunEnded)
    assert (await run(scripted(), tmp_path))["status"] == "complete"


async def test_an_engine_that_cannot_start_is_an_error_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    config = scripted(target=f"local:{tmp_path / 'model'}")
    with pytest.raises(EngineError, match="worker process ended"):
        await run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "nope"}, "there is no strategy 'nope'"),
        ({"problems": "missing.jsonl"}, r"missing\.jsonl"),
        ({"draft": "nope:1"}, "there is no engine 'nope'"),
        ({"score": "nope"}, "no score 'nope'"),
        ({"calibrator": "nope"}, "no calibrator 'nope'"),
        ({"grader": "nope"}, "grader 'nope'"),
        ({"prompt": "nope"}, "prompt"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        asyncio.run(run(scripted(**options), tmp_path / "run"))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_the_same_command_finds_the_same_folder() -> None:
    paths = [Run(prepare(scripted(**changed))).path for changed in ({}, {"chains": 3}, {"seed": 1})]
    assert paths[0] == paths[1] != paths[2]


def test_making_a_run_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Run(prepare(scripted()))
    Run(prepare(scripted()), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def _lines(path: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (path / "journal.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


async def test_decisions_are_heard_when_they_are_taken(tmp_path: Path) -> None:
    """In order of their index, which is the order that a resumed run feeds the drift alarm in."""
    events: list[Event] = []
    await run(scripted(), tmp_path, events)
    heard = [event.decision for event in events if isinstance(event, Decided)]
    stand = [event.turn.decision for event in events if isinstance(event, TurnEnded) and event.turn.decision]
    assert [decision.index for decision in heard] == list(range(len(stand)))
    assert sorted(stand, key=lambda decision: decision.index) == heard


async def test_a_drift_alarm_outlives_the_session_in_which_it_rang(tmp_path: Path) -> None:
    """Stopped when it rings and resumed, the run still says so: in the live view and in the summary."""
    lines = [json.dumps({"id": str(n), "question": f"What is {n}?", "answer": "42"}) for n in range(150)]
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    config = scripted(problems=str(tmp_path / "own.jsonl"), limit=150, samples=1, turns=1, chains=1, grader="numeric")
    first, count = await prepared(config, tmp_path / "run"), itertools.count()

    def stranger_every_time(prefix: TokenIds, continuation: TokenIds) -> tuple[float, ...]:
        return (-float(next(count)),) * len(continuation)

    def stop(event: Event) -> None:
        if isinstance(event, Warned):
            first.stop()

    target = first.setup.engines[Role.TARGET]
    assert isinstance(target, ScriptedEngine)
    target.script.score = stranger_every_time
    first._sinks = [stop]
    partial = await first.execute()
    [warning] = partial["warnings"]
    assert partial["status"] == "partial" and "have drifted" in warning
    events: list[Event] = []
    summary = await run(config, tmp_path / "run", events)
    assert summary["status"] == "complete" and summary["warnings"] == [warning]
    shown = Progress()
    for event in events:
        shown(event)
    assert shown.warning == warning


async def test_loading_is_no_part_of_the_time_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = ScriptedEngine.info

    async def slow(self: ScriptedEngine) -> EngineInfo:
        await asyncio.sleep(0.3)
        return await info(self)

    monkeypatch.setattr(ScriptedEngine, "info", slow)
    heard = Heard(turns=20)
    first = await prepared(scripted(), tmp_path, heard)
    running = asyncio.create_task(first.execute())
    await heard.enough.wait()
    first.stop()
    once = (await running)["time"]
    assert once["wall_s"] == pytest.approx(once["loading_s"] + once["running_s"])
    assert 0.3 <= once["loading_s"] < once["wall_s"]
    twice = (await run(scripted(), tmp_path))["time"]
    assert twice["loading_s"] >= 0.6
    read = (await asyncio.to_thread(load_run, tmp_path)).summary["time"]
    assert {name: read[name] for name in ("wall_s", "loading_s", "running_s")} == pytest.approx(
        {name: twice[name] for name in ("wall_s", "loading_s", "running_s")}, abs=0.01
    )


@pytest.mark.parametrize("error", [EngineError("no memory"), InputError("no such model"), RunError("both are gone")])
async def test_a_run_that_fails_before_its_first_chain_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(self: ScriptedEngine) -> EngineInfo:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedEngine, "info", fail)
        with pytest.raises(type(error)):
            await run(scripted(), tmp_path / "runs" / "deep" / "one")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with monkeypatch.context() as patched:
        patched.setattr(ScriptedEngine, "info", fail)
        with pytest.raises(type(error)):
            await run(scripted(), tmp_path / "mine")
    left = await asyncio.to_thread(lambda: sorted(tmp_path.rglob("*")))
    assert left == [tmp_path / "mine", tmp_path / "mine" / "notes.txt"]


async def test_what_was_finished_stays_when_a_later_session_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(turns=20)
    first = await prepared(scripted(), tmp_path, heard)
    running = asyncio.create_task(first.execute())
    await heard.enough.wait()
    first.stop()
    await running
    before = (tmp_path / "journal.jsonl").read_bytes()

    async def fail(self: ScriptedEngine) -> EngineInfo:
        raise EngineError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedEngine, "info", fail)
        with pytest.raises(EngineError):
            await run(scripted(), tmp_path)
    assert (tmp_path / "journal.jsonl").read_bytes() == before
    assert (await run(scripted(), tmp_path))["status"] == "complete"


async def test_a_full_disk_is_one_error_though_every_chain_meets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written = itertools.count()

    def fill(writer: JournalWriter, turn: Turn) -> None:
        if next(written) >= 10:
            raise RunError("journal.jsonl: No space left on device")
        plainly(writer, turn)

    plainly = JournalWriter.turn
    with monkeypatch.context() as patched:
        patched.setattr(JournalWriter, "turn", fill)
        with pytest.raises(RunError, match="No space left"):
            await run(scripted(), tmp_path)
    gc.collect()
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    assert (await run(scripted(), tmp_path))["status"] == "complete"


async def test_interrupted_while_models_load_the_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loading = asyncio.Event()

    async def hang(self: ScriptedEngine) -> EngineInfo:
        loading.set()
        await asyncio.sleep(3600)
        raise AssertionError

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedEngine, "info", hang)
        task = asyncio.create_task(run(scripted(), tmp_path / "run"))
        await loading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (tmp_path / "run" / "run.json").is_file()
    assert (await run(scripted(), tmp_path / "run"))["status"] == "complete"
