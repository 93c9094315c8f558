"""The SGLang test server keeps to the rules of the real one."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from atts.engines.scripted import Script, ScriptedEngine
from atts.testing import FAULTS, Faults, serve
from atts.testing.sglang import END_ID, SglangServer

Ask = Any


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    inner = ScriptedEngine(Script(delay=lambda call, seed: 30.0 if seed == 99 else 0.0))
    async with serve("sglang", inner) as server, aiohttp.ClientSession(server.url) as session:

        async def post(path: str, body: dict[str, Any]) -> tuple[int, Any]:
            async with session.post(path, json=body) as response:
                text = await response.text()
                return response.status, json.loads(text) if text.startswith("{") else text

        yield post


def generate(**changes: Any) -> dict[str, Any]:
    parameters = {"max_new_tokens": 0, "temperature": 0} | changes.pop("sampling_params", {})
    return {"input_ids": [10, 20, 30, 40], "sampling_params": parameters, "return_logprob": True} | changes


@pytest.mark.parametrize(("start", "ids"), [(0, [10, 20, 30, 40]), (2, [30, 40]), (3, [40])])
async def test_the_first_entry_is_null_at_the_start(ask: Ask, start: int, ids: list[int]) -> None:
    _, answer = await ask("/generate", generate(logprob_start_len=start))
    entries = answer["meta_info"]["input_token_logprobs"]
    assert [entry[1] for entry in entries] == ids
    assert entries[0][0] is None and all(entry[0] < 0 for entry in entries[1:])
    assert answer["meta_info"]["cached_tokens"] <= start


async def test_without_a_start_only_the_output_is_scored(ask: Ask) -> None:
    _, answer = await ask("/generate", generate(sampling_params={"max_new_tokens": 3}))
    assert answer["meta_info"]["input_token_logprobs"] == []
    assert [entry[1] for entry in answer["meta_info"]["output_token_logprobs"]] == answer["output_ids"]


async def test_a_start_behind_the_prompt_is_refused(ask: Ask) -> None:
    status, _ = await ask("/generate", generate(logprob_start_len=4))
    assert status == 400


async def test_the_stop_string_is_trimmed_unless_asked_for(ask: Ask) -> None:
    for extra, text in (({}, "Step 1: 0."), ({"no_stop_trim": True}, "Step 1: 0.\n\n")):
        _, answer = await ask("/generate", generate(sampling_params={"max_new_tokens": 50, "stop": ["\n\n"]} | extra))
        assert answer["text"] == text
        assert bytes(answer["output_ids"]).endswith(b"\n\n")
        assert answer["meta_info"]["finish_reason"] == {"type": "stop", "matched": "\n\n"}


async def test_the_end_of_text_is_an_id_and_no_text(ask: Ask) -> None:
    _, answer = await ask("/generate", generate(sampling_params={"max_new_tokens": 500}))
    assert answer["output_ids"][-1] == END_ID and answer["meta_info"]["finish_reason"]["matched"] == END_ID
    assert answer["meta_info"]["completion_tokens"] == len(answer["output_ids"])


async def test_streaming_is_cumulative_and_ends_with_done(ask: Ask) -> None:
    _, stream = await ask("/generate", generate(stream=True, sampling_params={"max_new_tokens": 20}))
    events = [line.removeprefix("data: ") for line in stream.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    texts = [json.loads(event)["text"] for event in events[:-1]]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert len(texts[-1]) == 20


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_is_aborted_by_its_name(ask: Ask, stream: bool) -> None:
    slow = generate(rid="mine", stream=stream, sampling_params={"max_new_tokens": 5, "sampling_seed": 99})
    task = asyncio.create_task(ask("/generate", slow))
    async with asyncio.timeout(60):
        while not task.done():
            await ask("/abort_request", {"rid": "mine"})
    _, answer = await asyncio.wait_for(task, 60)
    if stream:
        answer = json.loads(answer.split("\n\n")[-3].removeprefix("data: "))
    assert answer["meta_info"]["finish_reason"]["type"] == "abort"


async def test_the_cache_is_used_up_to_the_start_and_empty_after_a_flush(ask: Ask) -> None:
    ids = [place % 200 for place in range(100)]

    async def cached(start: int) -> int:
        _, answer = await ask("/generate", generate(input_ids=ids, logprob_start_len=start))
        return int(answer["meta_info"]["cached_tokens"])

    assert [await cached(90), await cached(90), await cached(20), await cached(0)] == [0, 90, 20, 0]
    assert (await ask("/flush_cache", {}))[0] == 200
    assert [await cached(90), await cached(90)] == [0, 90]


async def test_a_running_request_keeps_the_cache(ask: Ask) -> None:
    slow = asyncio.create_task(ask("/generate", generate(sampling_params={"max_new_tokens": 5, "sampling_seed": 99})))
    async with asyncio.timeout(60):
        while (await ask("/flush_cache", {}))[0] == 200:
            assert not slow.done()
    slow.cancel()


@pytest.mark.parametrize(
    "wrong",
    [
        {"sampling_params": {"max_new_tokens": "x"}},
        {"sampling_params": {"temperature": []}},
        {"sampling_params": {"stop": 3}},
        {"sampling_params": {"sampling_seed": 0.5}},
        {"logprob_start_len": "here"},
        {"input_ids": "none"},
        {"input_ids": [10, 256]},
        {"input_ids": [-1]},
    ],
)
async def test_what_is_malformed_is_a_bad_request(ask: Ask, wrong: dict[str, Any]) -> None:
    body = generate(sampling_params={"max_new_tokens": 2} | wrong.pop("sampling_params", {}), **wrong)
    status, answer = await ask("/generate", body)
    assert status == 400 and answer["error"]["message"]
    status, stream = await ask("/generate", body | {"stream": True})
    assert status == 200 and stream.startswith('data: {"error"')


@pytest.mark.parametrize("fault", list(FAULTS))
async def test_streams_are_spoilt_too(fault: str) -> None:
    faults = Faults(1.0, [fault], hang=0.01)
    async with serve("sglang", ScriptedEngine(), faults=faults) as server, aiohttp.ClientSession(server.url) as http:
        text = ""
        with suppress(aiohttp.ClientError):
            async with http.post("/generate", json=generate(stream=True, sampling_params={"max_new_tokens": 5})) as got:
                text = await got.text()
        assert faults.done[fault] == 1 and server.requests == 1
        assert '"Step ' not in text or fault in ("missing", "nan", "sentinel"), text
        assert "NaN" in text or fault != "nan"


async def test_a_stream_starts_when_the_server_does() -> None:
    late = Faults(start_after=3600)
    async with (
        serve("sglang", ScriptedEngine(), faults=late) as server,
        aiohttp.ClientSession(server.url) as http,
        http.post("/generate", json=generate(stream=True)) as response,
    ):
        assert response.status == 503


async def test_an_old_server_knows_the_old_names_only() -> None:
    make = lambda engine, faults: SglangServer(engine, faults, old=True)  # noqa: E731
    async with serve("sglang", ScriptedEngine(), make_server=make) as server, aiohttp.ClientSession(server.url) as http:
        found = {}
        for path in ("/model_info", "/get_model_info", "/server_info", "/get_server_info"):
            async with http.get(path) as response:
                found[path] = response.status
    assert list(found.values()) == [404, 200, 404, 200]
