"""Other shapes of the same answer are read, endings are what they are, and what is missing is named after two tries."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from atts.engines.base import Engine, EngineOptions
from atts.engines.scripted import Script, ScriptedEngine
from atts.engines.servers.answer import finish_of, models
from atts.engines.servers.openai import OpenAIEngine
from atts.engines.servers.server import ServerEngine
from atts.engines.servers.sglang import SglangEngine
from atts.engines.servers.vllm import VllmEngine
from atts.errors import EngineError, NoRoomError, ScoreError
from atts.testing import ModelServer, serve
from atts.testing.sglang import SglangServer
from atts.testing.vllm import VllmServer
from atts.types import Finish, Generation, Sampling

Alter = Callable[[dict[str, Any]], Any]
TEXT = "0123456789"


@asynccontextmanager
async def altered(
    dialect: str, alter: Alter, tokenizer: str | None = None
) -> AsyncIterator[tuple[Engine, ModelServer]]:
    """An engine on a server whose answers are altered before they are sent; it writes ten digits."""

    class Sglang(SglangServer):
        async def _compute(self, body: dict[str, Any]) -> dict[str, Any]:
            return _altered(alter, await super()._compute(body))

    class Vllm(VllmServer):
        async def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
            return _altered(alter, await super()._complete(body))

        async def _converse(self, body: dict[str, Any]) -> dict[str, Any]:
            return _altered(alter, await super()._converse(body))

    server: type[ModelServer] = Sglang if dialect == "sglang" else Vllm
    kind: type[ServerEngine] = {"sglang": SglangEngine, "vllm": VllmEngine, "openai": OpenAIEngine}[dialect]
    inner = ScriptedEngine(Script(write=lambda text, seed: TEXT))
    async with serve("sglang", inner, make_server=server) as running:
        engine = kind(running.url, EngineOptions(tokenizer=tokenizer))
        engine.http._first_wait = 0.001
        yield engine, running
        await engine.close()


def _altered(alter: Alter, answer: dict[str, Any]) -> dict[str, Any]:
    alter(answer)
    return answer


async def write(engine: Engine, tokens: int = 5, stop: tuple[str, ...] = ()) -> Generation:
    prefix = [65, 66] if not isinstance(engine, OpenAIEngine) else list(b'[{"role": "user", "content": "a"}]\x00')
    return await engine.generate(prefix, max_tokens=tokens, sampling=Sampling(0), stop=stop)


def ending(reason: Any) -> Alter:
    def alter(answer: dict[str, Any]) -> None:
        if "meta_info" in answer:
            answer["meta_info"]["finish_reason"] = {"type": reason}
        else:
            answer["choices"][0] |= {"finish_reason": reason, "stop_reason": None}

    return alter


BROKEN = [
    "abort",
    "error",
    "Abort",
    "ERROR",
    "cancelled",
    "timeout",
    "load",
    "pause_turn",
    "unheard-of",
    "",
    None,
    7,
    {},
]
RECORDED = {
    "content_filter": Finish.FILTER,
    "content-filter": Finish.FILTER,
    "SAFETY": Finish.FILTER,
    "refusal": Finish.FILTER,
    "repetition": Finish.REPETITION,
    "tool_calls": Finish.TOOL,
    "length": Finish.LENGTH,
    "MAX_TOKENS": Finish.LENGTH,
    "FinishReason.LENGTH": Finish.LENGTH,
}


@pytest.mark.parametrize("dialect", ["sglang", "vllm", "openai"])
async def test_no_token_is_dropped_unless_the_text_has_ended(dialect: str) -> None:
    for reason, finish in RECORDED.items():
        async with altered(dialect, ending(reason)) as (engine, server):
            written = await write(engine)
            assert (written.text, written.finish) == ("01234", finish)
            assert written.ids == tuple(b"01234")
            assert server.requests == 1


@pytest.mark.parametrize("dialect", ["sglang", "vllm", "openai"])
async def test_what_is_not_known_to_be_an_end_is_sent_again_and_then_an_error(dialect: str) -> None:
    for reason in BROKEN:
        async with altered(dialect, ending(reason)) as (engine, server):
            with pytest.raises(EngineError, match="broke off") as caught:
                await write(engine)
            assert server.requests == 8 and "\n" not in str(caught.value)


async def test_an_aborted_score_is_none() -> None:
    for dialect in ("sglang", "vllm"):
        async with altered(dialect, ending("abort")) as (engine, _):
            with pytest.raises(EngineError, match="broke off"):
                await engine.score([65, 66], [67])


def test_words_for_an_end() -> None:
    assert {finish_of(word, "h") for word in ("stop", "STOP", "eos_token", "end_turn", "EOS")} == {Finish.END}
    assert finish_of("stop_sequence", "h") is Finish.STOP


async def test_a_context_that_is_found_full_in_the_middle() -> None:
    def alter(answer: dict[str, Any]) -> None:
        message = "The input (9 tokens) is longer than the model's context length (8 tokens)."
        answer["meta_info"]["finish_reason"] = {"type": "abort", "message": message}

    async with altered("sglang", alter) as (engine, server):
        with pytest.raises(NoRoomError):
            await write(engine)
        assert server.requests == 1


async def test_sglang_says_its_ids_in_two_places() -> None:
    def no_values(answer: dict[str, Any]) -> None:
        del answer["meta_info"]["output_token_logprobs"]

    for alter in (no_values, lambda answer: answer["meta_info"].update(output_token_logprobs=None)):
        for tokens, ids in ((5, b"01234"), (50, TEXT.encode())):  # the second ends, with a token for it
            async with altered("sglang", alter) as (engine, server):
                written = await write(engine, tokens)
                assert written.ids == tuple(ids) and written.log_probabilities is None
                assert server.requests == 1


@pytest.mark.parametrize("dialect", ["sglang", "vllm"])
async def test_counts_that_a_server_leaves_out_are_our_own(dialect: str) -> None:
    def alter(answer: dict[str, Any]) -> None:
        if "meta_info" in answer:
            answer["meta_info"] |= {"cached_tokens": None, "prompt_tokens": None, "completion_tokens": None}
        else:
            answer.pop("usage")

    async with altered(dialect, alter) as (engine, _):
        usage = (await write(engine)).usage
        assert (usage.prompt, usage.cached, usage.completion) == (2, 0, 5)
        usage = (await engine.score([65, 66], [67])).usage
        assert (usage.prompt, usage.cached) == (3, 0)


async def test_null_for_the_cached_is_none_cached() -> None:
    def alter(answer: dict[str, Any]) -> None:
        answer["usage"]["prompt_tokens_details"] = {"cached_tokens": None}

    async with altered("vllm", alter) as (engine, _):
        assert (await write(engine)).usage.cached == 0


WRONG: list[tuple[str, str, Alter]] = [
    ("sglang", "meta_info", lambda answer: answer.pop("meta_info")),
    ("sglang", "meta_info", lambda answer: answer.update(meta_info=[])),
    ("sglang", "finish_reason", lambda answer: answer["meta_info"].pop("finish_reason")),
    ("sglang", "text", lambda answer: answer.pop("text")),
    (
        "sglang",
        "output_ids",
        lambda answer: (answer.pop("output_ids"), answer["meta_info"].pop("output_token_logprobs")),
    ),
    ("sglang", "output_token_logprobs", lambda answer: answer["meta_info"].update(output_token_logprobs=[[-0.1]])),
    ("sglang", "token ids", lambda answer: answer["meta_info"].update(output_token_logprobs=[[-0.1, "a", None]])),
    ("sglang", "ids of 4 of 5 tokens", lambda answer: answer["meta_info"]["output_token_logprobs"].pop()),
    ("vllm", "choices", lambda answer: answer.pop("choices")),
    ("vllm", r"choices\[0\]", lambda answer: answer.update(choices=[])),
    ("vllm", "0 of the answer is no object", lambda answer: answer.update(choices=["x"])),
    ("vllm", "finish_reason", lambda answer: answer["choices"][0].pop("finish_reason")),
    ("vllm", "text", lambda answer: answer["choices"][0].pop("text")),
    ("vllm", r"logprobs\.tokens", lambda answer: answer["choices"][0]["logprobs"].pop("tokens")),
    ("vllm", "logprobs", lambda answer: answer["choices"][0].update(logprobs=None)),
    ("vllm", "token_ids", lambda answer: answer["choices"][0].update(token_ids=["1", "2"])),
    ("openai", "choices", lambda answer: answer.pop("choices")),
    ("openai", "no text", lambda answer: answer["choices"][0].pop("message")),
    ("openai", "message", lambda answer: answer["choices"][0].update(message=None)),
    ("openai", "finish_reason", lambda answer: answer["choices"][0].pop("finish_reason")),
]


@pytest.mark.parametrize(("dialect", "named", "alter"), WRONG)
async def test_a_wrong_form_is_asked_for_once_more_and_what_is_missing_is_named(
    dialect: str, named: str, alter: Alter
) -> None:
    async with altered(dialect, alter) as (engine, server):
        with pytest.raises(EngineError, match=named) as caught:
            await write(engine)
        assert server.requests == 2 and "\n" not in str(caught.value)


UNSCORED: list[tuple[str, str, Alter]] = [
    ("sglang", "input_token_logprobs", lambda answer: answer["meta_info"].pop("input_token_logprobs")),
    ("sglang", "input_token_logprobs", lambda answer: answer["meta_info"].update(input_token_logprobs=None)),
    ("sglang", "other tokens", lambda answer: answer["meta_info"]["input_token_logprobs"].pop()),
    ("sglang", "other tokens", lambda answer: answer["meta_info"]["input_token_logprobs"][-1].__setitem__(1, 99)),
    ("vllm", "prompt_logprobs", lambda answer: answer["choices"][0].pop("prompt_logprobs")),
    ("vllm", "prompt_logprobs", lambda answer: answer["choices"][0]["prompt_logprobs"].pop()),
    ("vllm", "other tokens", lambda answer: answer["choices"][0]["prompt_logprobs"].__setitem__(-1, {"99": {}})),
    ("vllm", "other tokens", lambda answer: answer["choices"][0]["prompt_logprobs"].__setitem__(-1, None)),
]


@pytest.mark.parametrize(("dialect", "named", "alter"), UNSCORED)
async def test_a_score_in_the_wrong_form_is_none(dialect: str, named: str, alter: Alter) -> None:
    async with altered(dialect, alter) as (engine, server):
        with pytest.raises(ScoreError, match=named):
            await engine.score([65, 66], [67, 68])
        assert server.requests == 2


@pytest.mark.parametrize("value", [-9999.0, -math.inf, math.nan, None, "-Infinity", -250.0])
@pytest.mark.parametrize("dialect", ["sglang", "vllm"])
async def test_a_score_of_what_stands_for_infinity_is_none(dialect: str, value: Any) -> None:
    def alter(answer: dict[str, Any]) -> None:
        if "meta_info" in answer:
            answer["meta_info"]["input_token_logprobs"][-1][0] = value
        else:
            next(iter(answer["choices"][0]["prompt_logprobs"][-1].values()))["logprob"] = value

    async with altered(dialect, alter) as (engine, _):
        with pytest.raises(ScoreError):
            await engine.score([65, 66], [67, 68])


def vllm_choice(**changes: Any) -> Alter:
    return lambda answer: answer["choices"][0].update(changes)


async def test_a_text_that_ended_loses_its_end_token_and_nothing_else() -> None:
    async with altered("vllm", vllm_choice()) as (engine, _):  # the end token, which has no text
        written = await write(engine, 50)
        assert (written.ids, written.finish) == (tuple(TEXT.encode()), Finish.END)

    def without_end_token(answer: dict[str, Any]) -> None:
        choice = answer["choices"][0]
        for listed in (choice["token_ids"], choice["logprobs"]["tokens"], choice["logprobs"]["token_logprobs"]):
            listed.pop()

    async with altered("vllm", without_end_token) as (engine, _):
        written = await write(engine, 50)
        assert (written.ids, written.finish) == (tuple(TEXT.encode()), Finish.END)
        assert written.log_probabilities is not None and len(written.log_probabilities) == 10


async def test_a_stop_string_is_one_though_the_server_forgets_which() -> None:
    async with altered("vllm", vllm_choice(stop_reason=None)) as (engine, _):
        written = await write(engine, 50, ("34",))
        assert (written.text, written.finish, written.ids) == ("01234", Finish.STOP, tuple(b"01234"))


def test_lists_of_models_in_all_forms() -> None:
    for answer in (
        {"data": [{"id": "m", "max_model_len": 8}]},
        {"models": [{"name": "m", "context_length": 8}]},
        [{"model": "m", "context_window": 8}],
    ):
        (found,) = models(answer)
        assert (found.name, found.length) == ("m", 8)
    assert [found.name for found in models(["a", "b"])] == ["a", "b"]
    for nothing in (None, {}, [], {"data": None}, [None, 3, {"id": 4}]):
        assert models(nothing) == []
