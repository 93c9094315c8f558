"""What the test servers have in common: an engine behind, requests that can be aborted, faults in between."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import web

from atts.engines.base import DRAWING, Engine
from atts.errors import EngineError, InputError
from atts.registry import unknown
from atts.testing.faults import Faults
from atts.types import Sampling

DIALECTS = {
    "sglang": ("atts.testing.sglang:SglangServer", "SGLang's native interface"),
    "vllm": ("atts.testing.vllm:VllmServer", "vLLM's completions, chat and tokenizer"),
}
"""Every protocol that a test server speaks."""

_LARGEST_REQUEST = 256 << 20  # bytes
Number = TypeVar("Number", int, float)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequest(Exception):  # noqa: N818  (the name of the status)
    """The request cannot be answered: status 400 with this text."""


class ModelServer:
    """An engine behind HTTP. `requests` counts what was asked, `open` what is being answered.

    A dialect adds its routes in `routes`. Model requests go through `answered`, where faults are injected.
    """

    def __init__(self, engine: Engine, faults: Faults | None = None) -> None:
        self.engine = engine
        self.faults = faults or Faults()
        self.requests = 0
        self.open = 0
        self.aborted = 0
        self.url = ""
        self._by_name: dict[str, asyncio.Task[Any]] = {}

    def routes(self) -> list[web.RouteDef]:
        """The paths that the dialect knows."""
        raise NotImplementedError

    def application(self) -> web.Application:
        """The server as an aiohttp application."""
        application = web.Application(client_max_size=_LARGEST_REQUEST, middlewares=[_plain_errors])
        application.add_routes([web.get("/health", self._health), *self.routes()])
        return application

    async def answered(
        self,
        request: web.Request,
        compute: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
        events: Callable[[dict[str, Any]], list[dict[str, Any]]] | None = None,
    ) -> web.StreamResponse:
        """Compute the answer to a model request, spoil it if its turn has come, and send it.

        `events` cuts an answer into pieces, for a request that asks for a stream.
        """
        body = await read_object(request)
        self.requests += 1
        self.open += 1
        try:
            if not self.faults.started:
                return web.json_response({"error": "loading"}, status=503, headers={"Retry-After": "0.1"})
            fault = self.faults.draw()
            # What never arrives need not be computed.
            lost = fault in ("reset", "error", "busy", "hang")
            if events is not None and body.get("stream"):
                pieces = [] if lost else await self._pieces(body, compute, events)
                return await self.faults.stream(request, fault, pieces)
            answer = {} if lost else await self._named(body, compute(body))
            return await self.faults.answer(request, fault, answer)
        finally:
            self.open -= 1

    async def _pieces(
        self,
        body: dict[str, Any],
        compute: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
        events: Callable[[dict[str, Any]], list[dict[str, Any]]],
    ) -> list[dict[str, Any]]:
        """The events of a stream; what is wrong with the request arrives inside it."""
        try:
            return events(await self._named(body, compute(body)))
        except BadRequest as error:
            return [{"error": {"message": str(error)}}]

    async def require_known(self, ids: list[int]) -> None:
        """Refuse ids that are not in the model's vocabulary, where the engine says how many are."""
        size = (await self.engine.info()).details.get("vocabulary_size")
        for token in (min(ids), max(ids)):
            if token < 0 or (size is not None and token >= size):
                raise BadRequest(f"token id {token} is not in the vocabulary, which has {size}")

    async def with_front(self, body: dict[str, Any]) -> list[int]:
        """The prompt of the request as token ids, after the special tokens of its tokenizer unless it wants none."""
        tokens = await self.engine.tokenize(str(body.get("prompt", "")))
        front = (await self.engine.info()).front or ()
        return [*front, *tokens] if body.get("add_special_tokens", True) else list(tokens)

    def abort(self, name: str) -> None:
        """End the request of that name, if it is open."""
        if (task := self._by_name.get(name)) is not None:
            task.cancel()

    async def _named(self, body: dict[str, Any], work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        task = asyncio.ensure_future(work)
        name = str(body.get("rid") or id(task))
        if name in self._by_name:
            task.cancel()
            raise BadRequest(f"Duplicate request ID detected: {name}")
        self._by_name[name] = task
        try:
            return await task
        except asyncio.CancelledError:
            self.aborted += 1
            task.cancel()
            if (current := asyncio.current_task()) is not None and current.cancelling():
                raise  # the client is gone
            return self.abort_answer()
        finally:
            self._by_name.pop(name, None)

    def abort_answer(self) -> dict[str, Any]:
        """What a request that was aborted is answered with."""
        return {"error": "aborted"}

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self.faults.started else 503)


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request."""
    try:
        body = await request.json()
    except ValueError as error:
        raise BadRequest("the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadRequest("the body is not an object")
    return body


def number(body: dict[str, Any], name: str, default: Number) -> Number:
    """A number of the request, of the default's type."""
    value = body.get(name)
    if value is None:
        return default
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not (whole or (isinstance(value, float) and isinstance(default, float))):
        raise BadRequest(f"{name} must be {'an integer' if isinstance(default, int) else 'a number'}, not {value!r}")
    return type(default)(value)


def drawing(body: dict[str, Any]) -> Sampling:
    """How the request wants its tokens drawn."""
    usual = Sampling(temperature=1.0)
    names = ("temperature", "top_p", *DRAWING)
    wanted = {name: number(body, name, float(getattr(usual, name))) for name in names}
    return Sampling(top_k=max(0, number(body, "top_k", 0)), **wanted)


def strings(body: dict[str, Any], name: str) -> list[str]:
    """One or more strings of the request."""
    value = body.get(name) or []
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) and item for item in listed):
        raise BadRequest(f"{name} must be a string or a list of strings, not {value!r}")
    return listed


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadRequest as error:
        return web.json_response({"error": {"message": str(error), "type": "BadRequestError"}}, status=400)
    except EngineError as error:
        return web.json_response({"error": {"message": str(error), "type": "InternalServerError"}}, status=500)


def make(dialect: str, engine: Engine, faults: Faults | None = None) -> ModelServer:
    """The server of that dialect on that engine; raises `InputError` for an unknown one."""
    if dialect not in DIALECTS:
        raise unknown("dialect", dialect, DIALECTS)
    module, _, name = DIALECTS[dialect][0].partition(":")
    server: ModelServer = getattr(importlib.import_module(module), name)(engine, faults)
    return server


@asynccontextmanager
async def serve(
    dialect: str,
    engine: Engine,
    *,
    faults: Faults | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    make_server: Callable[[Engine, Faults | None], ModelServer] | None = None,
) -> AsyncIterator[ModelServer]:
    """A test server for the length of the block; `.url` says where. The engine stays the caller's to close.

    `make_server` makes a server with settings of its own. Raises `InputError` if the port is in use.
    """
    server = make_server(engine, faults) if make_server else make(dialect, engine, faults)
    # Handlers are cancelled when their client is gone, as the real servers abort such requests.
    runner = web.AppRunner(server.application(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=2048, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            raise InputError(f"port {port}: {error.strerror or error}") from error
        server.url = f"http://{host}:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
