"""SGLang's native interface on any engine, with its exact rules for log-probabilities.

- The first entry of `input_token_logprobs` is always null and stands at `logprob_start_len`; −1 asks for the output's
  log-probabilities only.
- The prefix cache is used up to `logprob_start_len` at most.
- `output_ids` hold the end-of-text token; the text does not.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from atts.engines.base import Engine
from atts.errors import EngineError
from atts.testing.faults import Faults
from atts.testing.server import BadRequest, ModelServer, read_object
from atts.types import Finish, Generation, Sampling, Usage

END_ID = 0  # stands for the end of text, which engines do not number
_FINISH = {Finish.LENGTH: "length", Finish.STOP: "stop", Finish.END: "stop"}


_OLD_PARAMETERS = """
max_new_tokens stop stop_token_ids temperature top_p top_k min_p frequency_penalty presence_penalty repetition_penalty
min_new_tokens n json_schema regex ebnf structural_tag ignore_eos skip_special_tokens spaces_between_special_tokens
no_stop_trim custom_params
"""


class SglangServer(ModelServer):
    """Speaks SGLang's native interface. `old` is version 0.4.3.post4: it lacks the names and paths of later ones.

    Sampling parameters that it does not know end in status 500 there, `sampling_seed` among them.

    `tokenizer` is what `model_info` says of the tokenizer; by default what the engine says of its model.
    """

    version = "0.5.23"

    def __init__(
        self, engine: Engine, faults: Faults | None = None, *, old: bool = False, tokenizer: str | None = None
    ) -> None:
        super().__init__(engine, faults)
        self._old = old
        if old:
            self.version = "0.4.3.post4"
        self._tokenizer = tokenizer

    def routes(self) -> list[web.RouteDef]:
        """The native paths, and the list of models."""
        names = ("/get_model_info", "/get_server_info") if self._old else ("/model_info", "/server_info")
        aborting = [] if self._old else [web.post("/abort_request", self._abort)]
        return [
            web.get(names[0], self._model_info),
            web.get(names[1], self._server_info),
            web.get("/v1/models", self._models),
            web.get("/health_generate", self._health),
            web.post("/generate", self._generate),
            web.post("/flush_cache", self._flush),
            *aborting,
        ]

    def abort_answer(self) -> dict[str, Any]:
        """An answer that says so."""
        meta = {
            "finish_reason": {"type": "abort", "message": "aborted on request"},
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "output_token_logprobs": [],
        }
        return {"text": "", "output_ids": [], "meta_info": meta}

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        if (await read_object(request)).get("stream"):
            return await self._stream(request)
        return await self.answered(request, self._compute)

    async def _compute(self, body: dict[str, Any]) -> dict[str, Any]:
        parameters = body.get("sampling_params") or {}
        if self._old and (unknown := sorted(parameters.keys() - set(_OLD_PARAMETERS.split()))):
            raise EngineError(f"SamplingParams.__init__() got an unexpected keyword argument {unknown[0]!r}")
        prompt = await self._prompt(body)
        wanted = int(parameters.get("max_new_tokens", 128))
        if wanted == 0:
            written = Generation((), "", Finish.LENGTH, Usage(prompt=len(prompt)))
        else:
            written = await self._write(prompt, wanted, parameters)
        meta = await self._meta(body, prompt, written)
        ended = [END_ID] if written.finish is Finish.END else []
        text = written.text
        matched = meta["finish_reason"].get("matched")
        if isinstance(matched, str) and not parameters.get("no_stop_trim"):
            text = text[: text.find(matched)]
        return {"text": text, "output_ids": [*written.ids, *ended], "meta_info": meta}

    async def _prompt(self, body: dict[str, Any]) -> list[int]:
        ids = body.get("input_ids")
        if ids is None:
            ids = await self.engine.tokenize(str(body.get("text", "")))
        if not isinstance(ids, list) or not ids or not all(isinstance(token, int) for token in ids):
            raise BadRequest("input_ids must be a list of token ids (this server answers one prompt a request)")
        return ids

    async def _write(self, prompt: list[int], wanted: int, parameters: dict[str, Any]) -> Generation:
        length = (await self.engine.info()).context_length
        if length is not None and len(prompt) + wanted > length:
            raise BadRequest(
                f"Requested token count exceeds the model's maximum context length of {length} tokens. You requested"
                f" a total of {len(prompt) + wanted} tokens"
            )
        stop = parameters.get("stop") or []
        return await self.engine.generate(
            prompt,
            max_tokens=wanted,
            sampling=Sampling(
                float(parameters.get("temperature", 1.0)),
                float(parameters.get("top_p", 1.0)),
                max(0, int(parameters.get("top_k", 0))),
            ),
            stop=[stop] if isinstance(stop, str) else stop,
            seed=parameters.get("sampling_seed"),
        )

    async def _meta(self, body: dict[str, Any], prompt: list[int], written: Generation) -> dict[str, Any]:
        stop = (body.get("sampling_params") or {}).get("stop") or []
        meta: dict[str, Any] = {
            "id": body.get("rid") or "",
            "finish_reason": _finish_reason(written, [stop] if isinstance(stop, str) else stop),
            "prompt_tokens": len(prompt),
            "completion_tokens": len(written.ids) + (written.finish is Finish.END),
            "cached_tokens": written.usage.cached,
        }
        if body.get("return_logprob"):
            start = int(body.get("logprob_start_len", -1))
            meta["input_token_logprobs"], cached = await self._input_values(prompt, start)
            meta["cached_tokens"] = max(meta["cached_tokens"], cached)
            meta["output_token_logprobs"] = _output_values(written)
            if (top := int(body.get("top_logprobs_num", 0))) > 0 and written.ids:
                pairs = await self.engine.next_token(prompt, top=top)
                meta["output_top_logprobs"] = [[[value, token, None] for token, value in pairs]]
        return meta

    async def _input_values(self, prompt: list[int], start: int) -> tuple[list[list[Any]], int]:
        if start < 0:
            return [], 0
        if start >= len(prompt):
            raise BadRequest(f"logprob_start_len ({start}) is not below the length of the prompt ({len(prompt)})")
        entries: list[list[Any]] = [[None, prompt[start], None]]
        behind = prompt[start + 1 :]
        if not behind:
            return entries, 0
        scoring = await self.engine.score(prompt[: start + 1], behind)
        pairs = zip(scoring.log_probabilities, behind, strict=True)
        return entries + [[value, token, None] for value, token in pairs], min(start, scoring.usage.cached)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Cumulative events; the text comes in a few steps, since the engine behind gives it at once."""
        answer = await self._compute(await read_object(request))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        text = answer["text"]
        for part in range(1, 4):
            event = answer | {"text": text[: len(text) * part // 3]}
            if part < 3:
                event["meta_info"] = event["meta_info"] | {"finish_reason": None}
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            await asyncio.sleep(0)
            if part == 1 and self.faults.draw() == "truncated" and request.transport is not None:
                request.transport.abort()
                return response
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _abort(self, request: web.Request) -> web.Response:
        self.abort(str((await read_object(request)).get("rid", "")))
        return web.json_response({})

    async def _flush(self, request: web.Request) -> web.Response:
        return web.Response(text="Cache flushed.\n")

    async def _model_info(self, request: web.Request) -> web.Response:
        info = await self.engine.info()
        tokenizer = self._tokenizer or tokenizer_of(self.engine, info.vocabulary)
        return web.json_response({"model_path": info.model, "tokenizer_path": tokenizer, "is_generation": True})

    async def _server_info(self, request: web.Request) -> web.Response:
        return web.json_response({"version": self.version, "context_length": (await self.engine.info()).context_length})

    async def _models(self, request: web.Request) -> web.Response:
        info = await self.engine.info()
        entry: dict[str, Any] = {"id": info.model, "object": "model"}
        if not self._old:
            entry["max_model_len"] = info.context_length
        return web.json_response({"object": "list", "data": [entry]})


def tokenizer_of(engine: Engine, vocabulary: str) -> str:
    """Where the tokenizer of an engine can be loaded from: `bytes`, or the folder of its model."""
    return "bytes" if vocabulary == "bytes" else str(getattr(engine, "path", ""))


def _finish_reason(written: Generation, stop: list[str]) -> dict[str, Any]:
    reason: dict[str, Any] = {"type": _FINISH[written.finish]}
    if written.finish is Finish.END:
        reason["matched"] = END_ID
    elif written.finish is Finish.STOP:
        reason["matched"] = next(string for string in stop if string in written.text)
    else:
        reason["length"] = len(written.ids)
    return reason


def _output_values(written: Generation) -> list[list[Any]]:
    values = written.log_probabilities or (0.0,) * len(written.ids)
    entries: list[list[Any]] = [[value, token, None] for value, token in zip(values, written.ids, strict=True)]
    return [*entries, [-0.1, END_ID, None]] if written.finish is Finish.END else entries
