"""How a server misbehaves: which requests, and in what way."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

from aiohttp import web

from atts.seeds import derive, uniform

FAULTS = {
    "reset": "the connection is cut without an answer",
    "error": "status 500",
    "busy": "status 503 with Retry-After",
    "hang": "no answer for `hang` seconds",
    "truncated": "half of the JSON, then the connection is cut",
    "missing": "answer without log-probabilities",
    "nan": "one log-probability is NaN",
    "sentinel": "one log-probability is -9999, which stands for minus infinity",
    "empty": "an answer without text and tokens",
    "abort": "status 200, and half of the text ended by reason `abort`",
}
"""Every fault by name. `slow start` is not among them: it is a server's `start_after`."""


class Faults:
    """Spoils a share of the requests, each in one of the ways, by a seed. `done` counts what was done.

    `hang` is how long a request hangs, `start_after` how long the server says 503 at first; both in seconds.
    """

    def __init__(
        self,
        rate: float = 0.0,
        kinds: Sequence[str] = tuple(FAULTS),
        *,
        seed: int = 0,
        hang: float = 3600.0,
        start_after: float = 0.0,
    ) -> None:
        self.rate, self.kinds, self.seed, self.hang = rate, tuple(kinds), seed, hang
        self.done: Counter[str] = Counter()
        self._count = 0
        self._starts = time.monotonic() + start_after

    @property
    def started(self) -> bool:
        """Whether the slow start is over."""
        return time.monotonic() >= self._starts

    def draw(self) -> str:
        """The fault of the next request; empty for none."""
        self._count += 1
        if uniform(self.seed, "whether", self._count) >= self.rate:
            return ""
        return self.kinds[derive(self.seed, "which", self._count) % len(self.kinds)]

    async def answer(self, request: web.Request, fault: str, body: dict[str, Any]) -> web.StreamResponse:
        """The answer as this fault makes it."""
        if (refusal := await self._refusal(request, fault)) is not None:
            return refusal
        if fault == "truncated":
            await _half(request, json.dumps(body).encode())
        return web.json_response(spoiled(body, fault))

    async def stream(self, request: web.Request, fault: str, events: Sequence[dict[str, Any]]) -> web.StreamResponse:
        """The answer as server-sent events, as this fault makes them."""
        if (refusal := await self._refusal(request, fault)) is not None:
            return refusal
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        half = fault == "truncated"
        for event in events[: len(events) // 2] if half else events:
            await response.write(b"data: " + json.dumps(event if half else spoiled(event, fault)).encode() + b"\n\n")
        if half:
            _cut(request)
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _refusal(self, request: web.Request, fault: str) -> web.StreamResponse | None:
        """What is said instead of an answer, if this fault leaves none."""
        self.done[fault or "none"] += 1
        match fault:
            case "reset":
                _cut(request)
            case "error":
                return web.json_response({"error": {"message": "injected"}}, status=500)
            case "busy":
                return web.json_response({"error": "busy"}, status=503, headers={"Retry-After": "0.05"})
            case "hang":
                await asyncio.sleep(self.hang)
        return None


def spoiled(value: Any, fault: str) -> Any:
    """The answer with its log-probabilities or its text spoilt, wherever they stand."""
    if isinstance(value, list):
        return [spoiled(item, fault) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _spoiled_entry(item, fault) if key in _SPOILT[fault] else spoiled(item, fault)
        for key, item in value.items()
        if not (fault == "missing" and key in _SPOILT[fault])
    }


_LOG_PROBABILITIES = frozenset({"input_token_logprobs", "output_token_logprobs", "prompt_logprobs", "logprobs"})
_SPOILT: dict[str, frozenset[str]] = {
    "": frozenset(),
    "hang": frozenset(),
    "reset": frozenset(),
    "missing": _LOG_PROBABILITIES,
    "nan": _LOG_PROBABILITIES,
    "sentinel": _LOG_PROBABILITIES,
    "abort": frozenset({"finish_reason", "stop_reason", "text", "content"}),
    "empty": _LOG_PROBABILITIES | {"text", "output_ids", "token_ids", "tokens"},
}


_VALUES = {"nan": float("nan"), "sentinel": -9999.0}


def _spoiled_entry(item: Any, fault: str) -> Any:
    if fault == "empty":
        return "" if isinstance(item, str) else [] if isinstance(item, list) else None
    if fault == "abort":
        return _aborted(item)
    return _with_value(item, _VALUES[fault])


def _aborted(item: Any) -> Any:
    """A reason becomes `abort`, as a word or as an object, and half of a text is left."""
    if isinstance(item, dict):
        return {"type": "abort", "message": "injected"}
    if item in ("stop", "length"):
        return "abort"
    return item[: len(item) // 2] if isinstance(item, str) else None


def _with_value(item: Any, value: float) -> Any:
    """The last number among log-probabilities becomes this one."""
    if isinstance(item, dict):
        if "token_logprobs" in item:
            return item | {"token_logprobs": _with_value(item["token_logprobs"], value)}
        return {key: entry | {"logprob": value} for key, entry in item.items()}
    if isinstance(item, list) and item:
        last = item[-1]
        if isinstance(last, list):  # [log-probability, id, text]
            return [*item[:-1], [value, *last[1:]]]
        return [*item[:-1], _with_value(last, value) if isinstance(last, dict) else value]
    return item


def _cut(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise asyncio.CancelledError  # as where the client has closed it


async def _half(request: web.Request, content: bytes) -> NoReturn:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(content))})
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    _cut(request)
