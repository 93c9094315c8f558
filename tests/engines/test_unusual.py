"""Penalties, min_p, end tokens, stop strings, variables of the chat template: sent where they can be, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atts import bundled
from atts.calibration.files import Calibration, settings_fingerprint
from atts.config.run import RunConfig, resolve, validated
from atts.engines import open_engine
from atts.engines.base import Engine, EngineOptions
from atts.engines.local import LocalEngine
from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.engines.servers.openai import OpenAIEngine
from atts.engines.servers.sglang import SglangEngine
from atts.engines.servers.vllm import VllmEngine
from atts.errors import InputError
from atts.pipeline.settings import ChainSettings
from atts.testing import serve
from atts.testing.sglang import SglangServer
from atts.testing.vllm import VllmServer
from atts.types import Finish, Message, Role, Sampling
from tests.pipeline.conftest import Bench, jobs

DRAWN = {"min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": 0.25}
ALL = Sampling(0.8, 0.9, 5, **DRAWN)
CHAT = [Message("user", "6 × 7?")]
RUNS = Path(__file__).parent.parent / "store" / "runs-0.1.0"
has_torch = pytest.mark.skipif(not (Path(bundled.DRAFT) / "config.json").is_file(), reason="no bundled model")


class Sglang(SglangServer):
    """Remembers what it was asked, and ends every text by an end token that has a text."""

    asked: dict[str, Any]

    async def _compute(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked = body["sampling_params"]
        answer = await super()._compute(body)
        if stops := self.asked.get("stop_token_ids"):
            answer["meta_info"]["finish_reason"] = {"type": "stop", "matched": stops[0]}
            answer["meta_info"]["output_token_logprobs"][-1][1] = answer["output_ids"][-1] = stops[0]
            answer["text"] = answer["text"][:-1] + chr(stops[0])
        return answer


class Vllm(VllmServer):
    """The same."""

    asked: dict[str, Any]
    rendered: dict[str, Any]

    async def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked = body
        answer = await super()._complete(body)
        if stops := body.get("stop_token_ids"):
            choice = answer["choices"][0]
            choice |= {"finish_reason": "stop", "stop_reason": stops[0], "text": choice["text"][:-1] + chr(stops[0])}
            choice["token_ids"][-1], choice["logprobs"]["tokens"][-1] = stops[0], chr(stops[0])
        return answer

    async def _converse(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked = body
        return await super()._converse(body)

    async def _tokenize(self, request: Any) -> Any:
        self.rendered = await request.json()
        return await super()._tokenize(request)


async def asked(kind: type[Any], sampling: Sampling, options: EngineOptions | None = None) -> dict[str, Any]:
    """What the engine asks its server for."""
    make = Sglang if kind is SglangEngine else Vllm
    async with serve("sglang", ScriptedEngine(), make_server=make) as server:
        engine = kind(server.url, options)
        prompt = await engine.render(CHAT)
        await engine.generate(prompt, max_tokens=4, sampling=sampling, stop=("x",), seed=3)
        await engine.close()
    found: dict[str, Any] = server.asked  # type: ignore[attr-defined]
    return found


async def test_what_is_wanted_is_sent() -> None:
    for kind in (SglangEngine, VllmEngine):
        body = await asked(kind, ALL)
        assert {name: body[name] for name in DRAWN} == DRAWN
        assert (body["top_k"], body["top_p"]) == (5, 0.9)
    body = await asked(OpenAIEngine, Sampling(0.8, presence_penalty=0.5, frequency_penalty=0.25))
    assert (body["presence_penalty"], body["frequency_penalty"]) == (0.5, 0.25)


async def test_what_is_usual_is_left_out_unless_the_server_would_take_it_from_the_model() -> None:
    for kind in (SglangEngine, OpenAIEngine):
        assert not (await asked(kind, Sampling())).keys() & {*DRAWN, "stop_token_ids", "chat_template_kwargs", "top_k"}
    body = await asked(VllmEngine, Sampling())
    usual = {"min_p": 0, "repetition_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0, "top_k": -1}
    assert {name: body[name] for name in usual} == usual


@pytest.mark.parametrize("kind", [SglangEngine, VllmEngine])
async def test_an_end_token_ends_the_text_and_is_no_part_of_it(kind: type[Any]) -> None:
    make = Sglang if kind is SglangEngine else Vllm
    async with serve("sglang", ScriptedEngine(), make_server=make) as server:
        engine = kind(server.url, EngineOptions(end_tokens=(33,)))
        written = await engine.generate([65, 66], max_tokens=5, sampling=Sampling(0))
        await engine.close()
    assert server.asked["stop_token_ids"] == [33]  # type: ignore[attr-defined]
    assert (written.text, written.ids, written.finish) == ("Step", tuple(b"Step"), Finish.END)
    assert written.log_probabilities is not None and len(written.log_probabilities) == 4


async def test_log_probabilities_after_a_penalty_are_not_those_of_the_model() -> None:
    """SGLang reports them after its penalties, vLLM before them."""
    for kind, told in ((SglangEngine, False), (VllmEngine, True)):
        async with serve("sglang", ScriptedEngine(), make_server=Sglang if kind is SglangEngine else Vllm) as server:
            engine = kind(server.url)
            for sampling, faithful in ((Sampling(1.0), True), (Sampling(1.0, repetition_penalty=1.1), told)):
                written = await engine.generate([65], max_tokens=5, sampling=sampling)
                assert (written.log_probabilities is not None) is faithful
            await engine.close()


async def test_variables_of_the_chat_template() -> None:
    options = EngineOptions(template={"enable_thinking": False})
    async with serve("vllm", ScriptedEngine(), make_server=Vllm) as server:
        assert isinstance(server, Vllm)
        engine: Engine = VllmEngine(server.url, options)
        await engine.render(CHAT)
        assert server.rendered["chat_template_kwargs"] == {"enable_thinking": False}
        await engine.close()
    assert (await asked(OpenAIEngine, Sampling(), options))["chat_template_kwargs"] == {"enable_thinking": False}


@has_torch
def test_a_template_gets_its_variables_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    from atts.engines.local.tokenizer import Tokenizer
    from tests.engines.beginning import model_with_front

    template = "{{ messages[0]['content'] }}{% if enable_thinking is defined and not enable_thinking %}!{% endif %}"
    path = str(model_with_front(tmp_path / "model", template))
    chat = [message._asdict() for message in CHAT]
    thinking, not_thinking = (Tokenizer(path, {"enable_thinking": value}).render(chat) for value in (True, False))
    assert not_thinking == [*thinking, *Tokenizer(path).tokenize("!")]
    with pytest.raises(
        InputError, match=r"chat_template_kwargs\.enable_thinkin: the chat template .* does not know it"
    ):
        Tokenizer(path, {"enable_thinkin": False})


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("openai:http://h/v1", {"sampling": Sampling(min_p=0.1)}, "min_p"),
        ("openai:http://h/v1", {"sampling": Sampling(repetition_penalty=1.1)}, "repetition_penalty"),
        ("openai:http://h/v1,http://i/v1", {"end_tokens": (3,)}, "end_tokens"),
        ("scripted:", {"template": {"enable_thinking": False}}, "chat_template_kwargs"),
        ("scripted:", {"sampling": Sampling(presence_penalty=1)}, "presence_penalty"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_when_it_is_opened(name: str, options: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"^{words}: engine .* cannot do it") as refused:
        open_engine(name, EngineOptions(**options))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["sglang:http://h", "vllm:http://h", "vllm:http://h,http://i", "bundled:draft"])
def test_what_it_can_do_is_not(name: str) -> None:
    open_engine(name, EngineOptions(sampling=ALL, end_tokens=(3,), template={"a": 1}))


@has_torch
async def test_the_local_engine_draws_so_and_tells_what_the_model_itself_thinks() -> None:
    engine = LocalEngine(str(bundled.DRAFT), threads=1, options=EngineOptions(end_tokens=(300,)))
    prompt = await engine.render([Message("user", "What is 17 + 25?")])
    plain = await engine.generate(prompt, max_tokens=40, sampling=Sampling(0), seed=1)
    for sampling in (Sampling(1.0, min_p=1.0), Sampling(1.5, min_p=1.0)):  # only the likeliest is left
        assert (await engine.generate(prompt, max_tokens=40, sampling=sampling, seed=2)).ids == plain.ids
    penalised = await engine.generate(prompt, max_tokens=40, sampling=Sampling(0, frequency_penalty=2.0), seed=1)
    assert penalised.ids != plain.ids
    scores = (await engine.score(prompt, penalised.ids)).log_probabilities
    assert penalised.log_probabilities == pytest.approx(scores, abs=1e-3)
    with_end = LocalEngine(str(bundled.DRAFT), threads=1, options=EngineOptions(end_tokens=(plain.ids[5],)))
    ended = await with_end.generate(prompt, max_tokens=40, sampling=Sampling(0), seed=1)
    first = plain.ids.index(plain.ids[5])
    assert (ended.ids, ended.finish) == (plain.ids[:first], Finish.END)
    for opened in (engine, with_end):
        await opened.close()


async def test_a_stop_string_ends_the_chain() -> None:
    engines = [ScriptedEngine(Script(write=steps(6))) for _ in range(2)]
    bench = Bench(*engines, settings=ChainSettings(draft_tokens=7, ends=("Step 3",)))
    await bench.run(jobs(1, 2))
    for chain in bench.chains:
        assert chain.reason == "stop" and chain.text.endswith("Step 3")


def test_keys_of_a_run_reach_the_engines() -> None:
    config = resolve(
        options={"target": "scripted:", "draft_end_tokens": (7,), "stop": ("END", "FIN"), **DRAWN},
        assignments=[
            "chat_template_kwargs.enable_thinking=true",
            "chat_template_kwargs.depth=2",
            "target_chat_template_kwargs.enable_thinking=false",
        ],
    )
    draft, target = (config.engine_options(role) for role in Role)
    assert draft.template == {"enable_thinking": True, "depth": 2}
    assert target.template == {"enable_thinking": False, "depth": 2}
    assert (draft.end_tokens, target.end_tokens) == ((7,), ())
    settings = config.chain_settings()
    assert settings.ends == ("END", "FIN")
    for sampling in (settings.draft_sampling, settings.target_sampling, draft.sampling, target.sampling):
        assert {name: getattr(sampling, name) for name in DRAWN} == DRAWN
    assert validated(json.loads(json.dumps(config.model_dump()))) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("min_p", 1.5),
        ("min_p", -0.1),
        ("repetition_penalty", 0),
        ("presence_penalty", 3),
        ("stop", [""]),
        ("stop", "END"),
        ("draft_end_tokens", [-1]),
        ("draft_end_tokens", ["x"]),
        ("chat_template_kwargs", 3),
    ],
)
def test_what_cannot_be_is_refused(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=key):
        validated({key: value})


def test_runs_and_calibrations_of_earlier_versions_stay_the_same() -> None:
    for folder in ("complete", "interrupted"):
        saved = json.loads((RUNS / folder / "run.json").read_text())
        config = validated(saved["config"])
        changed = RunConfig.model_validate(saved["config"] | {"min_p": 0.1})
        assert changed.fingerprint() != config.fingerprint()
        now = settings_fingerprint(config)
        earlier = {key: value for key, value in now.items() if value is not None}
        assert not earlier.keys() & {*DRAWN, "stop", "chat_template_kwargs"}
        Calibration([], earlier).require(now, "old.json")
        for one, other in ((earlier, changed), (settings_fingerprint(changed), config)):
            with pytest.raises(InputError, match="min_p was"):
                Calibration([], one).require(settings_fingerprint(other), "c.json")
