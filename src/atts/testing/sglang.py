"""SGLang's native interface on any engine, with its exact rules for log-probabilities.

- The first entry of `input_token_logprobs` is always null and stands at `logprob_start_len`; −1 asks for the output's
  log-probabilities only.
- The prefix cache is used up to `logprob_start_len` at most, and empty after `/flush_cache`.
- What is wrong with a request that asks for a stream is said inside the stream.
- `output_ids` hold the end-of-text token; the text does not.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from atts.engines.base import Engine
from atts.errors import EngineError
from atts.testing.faults import Faults
from atts.testing.page_cache import PageCache
from atts.testing.server import BadRequest, ModelServer, drawing, number, read_object, strings
from atts.types import Finish, Generation, Usage

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
        self._cache = PageCache()

    def routes(self) -> list[web.RouteDef]:
        """The native paths, and the list of models."""
        names = ("/get_model_info", "/get_server_info") if self._old else ("/model_info", "/server_info")
        later = (
            []
            if self._old
            else [
                web.post("/tokenize", self._tokenize),
                web.post("/abort_request", self._abort),
                web.get("/flush_cache", self._flush),
            ]
        )
        return [
            web.get(names[0], self._model_info),
            web.get(names[1], self._server_info),
            web.get("/v1/models", self._models),
            web.get("/health_generate", self._health),
            web.post("/generate", self._generate),
            web.post("/flush_cache", self._flush),
            *later,
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
        return await self.answered(request, self._compute, _events)

    async def _compute(self, body: dict[str, Any]) -> dict[str, Any]:
        parameters = body.get("sampling_params") or {}
        if not isinstance(parameters, dict):
            raise BadRequest("sampling_params must be an object")
        if self._old and (unknown := sorted(parameters.keys() - set(_OLD_PARAMETERS.split()))):
            raise EngineError(f"SamplingParams.__init__() got an unexpected keyword argument {unknown[0]!r}")
        prompt = await self._prompt(body)
        wanted = number(parameters, "max_new_tokens", 128)
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
        await self.require_known(ids)
        return ids

    async def _write(self, prompt: list[int], wanted: int, parameters: dict[str, Any]) -> Generation:
        length = (await self.engine.info()).context_length
        if length is not None and len(prompt) + wanted > length:
            raise BadRequest(
                f"Requested token count exceeds the model's maximum context length of {length} tokens. You requested"
                f" a total of {len(prompt) + wanted} tokens"
            )
        seeded = parameters.get("sampling_seed") is not None
        return await self.engine.generate(
            prompt,
            max_tokens=wanted,
            sampling=drawing(parameters),
            stop=strings(parameters, "stop"),
            seed=number(parameters, "sampling_seed", 0) if seeded else None,
        )

    async def _meta(self, body: dict[str, Any], prompt: list[int], written: Generation) -> dict[str, Any]:
        start = number(body, "logprob_start_len", -1) if body.get("return_logprob") else -1
        # The last token is always computed, and so is everything whose log-probabilities are wanted.
        usable = min(len(prompt) - 1, start) if start >= 0 else len(prompt) - 1
        meta: dict[str, Any] = {
            "id": body.get("rid") or "",
            "finish_reason": _finish_reason(written, strings(body.get("sampling_params") or {}, "stop")),
            "prompt_tokens": len(prompt),
            "completion_tokens": len(written.ids) + (written.finish is Finish.END),
            "cached_tokens": min(usable, self._cache.length(prompt)),
        }
        self._cache.add([*prompt, *written.ids])
        if body.get("return_logprob"):
            meta["input_token_logprobs"] = await self._input_values(prompt, start)
            meta["output_token_logprobs"] = _output_values(written)
            if (top := number(body, "top_logprobs_num", 0)) > 0 and written.ids:
                pairs = await self.engine.next_token(prompt, top=top)
                meta["output_top_logprobs"] = [[[value, token, None] for token, value in pairs]]
        return meta

    async def _input_values(self, prompt: list[int], start: int) -> list[list[Any]]:
        if start < 0:
            return []
        if start >= len(prompt):
            raise BadRequest(f"logprob_start_len ({start}) is not below the length of the prompt ({len(prompt)})")
        entries: list[list[Any]] = [[None, prompt[start], None]]
        behind = prompt[start + 1 :]
        if not behind:
            return entries
        scoring = await self.engine.score(prompt[: start + 1], behind)
        pairs = zip(scoring.log_probabilities, behind, strict=True)
        return entries + [[value, token, None] for value, token in pairs]

    async def _tokenize(self, request: web.Request) -> web.Response:
        tokens = await self.with_front(await read_object(request))
        return web.json_response({"tokens": tokens, "count": len(tokens)})

    async def _abort(self, request: web.Request) -> web.Response:
        self.abort(str((await read_object(request)).get("rid", "")))
        return web.json_response({})

    async def _flush(self, request: web.Request) -> web.Response:
        if self.open and not self._old:
            return web.Response(text="Cache not flushed: requests are running.\n", status=400)
        self._cache.clear()
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


def _events(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Cumulative events; the text comes in a few steps, since the engine behind gives it at once."""
    text, meta = answer["text"], answer["meta_info"]
    parts = [text[: len(text) * part // 3] for part in (1, 2)]
    return [*(answer | {"text": part, "meta_info": meta | {"finish_reason": None}} for part in parts), answer]


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
