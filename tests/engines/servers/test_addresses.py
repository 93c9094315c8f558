"""Addresses as people write them, and where OpenAI's interface is below them."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from atts.engines.base import EngineOptions
from atts.engines.servers.address import parse_address
from atts.engines.servers.openai import OpenAIEngine
from atts.engines.servers.sglang import SglangEngine
from atts.engines.servers.vllm import VllmEngine
from atts.errors import EngineError, InputError
from atts.types import Message, Sampling

HASTY = EngineOptions(patience=0.0)


@pytest.mark.parametrize(
    ("text", "url", "query", "model"),
    [
        ("http://h:1", "http://h:1", "", ""),
        ("http://h:1/", "http://h:1", "", ""),
        (" https://h//api///v3/ ", "https://h/api/v3", "", ""),
        ("http://h/v1/#org/model", "http://h/v1", "", "org/model"),
        ("http://h/v1#a?b", "http://h/v1", "", "a?b"),
        ("https://h/openai?api-version=2026-01#m", "https://h/openai", "api-version=2026-01", "m"),
    ],
)
def test_an_address_is_taken_apart(text: str, url: str, query: str, model: str) -> None:
    address = parse_address("openai", text)
    assert (address.url, address.query, address.model) == (url, query, model)


@pytest.mark.parametrize("query", ["key=S3CRET", "a=1&api_key=S3CRET", "token=S3CRET", "sig=S3CRET", "API-KEY=S3CRET"])
def test_a_key_in_an_address_is_refused_and_not_repeated(query: str) -> None:
    with pytest.raises(InputError, match="no key") as refused:
        parse_address("openai", f"https://h/v1?{query}")
    assert "S3CRET" not in str(refused.value)


def test_the_native_interfaces_are_at_the_root() -> None:
    for kind in (VllmEngine, SglangEngine):
        for written in ("http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1//v1/"):
            assert kind(written, HASTY).url == "http://h:1"
        assert kind("http://h:1/proxy/v1", HASTY).url == "http://h:1/proxy"


class Endpoint:
    """OpenAI's interface below some path; every other path is 404. `listed` is what its list of models answers."""

    def __init__(self, place: str, listed: Any = None, status: int = 200) -> None:
        self.place, self.listed, self.status = place, listed, status
        self.asked: list[str] = []
        self.models: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if request.path == f"{self.place}/models":
            return web.json_response(self.listed, status=self.status)
        if request.path != f"{self.place}/chat/completions":
            return web.Response(status=404)
        self.models.append((await request.json())["model"])
        choice = {"message": {"content": "ok"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice]})


async def answer(endpoint: Endpoint, address: str) -> str:
    """What an engine at the address, below the endpoint's host, writes."""
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", endpoint.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    engine = OpenAIEngine(f"http://127.0.0.1:{runner.addresses[0][1]}{address}", HASTY)
    try:
        prompt = await engine.render([Message("user", "hi")])
        return (await engine.generate(prompt, max_tokens=3, sampling=Sampling(0))).text
    finally:
        await engine.close()
        await runner.cleanup()


LISTED = {"data": [{"id": "m"}]}


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("/v1", ""),
        ("/v1", "/"),
        ("/v1", "/v1"),
        ("/v1", "//v1/"),
        ("", ""),  # some have no version at all
        ("/api/v3", "/api/v3"),
        ("/api/v3", "/api/v3/"),
        ("/v1beta/openai", "/v1beta/openai"),
        ("/openai", "/openai?api-version=2026-01"),
        ("/proxy/v1", "/proxy"),
        ("/proxy/v1", "/proxy/v1"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
async def test_the_interface_is_found_where_the_address_says(place: str, address: str, named: bool) -> None:
    endpoint = Endpoint(place, LISTED)
    assert await answer(endpoint, address + "#m" * named) == "ok"
    assert endpoint.models == ["m"]
    assert endpoint.asked[-1].startswith(f"{place}/chat/completions")
    if address.rpartition("/")[2].startswith("v"):
        assert not any(path.startswith(f"{address.rstrip('/')}/v1/") for path in endpoint.asked)
    if "?" in address:
        assert all(path.endswith("?api-version=2026-01") for path in endpoint.asked)


@pytest.mark.parametrize(
    ("listed", "status"),
    [
        (None, 404),
        ({"detail": "Not Found"}, 404),
        ({"error": "forbidden"}, 403),
        (None, 405),
        ([], 200),
        ({}, 200),
        ({"data": []}, 200),
        ({"data": None}, 200),
        (None, 200),
        (["m", "n"], 200),
        ([{"id": "m"}], 200),
        ([{"name": "other"}], 200),
        ({"models": [{"name": "m"}]}, 200),
        ({"data": [{"id": "m"}, {"id": None}, 3]}, 200),
    ],
)
@pytest.mark.parametrize("place", ["/v1", "/api/v3"])
async def test_a_model_that_is_named_is_used_whatever_the_list_says(place: str, listed: Any, status: int) -> None:
    endpoint = Endpoint(place, listed, status)
    assert await answer(endpoint, f"{place}#m") == "ok"
    assert endpoint.models == ["m"]


@pytest.mark.parametrize(("listed", "status"), [(None, 404), ([], 200), ({"data": []}, 200), ({"error": "no"}, 403)])
async def test_without_a_name_or_a_list_the_name_is_asked_for(listed: Any, status: int) -> None:
    with pytest.raises(EngineError, match=r"names no model .*name the model: openai:http.*#model"):
        await answer(Endpoint("/v1", listed, status), "")


async def test_a_list_that_lacks_the_model_says_what_there_is() -> None:
    with pytest.raises(EngineError, match=r"serves no 'third' \(it serves m\)"):
        await answer(Endpoint("/v1", LISTED), "#third")
