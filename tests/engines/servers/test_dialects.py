"""Engines behind real HTTP servers: the same as the engine itself, for each dialect; and faults never become values."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import pytest

from atts.engines import open_engine
from atts.engines.base import EngineOptions
from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.engines.servers.server import ServerEngine
from atts.engines.servers.sglang import SglangEngine
from atts.engines.servers.vllm import VllmEngine
from atts.errors import EngineError, InputError, NoRoomError, RunError, ScoreError
from atts.testing import FAULTS, Faults, ModelServer, serve
from atts.testing.sglang import SglangServer
from atts.types import EngineInfo, Finish, GrowingIds, Message, Sampling
from tests.polling import until

CLIENTS: dict[str, type[ServerEngine]] = {"sglang": SglangEngine, "vllm": VllmEngine}
CHAT = [Message("user", "Was ist 6 × 7? 🙂")]


class Short(ScriptedEngine):
    """A scripted engine that knows how much it can hold."""

    async def info(self) -> EngineInfo:
        return replace(await super().info(), context_length=200)


@pytest.fixture(params=list(CLIENTS))
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[ServerEngine, ScriptedEngine, ModelServer]]:
    inner = Short()
    async with serve(request.param, inner) as server:
        engine = CLIENTS[request.param](server.url)
        yield engine, inner, server
        await engine.close()


Pair = tuple[ServerEngine, ScriptedEngine, ModelServer]


async def test_prompts_and_texts_are_the_models_own(pair: Pair) -> None:
    engine, inner, _ = pair
    assert await engine.render(CHAT) == await inner.render(CHAT)
    opened = [*CHAT, Message("assistant", "It is")]
    assert await engine.render(opened) == await inner.render(opened)
    assert await engine.tokenize("a\n\nb 🙂") == await inner.tokenize("a\n\nb 🙂")
    assert await engine.detokenize([97, 240, 159]) == await inner.detokenize([97, 240, 159])
    assert await engine.tokenize("") == []


@pytest.mark.parametrize(
    ("tokens", "stop", "finish"), [(9, (), Finish.LENGTH), (90, ("\n\n",), Finish.STOP), (150, (), Finish.END)]
)
async def test_generations_are_the_models_own(pair: Pair, tokens: int, stop: tuple[str, ...], finish: Finish) -> None:
    engine, inner, _ = pair
    prefix = await inner.render(CHAT)
    for given in (prefix, GrowingIds(prefix)):
        written = await engine.generate(given, max_tokens=tokens, sampling=Sampling(0), stop=stop, seed=5)
        wanted = await inner.generate(prefix, max_tokens=tokens, sampling=Sampling(0), stop=stop, seed=5)
        assert (written.ids, written.text, written.finish) == (wanted.ids, wanted.text, wanted.finish)
        assert written.finish is finish
        assert written.log_probabilities == wanted.log_probabilities


@pytest.mark.parametrize("length", [1, 2, 30])
async def test_scores_start_at_the_boundary(pair: Pair, length: int) -> None:
    engine, inner, _ = pair
    prefix, continuation = GrowingIds(range(40, 70)), list(range(70, 70 + length))
    scoring = await engine.score(prefix, continuation)
    assert scoring.log_probabilities == (await inner.score(prefix, continuation)).log_probabilities
    assert len(scoring.log_probabilities) == length
    assert scoring.usage.prompt == 30 + length


async def test_what_cannot_be_scored_is_refused(pair: Pair) -> None:
    engine, _, server = pair
    for prefix, continuation in (([1], []), ([], [1])):
        with pytest.raises(ScoreError):
            await engine.score(prefix, continuation)
    assert server.requests == 0


async def test_the_next_token_is_the_models_own(pair: Pair) -> None:
    engine, inner, _ = pair
    prefix = await inner.render(CHAT)
    assert await engine.next_token(prefix, top=3) == await inner.next_token(prefix, top=3)


async def test_a_full_context_is_an_error_and_no_request(pair: Pair) -> None:
    engine, _, server = pair
    written = await engine.generate([65] * 195, max_tokens=50, sampling=Sampling(0))
    assert len(written.ids) == 5 - engine.spare
    await engine.score([65] * 195, written.ids)  # what could be written can be read
    asked = server.requests
    full = [65] * 200
    for request in (
        engine.generate(full, max_tokens=50, sampling=Sampling(0)),
        engine.score(full, [65]),
        engine.next_token(full, top=3),
    ):
        with pytest.raises(NoRoomError, match="leave no room"):
            await request
    assert server.requests == asked


async def test_many_requests_at_once_do_not_mix(pair: Pair) -> None:
    engine, inner, server = pair
    inner.script = Script(write=lambda text, seed: f"{text[-3:]} and {seed}", delay=lambda call, seed: seed % 7 / 500)

    async def one(number: int) -> bool:
        prefix = GrowingIds(f"<assistant>{number:03}".encode())
        text = (await engine.generate(prefix, max_tokens=50, sampling=Sampling(0), seed=number)).text
        return text == f"{number:03} and {number}"

    assert all(await asyncio.gather(*map(one, range(200))))
    assert server.open == 0


async def test_scores_and_takeovers_of_one_path_are_not_compared(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score takes 0.3 s and a takeover eight times as long: that is no queue, and no reason to ask for less."""
    engine, _, _ = pair
    limiter, seconds, kinds = engine.http.limiter, 0.3, []
    limiter.limit = limiter.most = 16
    await engine.info()  # whose requests are of kinds of their own
    judge = limiter.answered

    def answered(kind: str, measured: float) -> None:
        kinds.append(kind)
        judge(kind, seconds)  # as long as they are meant to take, whatever the machine does

    monkeypatch.setattr(limiter, "answered", answered)
    for _ in range(2):
        await asyncio.gather(*(engine.score([65, 66], [67]) for _ in range(16)))
    seconds = 2.4
    for _ in range(2):
        await asyncio.gather(*(engine.generate([65, 66], max_tokens=4, sampling=Sampling(0)) for _ in range(16)))
    assert len(set(kinds)) == 2 and set(kinds[:32]).isdisjoint(kinds[32:])
    assert limiter.limit == 16


async def test_a_cancelled_request_ends_at_the_server(pair: Pair) -> None:
    engine, inner, server = pair
    inner.script = Script(delay=lambda call, seed: 60.0)
    task = asyncio.create_task(engine.generate([65], max_tokens=5, sampling=Sampling(0)))
    await until(lambda: inner.in_flight)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: not (inner.in_flight or server.open))
    assert server.aborted == 1


def impatient(**changes: Any) -> EngineOptions:
    return EngineOptions(**({"timeout": 1.0, "patience": 0.5} | changes))


def hurried(engine: ServerEngine) -> ServerEngine:
    engine.http._first_wait = 0.005
    return engine


@pytest.mark.parametrize("dialect", list(CLIENTS))
@pytest.mark.parametrize("fault", list(FAULTS))
async def test_a_fault_in_passing_changes_nothing(dialect: str, fault: str) -> None:
    inner, faults = ScriptedEngine(), Faults(0.0, [fault], seed=3, hang=5)
    async with serve(dialect, inner, faults=faults) as server:
        engine = hurried(CLIENTS[dialect](server.url, impatient()))
        for number in range(5):
            faults.rate = 0.3 if number else 0.0  # it has answered in the right form before
            prefix = GrowingIds(f"<assistant>{number}".encode())
            written = await engine.generate(prefix, max_tokens=50, sampling=Sampling(0), stop=("\n\n",), seed=number)
            wanted = await inner.generate(prefix, max_tokens=50, sampling=Sampling(0), stop=("\n\n",), seed=number)
            assert (written.ids, written.text) == (wanted.ids, wanted.text)
            assert all(map(math.isfinite, (await engine.score(prefix, written.ids)).log_probabilities))
        await engine.close()
    assert faults.done[fault] >= 1


@pytest.mark.parametrize("dialect", list(CLIENTS))
@pytest.mark.parametrize("fault", ["missing", "nan", "sentinel", "empty", "error", "truncated", "abort"])
async def test_a_fault_that_stays_is_an_error_and_never_a_number(dialect: str, fault: str) -> None:
    async with serve(dialect, ScriptedEngine(script=Script(write=steps(2))), faults=Faults(1.0, [fault])) as server:
        engine = hurried(CLIENTS[dialect](server.url, impatient(timeout=60)))
        engine.http._attempts = 3
        kind = ScoreError if fault in ("missing", "nan", "sentinel", "empty") else EngineError
        with pytest.raises(kind):
            await engine.score([65, 66], [67, 68])
        if (dialect, fault) == ("sglang", "missing") or fault == "sentinel":  # the text stands without them
            written = await engine.generate([65, 66], max_tokens=8, sampling=Sampling(0))
            assert len(written.ids) == 8 and written.log_probabilities is None
        else:
            with pytest.raises(EngineError):
                await engine.generate([65, 66], max_tokens=8, sampling=Sampling(0))
        await engine.close()


async def test_an_end_that_is_no_stop_string_is_no_stop() -> None:
    class Broken(SglangServer):
        async def _compute(self, body: dict[str, Any]) -> dict[str, Any]:
            answer = await super()._compute(body)
            reason = {"type": "stop", "matched": "NaN happened"}
            return answer | {"meta_info": answer["meta_info"] | {"finish_reason": reason}}

    async with serve("sglang", ScriptedEngine(), make_server=Broken) as server:
        engine = hurried(SglangEngine(server.url))
        engine.http._attempts = 2
        with pytest.raises(EngineError, match="NaN happened"):
            await engine.generate([65, 66], max_tokens=8, sampling=Sampling(0), stop=("x",))
        await engine.close()


@pytest.mark.parametrize("dialect", list(CLIENTS))
async def test_a_slow_start_is_waited_for(dialect: str) -> None:
    faults = Faults(start_after=3600)
    async with serve(dialect, ScriptedEngine(), faults=faults) as server:
        engine = hurried(CLIENTS[dialect](server.url, impatient(timeout=60, patience=60)))
        engine.http._attempts = 2
        asked = asyncio.create_task(engine.generate([65], max_tokens=8, sampling=Sampling(0)))
        await until(lambda: engine.http.outage._task)
        faults._starts = 0
        assert (await asked).ids
        await engine.close()


@pytest.mark.parametrize("dialect", list(CLIENTS))
async def test_a_server_that_never_comes_is_a_clear_error_within_the_deadline(dialect: str) -> None:
    engine = CLIENTS[dialect]("http://127.0.0.1:9", impatient(patience=0.3))
    with pytest.raises(RunError, match=r"127\.0\.0\.1:9 did not come back within 0\.3 s"):
        await asyncio.wait_for(engine.info(), 60)
    await engine.close()


async def test_versions_of_sglang_before_0_5_do_everything_but_seeds() -> None:
    inner = Short()
    async with serve("sglang", inner, make_server=partial(SglangServer, old=True)) as server:
        engine = SglangEngine(server.url)
        info = await engine.info()
        assert (info.details["version"], info.context_length) == ("0.4.3.post4", 200)
        prefix = await engine.render(CHAT)
        written = await engine.generate(prefix, max_tokens=20, sampling=Sampling(0.8, 0.9, 5), stop=("\n\n",), seed=5)
        assert written.ids == (await inner.generate(prefix, max_tokens=20, sampling=Sampling(0), stop=("\n\n",))).ids
        scoring = await engine.score(prefix, written.ids)
        assert scoring.log_probabilities == (await inner.score(prefix, written.ids)).log_probabilities
        assert await engine.next_token(prefix, top=3) == await inner.next_token(prefix, top=3)
        await engine.close()


@pytest.mark.parametrize(
    ("version", "seeds"),
    [
        ("0.4.3.post4", False),
        ("0.5.2", False),
        ("0.5.3rc0", False),
        ("0.5.3", True),
        ("0.5.3.post1", True),
        ("0.5.23", True),
        ("0.6.0rc1", True),
        ("1.0.0", True),
        ("unknown", False),
    ],
)
async def test_seeds_go_to_versions_that_know_them(version: str, seeds: bool) -> None:
    class Dated(SglangServer):
        version = ""
        asked: ClassVar[list[dict[str, Any]]] = []

        async def _compute(self, body: dict[str, Any]) -> dict[str, Any]:
            self.asked.append(body["sampling_params"])
            return await super()._compute(body)

    Dated.version = version
    async with serve("sglang", ScriptedEngine(), make_server=Dated) as server:
        engine = SglangEngine(server.url)
        await engine.generate([65], max_tokens=4, sampling=Sampling(0), seed=5)
        assert [parameters.get("sampling_seed") for parameters in Dated.asked] == [5 if seeds else None]
        await engine.close()


@pytest.mark.parametrize("url", ["", "localhost:1", "ftp://a", "http://", "http://a b"])
def test_an_address_that_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(InputError, match="write it as sglang:http://host:port"):
        SglangEngine(url)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    for address in ("http://me:SECRET@host", "http://SECRET@host:1/v1", "https://a,http://me:SECRET@host"):
        with pytest.raises(InputError, match="no user name or password") as refused:
            open_engine(f"sglang:{address}")
        assert "SECRET" not in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(("client", "dialect"), [("sglang", "vllm"), ("vllm", "sglang")])
async def test_the_wrong_dialect_is_said(client: str, dialect: str) -> None:
    async with serve(dialect, ScriptedEngine()) as server:
        engine = CLIENTS[client](server.url)
        with pytest.raises(
            EngineError, match=r"does not speak SGLang|this is an SGLang server: write it as sglang:http"
        ):
            await engine.info()
        await engine.close()


class Aborting(SglangServer):
    """Remembers the names of requests and of those that it is told to abort; some are answered too late."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.named: list[str] = []
        self.told: list[str] = []
        self.asked: list[dict[str, Any]] = []

    async def _compute(self, body: dict[str, Any]) -> dict[str, Any]:
        self.named.append(body["rid"])
        self.asked.append(body["sampling_params"])
        return await super()._compute(body)

    def abort(self, name: str) -> None:
        self.told.append(name)
        super().abort(name)


async def test_sglang_is_told_of_what_nobody_waits_for_any_more() -> None:
    """A connection that is closed is noticed late, and a request that runs on takes the place of another."""
    inner = ScriptedEngine(Script(delay=lambda call, seed: 60.0))
    async with serve("sglang", inner, make_server=Aborting) as server:
        assert isinstance(server, Aborting)
        engine = hurried(SglangEngine(server.url, impatient(timeout=0.5, patience=0)))
        engine.http._attempts = 2
        with pytest.raises(EngineError, match="no answer"):
            await engine.generate([65], max_tokens=5, sampling=Sampling(0))
        await until(lambda: server.told)
        assert server.named[0] in server.told and len(set(server.named)) == 2  # before the second try, under a new name
        cancelled = asyncio.create_task(engine.generate([65], max_tokens=5, sampling=Sampling(0)))
        await until(lambda: len(server.named) == 3)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        await until(lambda: server.named[2] in server.told)
        await engine.close()


async def test_the_last_token_of_a_context_stays_empty() -> None:
    async with serve("sglang", Short(), make_server=Aborting) as server:
        assert isinstance(server, Aborting)
        engine = SglangEngine(server.url)
        await engine.generate([65] * 195, max_tokens=50, sampling=Sampling(0))
        assert server.asked[0]["max_new_tokens"] == 4
        with pytest.raises(NoRoomError):
            await engine.generate([65] * 199, max_tokens=50, sampling=Sampling(0))
        await engine.close()
    async with serve("vllm", Short()) as server:
        vllm = VllmEngine(server.url)
        assert len((await vllm.generate([65] * 195, max_tokens=50, sampling=Sampling(0))).ids) == 4
        with pytest.raises(NoRoomError):
            await vllm.generate([65] * 199, max_tokens=50, sampling=Sampling(0))
        await vllm.close()
