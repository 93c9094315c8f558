"""`atts check` finds what would make a run fail or be wrong, and nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atts import bundled
from atts.config.run import resolve
from atts.engines.base import EngineOptions
from atts.engines.local import LocalEngine
from atts.engines.scripted import Script, ScriptedEngine
from atts.engines.servers.openai import OpenAIEngine
from atts.engines.servers.sglang import SglangEngine
from atts.engines.servers.vllm import VllmEngine
from atts.errors import RunError
from atts.runs.preflight import Finding, Report, _vocabularies, check
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.seeds import uniform
from atts.testing import Faults, serve
from atts.testing.server import BadRequest
from atts.testing.sglang import SglangServer
from atts.testing.vllm import VllmServer
from atts.types import EngineInfo, Role

CONFIG = resolve(options={"draft": "scripted:", "target": "scripted:"})
QUICK = EngineOptions(timeout=300, patience=0.2)


async def found(dialect: str, engine: ScriptedEngine, faults: Faults | None = None) -> Report:
    kind = {"sglang": SglangEngine, "vllm": VllmEngine}[dialect]
    async with serve(dialect, engine, faults=faults) as server:
        client = kind(server.url, QUICK)
        client.http._first_wait, client.http._attempts = 0.01, 2
        report = await check({Role.DRAFT: ScriptedEngine(), Role.TARGET: client}, CONFIG)
        await client.close()
    return report


def outcome(report: Report, name: str) -> Finding:
    return next(finding for finding in report.findings if finding.role != "draft" and finding.name == name)


@pytest.mark.parametrize("dialect", ["sglang", "vllm"])
async def test_a_good_server_is_ready(dialect: str) -> None:
    report = await found(dialect, ScriptedEngine())
    assert report.ok, report.failures
    assert outcome(report, "log-probabilities").outcome == "ok"
    assert outcome(report, "prefix cache").outcome == ("ok" if dialect == "sglang" else "warning")
    assert outcome(report, "tokenizers").detail.startswith("equal" if dialect == "sglang" else "different")


async def test_servers_that_cannot_be_compared_are_not_called_different() -> None:
    async with serve("sglang", ScriptedEngine()) as one, serve("vllm", ScriptedEngine()) as other:
        for tokenizer, words in ((None, "different"), ("bytes", "equal")):
            draft = SglangEngine(one.url, QUICK)
            target = VllmEngine(other.url, replace(QUICK, tokenizer=tokenizer))
            report = await check({Role.DRAFT: draft, Role.TARGET: target}, CONFIG)
            assert outcome(report, "tokenizers").detail.startswith(words)
            await asyncio.gather(draft.close(), target.close())


def test_a_known_vocabulary_beside_one_that_was_asked_for() -> None:
    infos = [EngineInfo("sglang", "a", "0123456789abcdef"), EngineInfo("vllm", "b", "probe-0123456789abcdef")]
    assert _vocabularies(infos).startswith("not known to be equal") and "--draft-tokenizer" in _vocabularies(infos)
    assert _vocabularies(infos[:1] * 2).startswith("equal")
    assert _vocabularies([infos[1], EngineInfo("vllm", "c", "probe-0")]).startswith("different")


async def test_scores_of_the_wrong_tokens_are_found() -> None:
    def shifted(prefix: Any, continuation: Any) -> tuple[float, ...]:
        return tuple(-2 * uniform(len(prefix) + place + 1, token) for place, token in enumerate(continuation))

    report = await found("sglang", ScriptedEngine(Script(score=shifted)))
    assert not report.ok and "scored two ways differ" in outcome(report, "log-probabilities").detail


@pytest.mark.parametrize("fault", ["missing", "nan"])
async def test_missing_log_probabilities_are_found(fault: str) -> None:
    report = await found("vllm", ScriptedEngine(), Faults(1.0, [fault]))
    assert not report.ok


Entries = list[list[Any]]


def altered(alter: Callable[[list[float], int], list[float]]) -> type[SglangServer]:
    """A server whose log-probabilities of a prompt are altered, given that its text begins behind so many tokens."""

    class Altered(SglangServer):
        async def _input_values(self, prompt: list[int], start: int) -> Entries:
            entries = await super()._input_values(prompt, start)
            values = alter([value for value, *_ in entries[1:]], start) if entries[1:] else []
            behind = [[value, *rest] for value, (_, *rest) in zip(values, entries[1:], strict=True)]
            return entries[:1] + behind

    return Altered


def noisy(values: list[float], start: int) -> list[float]:
    """Low precision: up to 0.1 on tokens that are unlikely, less on those that are not."""
    rounded = (round(value * 64) / 64 for value in values)
    return [value + 0.2 * (uniform(start, place) - 0.5) * min(1, -value) for place, value in enumerate(rounded)]


SERVERS = {
    "right": (altered(lambda values, start: values), True),
    "low precision": (altered(noisy), True),
    "one token late": (altered(lambda values, start: [-0.5, *values[:-1]]), False),
    "one token early": (altered(lambda values, start: [*values[1:], -0.1]), False),
    "wrong behind the boundary": (altered(lambda values, start: [-5.0, *values[1:]]), False),
    "certain behind the boundary": (altered(lambda values, start: [0.0, *values[1:]]), False),
    "all zero": (altered(lambda values, start: [0.0] * len(values)), False),
    "of another temperature": (altered(lambda values, start: [value / 2 for value in values]), False),
}


@pytest.fixture
async def bundled_target() -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(str(bundled.TARGET), threads=1)
    yield engine
    await engine.close()


@pytest.mark.skipif(not (Path(bundled.TARGET) / "config.json").is_file(), reason="no bundled model")
async def test_log_probabilities_that_are_wrong_are_told_from_those_that_are_rounded(
    bundled_target: LocalEngine,
) -> None:
    """On a model whose own texts are near certain to it, as those of real ones are."""
    for name, (kind, right) in SERVERS.items():
        async with serve("sglang", bundled_target, make_server=kind) as server:
            client = SglangEngine(server.url, QUICK)
            report = await check({Role.TARGET: client}, CONFIG)
            await client.close()
        said = outcome(report, "log-probabilities")
        assert (name, said.outcome != "failed") == (name, right), said.detail
        assert ("boundary" in said.detail) >= ("boundary" in name)
        assert report.ok is right, report.failures


class Ignoring(VllmServer):
    """Begins a new message, whatever it is asked."""

    async def _converse(self, body: dict[str, Any]) -> dict[str, Any]:
        body.pop("continue_final_message", None)
        return await super()._converse(body)


class Refusing(VllmServer):
    """Knows no such argument."""

    async def _converse(self, body: dict[str, Any]) -> dict[str, Any]:
        if "continue_final_message" in body:
            raise BadRequest("Unrecognized request argument supplied: continue_final_message")
        return await super()._converse(body)


@pytest.mark.skipif(not (Path(bundled.TARGET) / "config.json").is_file(), reason="no bundled model")
async def test_an_endpoint_that_begins_anew_is_found(bundled_target: LocalEngine) -> None:
    for kind, words in ((VllmServer, ""), (Ignoring, "every chunk would start afresh"), (Refusing, "400 .*argument")):
        async with serve("vllm", bundled_target, make_server=kind) as server:
            client = OpenAIEngine(f"{server.url}/v1", QUICK)
            report = await check({Role.DRAFT: client}, CONFIG)
            await client.close()
        (said,) = (finding for finding in report.findings if finding.name == "continuation")
        assert report.ok is (not words), report.failures
        assert said.outcome == ("failed" if words else "ok") and re.search(words, said.detail)


async def test_stop_strings_that_are_not_heeded_are_found() -> None:
    class Deaf(ScriptedEngine):
        async def generate(self, prefix: Any, **settings: Any) -> Any:
            return await super().generate(prefix, **(settings | {"stop": ()}))

    assert outcome(await found("sglang", Deaf()), "stop strings").outcome == "failed"


async def test_seeds_that_do_not_repeat_are_a_warning() -> None:
    drawn = iter(range(1000))
    report = await found("sglang", ScriptedEngine(Script(write=lambda text, seed: f"number {next(drawn)}" * 9)))
    assert outcome(report, "seeds").outcome == "warning"


async def test_a_version_that_takes_no_seeds_is_a_warning_and_ready() -> None:
    async with serve("sglang", ScriptedEngine(), make_server=partial(SglangServer, old=True)) as server:
        client = SglangEngine(server.url, QUICK)
        report = await check({Role.DRAFT: client, Role.TARGET: client}, CONFIG)
        await client.close()
    assert report.ok, report.failures
    assert outcome(report, "seeds").outcome == "warning" and "0.4.3.post4" in outcome(report, "seeds").detail


class Mute(ScriptedEngine):
    """Does not say how likely it found what it wrote."""

    async def generate(self, prefix: Any, **settings: Any) -> Any:
        return replace(await super().generate(prefix, **settings), log_probabilities=None)


@pytest.mark.parametrize("strategy", ["atts", "specreason", "atts-self"])
async def test_what_the_method_needs_is_looked_at(strategy: str) -> None:
    config = resolve(options={"draft": "scripted:", "target": "scripted:", "strategy": strategy})
    report = await check({Role.DRAFT: Mute(), Role.TARGET: ScriptedEngine()}, config)
    assert report.ok, report.failures
    looked = {(finding.role, finding.name) for finding in report.findings}
    assert (("target", "next token") in looked) is (strategy == "specreason")
    assert (("draft", "log-probabilities") in looked) is (strategy == "atts-self")


async def test_a_score_of_both_models_needs_a_draft_that_tells() -> None:
    options = {"draft": "scripted:", "target": "scripted:", "score": "log_likelihood_ratio"}
    for draft, ok in ((ScriptedEngine(), True), (Mute(), False)):
        report = await check({Role.DRAFT: draft, Role.TARGET: ScriptedEngine()}, resolve(options=options))
        assert report.ok is ok
        assert [f.name for f in report.failures] == [] if ok else ["own log-probabilities"]


async def test_a_method_with_a_budget_of_tokens_wants_no_longer_context() -> None:
    class Short(ScriptedEngine):
        async def info(self) -> Any:
            return replace(await super().info(), context_length=8192)

    for strategy, outcome_ in (("specreason", "ok"), ("speculative-thinking", "warning"), ("atts", "warning")):
        config = resolve(options={"draft": "scripted:", "target": "scripted:", "strategy": strategy})
        report = await check({Role.DRAFT: Short(), Role.TARGET: Short()}, config)
        assert outcome(report, "context length").outcome == outcome_


async def test_an_unreachable_server_is_one_finding() -> None:
    engine = VllmEngine("http://127.0.0.1:9", QUICK)
    report = await check({Role.TARGET: engine}, CONFIG)
    assert [(finding.name, finding.outcome) for finding in report.findings] == [("reachable", "failed")]
    await engine.close()


async def test_a_run_checks_first_and_says_why_it_does_not_begin(tmp_path: Path) -> None:
    def shifted(prefix: Any, continuation: Any) -> tuple[float, ...]:
        return tuple(-2 * uniform(len(prefix) + place + 1, token) for place, token in enumerate(continuation))

    async with serve("sglang", ScriptedEngine(Script(score=shifted))) as server:
        options = {"draft": "scripted:", "target": f"sglang:{server.url}", "limit": 1, "samples": 1}
        for checked in (True, False):
            setup = await asyncio.to_thread(prepare, resolve(options=options | {"check": checked}))
            run = Run(setup, tmp_path / str(checked))
            if checked:
                with pytest.raises(RunError, match=r"target: log-probabilities: .* --no-check"):
                    await run.execute()
            else:
                assert (await run.execute())["status"] == "complete"
