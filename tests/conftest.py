"""What tests share: one that blocks the event loop fails; and a real server that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

# A slow machine is no failure. The same examples every time, so that what fails has been broken by the change at hand;
# ATTS_EXPLORE=1000 looks for new ones, so many a test.
EXPLORE = int(os.environ.get("ATTS_EXPLORE", 0))
settings.register_profile(
    "atts",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not EXPLORE,
    max_examples=EXPLORE or 100,
)
settings.load_profile("atts")

pytest_plugins = ["tests.recorded"]

Reply = web.StreamResponse
Script = Callable[[dict[str, Any], int], Awaitable[Reply] | Reply]


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    with blockbuster_ctx("atts") as blockbuster:
        yield blockbuster


class OpenAIServer:
    """Answers POST /v1/chat/completions by a script of (request body, number of the request) and keeps the requests."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.script: Script = lambda body, number: self.says("Verdict: correct")
        self.url = ""
        self.open = 0
        self.most_open = 0

    @staticmethod
    def says(content: str | None) -> Reply:
        message = {"role": "assistant", "content": content}
        return web.json_response({"object": "chat.completion", "choices": [{"index": 0, "message": message}]})

    async def handle(self, request: web.Request) -> Reply:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            self.bodies.append(await request.json())
            self.headers.append(dict(request.headers))
            reply = self.script(self.bodies[-1], len(self.bodies) - 1)
            return await reply if isinstance(reply, Awaitable) and not isinstance(reply, web.StreamResponse) else reply
        finally:
            self.open -= 1


@pytest.fixture
async def openai_server() -> AsyncIterator[OpenAIServer]:
    server = OpenAIServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}/v1"
    yield server
    await runner.cleanup()
    await asyncio.sleep(0)
