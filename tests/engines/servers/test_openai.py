"""OpenAI-compatible endpoints: text without a tokenizer, ids and scores with one, plain words where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from atts.engines.base import EngineOptions
from atts.engines.scripted import ScriptedEngine
from atts.engines.servers.openai import OpenAIEngine
from atts.errors import EngineError, NoRoomError
from atts.testing import serve
from atts.types import Finish, Message, Sampling

CHAT = [Message("system", "Be brief."), Message("user", "6 × 7?")]
BYTES = EngineOptions(tokenizer="bytes")
GREEDY = Sampling(0)


async def test_text_is_continued_where_it_stood() -> None:
    inner = ScriptedEngine()
    async with serve("vllm", inner) as server:
        engine = OpenAIEngine(f"{server.url}/v1")
        context = await engine.render(CHAT)
        wanted = await inner.render(CHAT)
        for _ in range(6):
            written = await engine.generate(context, max_tokens=90, sampling=GREEDY, stop=("\n\n",), seed=3)
            local = await inner.generate(wanted, max_tokens=90, sampling=GREEDY, stop=("\n\n",), seed=3)
            assert (written.text, written.finish) == (local.text, local.finish)
            context.extend(written.ids)
            wanted.extend(local.ids)
        assert written.finish is Finish.END
        with pytest.raises(EngineError, match="name its tokenizer"):
            await engine.score(context, [1])
        await engine.close()


async def test_an_opened_answer_is_continued() -> None:
    async with serve("vllm", ScriptedEngine()) as server:
        engine = OpenAIEngine(server.url)
        context = await engine.render([*CHAT, Message("assistant", "a\n\nb\n\n")])
        written = await engine.generate(context, max_tokens=90, sampling=GREEDY, stop=("\n\n",), seed=3)
        assert written.text == "Step 3: 3.\n\n"
        await engine.close()


async def test_with_a_tokenizer_it_can_be_a_target() -> None:
    inner = ScriptedEngine()
    async with serve("vllm", inner) as server:
        engine = OpenAIEngine(server.url, BYTES)
        prefix = await engine.render(CHAT)
        written = await engine.generate(prefix, max_tokens=20, sampling=GREEDY, seed=3)
        scoring = await engine.score(prefix, written.ids)
        assert scoring.log_probabilities == (await inner.score(prefix, written.ids)).log_probabilities
        await engine.close()


def completion(**choice: Any) -> web.Response:
    return web.json_response({"choices": [{"index": 0, "text": "x", "finish_reason": "length"} | choice], "usage": {}})


@pytest.fixture
async def plain() -> Any:
    """An endpoint that offers completions by a function of the body, and nothing else."""
    application = web.Application()
    answers: dict[str, Any] = {}

    async def complete(request: web.Request) -> web.Response:
        return answers["by"](await request.json())

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "first"}, {"id": "org/second"}]})

    application.add_routes([web.post("/v1/completions", complete), web.get("/v1/models", models)])
    application.add_routes([web.post("/v1/chat/completions", complete)])
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    answers["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield answers
    await runner.cleanup()


async def test_scores_by_echo(plain: Any) -> None:
    def answer(body: dict[str, Any]) -> web.Response:
        if not body.get("echo"):
            return completion()
        if body["max_tokens"]:
            return web.json_response({"error": "max_tokens must be 0"}, status=400)
        values = [None, *(-0.5 - token / 100 for token in body["prompt"][1:])]
        return completion(logprobs={"token_logprobs": values})

    plain["by"] = answer
    engine = OpenAIEngine(plain["url"], BYTES)
    assert (await engine.score([1, 2, 3], [4, 5])).log_probabilities == pytest.approx((-0.54, -0.55))
    await engine.close()


async def test_an_endpoint_that_ignores_what_it_does_not_know_cannot_be_a_target(plain: Any) -> None:
    plain["by"] = lambda body: completion()
    engine = OpenAIEngine(plain["url"], BYTES)
    with pytest.raises(EngineError, match="cannot be a target") as caught:
        await engine.score([1, 2, 3], [4, 5])
    assert not caught.value.retryable
    await engine.close()


async def test_the_model_after_the_sign_is_asked_for(plain: Any) -> None:
    asked = []
    plain["by"] = lambda body: asked.append(body["model"]) or completion(message={"content": "ok"})
    engine = OpenAIEngine(plain["url"] + "#org/second")
    await engine.generate(await engine.render(CHAT), max_tokens=3, sampling=GREEDY)
    assert asked == ["org/second"]
    await engine.close()
    missing = OpenAIEngine(plain["url"] + "#third")
    with pytest.raises(EngineError, match="serves no 'third' \\(it serves first, org/second\\)"):
        await missing.info()
    await missing.close()


async def test_an_answer_that_hides_its_reasoning_is_refused(plain: Any) -> None:
    plain["by"] = lambda body: completion(message={"content": None, "reasoning_content": "hm"})
    engine = OpenAIEngine(plain["url"])
    engine.http._first_wait, engine.http._attempts = 0.01, 2
    with pytest.raises(EngineError, match="keeps reasoning apart"):
        await engine.generate(await engine.render(CHAT), max_tokens=3, sampling=GREEDY)
    await engine.close()


async def test_a_text_that_fills_the_context_is_told_from_other_refusals(plain: Any) -> None:
    for said, full in (("This model's maximum context length is 900 tokens", True), ("bad request", False)):
        plain["by"] = lambda body, said=said: web.json_response({"error": {"message": said}}, status=400)
        engine = OpenAIEngine(plain["url"])
        with pytest.raises(EngineError, match="400") as caught:
            await engine.generate(await engine.render(CHAT), max_tokens=3, sampling=GREEDY)
        assert isinstance(caught.value, NoRoomError) is full
        await engine.close()
