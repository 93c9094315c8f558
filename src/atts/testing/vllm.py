"""vLLM's interface on any engine: completions with token ids, prompt log-probabilities, tokenizer, chat."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from atts.engines.base import Engine
from atts.testing.faults import Faults
from atts.testing.server import BadRequest, ModelServer, drawing, number, read_object, strings
from atts.types import Finish, Generation, Message

END_ID = 0  # stands for the end of text, which engines do not number


class VllmServer(ModelServer):
    """Speaks vLLM's dialect of the OpenAI interface."""

    def __init__(self, engine: Engine, faults: Faults | None = None) -> None:
        super().__init__(engine, faults)
        self._texts: dict[int, str] = {}

    def routes(self) -> list[web.RouteDef]:
        """Completions, chat, tokenizer, and what the server says of itself."""
        return [
            web.get("/version", self._version),
            web.get("/v1/models", self._models),
            web.post("/v1/completions", self._completions),
            web.post("/v1/chat/completions", self._chat),
            web.post("/tokenize", self._tokenize),
            web.post("/detokenize", self._detokenize),
        ]

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self.answered(request, self._complete)

    async def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = await self._prompt(body)
        wanted = number(body, "max_tokens", 16)
        if wanted < 1 and not (body.get("echo") and wanted == 0):
            raise BadRequest("max_tokens must be at least 1")
        written = await self._write(prompt, max(1, wanted), body)
        choice: dict[str, Any] = {"index": 0, **_ending(written, body), "prompt_logprobs": None, "logprobs": None}
        cached = written.usage.cached
        if body.get("prompt_logprobs") is not None:
            choice["prompt_logprobs"] = await self._prompt_values(prompt)
            cached = 0  # the prefix cache is not read for these
        if body.get("logprobs") is not None:
            choice["logprobs"] = await self._values(prompt, written, body)
            if body.get("echo"):
                known = await self._prompt_values(prompt)
                before = [None if entry is None else next(iter(entry.values()))["logprob"] for entry in known]
                choice["logprobs"]["token_logprobs"] = before + choice["logprobs"]["token_logprobs"][:wanted]
        if body.get("return_token_ids"):
            ended = [END_ID] if written.finish is Finish.END else []
            choice |= {"token_ids": [*written.ids, *ended], "prompt_token_ids": prompt}
        return {
            "object": "text_completion",
            "model": body.get("model", ""),
            "choices": [choice],
            "usage": _usage(prompt, written, cached),
        }

    async def _prompt(self, body: dict[str, Any]) -> list[int]:
        prompt = body.get("prompt")
        if isinstance(prompt, str):
            prompt = await self.engine.tokenize(prompt)
        if not isinstance(prompt, list) or not prompt or not all(isinstance(token, int) for token in prompt):
            raise BadRequest("prompt must be a text or a list of token ids (this server answers one a request)")
        await self.require_known(prompt)
        return prompt

    async def _write(self, prompt: list[int], wanted: int, body: dict[str, Any]) -> Generation:
        length = (await self.engine.info()).context_length
        if length is not None and len(prompt) + wanted > length:
            raise BadRequest(f"This model's maximum context length is {length} tokens, not {len(prompt) + wanted}")
        return await self.engine.generate(
            prompt,
            max_tokens=wanted,
            sampling=drawing(body),
            stop=strings(body, "stop"),
            seed=None if body.get("seed") is None else number(body, "seed", 0),
        )

    async def _prompt_values(self, prompt: list[int]) -> list[dict[str, Any] | None]:
        if len(prompt) < 2:
            return [None] * len(prompt)
        scoring = await self.engine.score(prompt[:1], prompt[1:])
        pairs = zip(prompt[1:], scoring.log_probabilities, strict=True)
        return [None, *({str(token): {"logprob": value, "rank": 1, "decoded_token": ""}} for token, value in pairs)]

    async def _values(self, prompt: list[int], written: Generation, body: dict[str, Any]) -> dict[str, Any]:
        ids = [*written.ids, *([END_ID] if written.finish is Finish.END else [])]
        known = written.log_probabilities or (0.0,) * len(written.ids)
        values = [*known, *([-0.1] if written.finish is Finish.END else [])]
        numbered = body.get("return_tokens_as_token_ids")
        tokens = [f"token_id:{token}" if numbered else await self._text_of(token) for token in ids]
        if top := number(body, "logprobs", 0):
            pairs = await self.engine.next_token(prompt, top=top)
            first = {f"token_id:{token}" if numbered else str(token): value for token, value in pairs}
            return {"tokens": tokens, "token_logprobs": values, "top_logprobs": [first]}
        return {"tokens": tokens, "token_logprobs": values, "top_logprobs": None}

    async def _text_of(self, token: int) -> str:
        if token not in self._texts:
            self._texts[token] = await self.engine.detokenize([token])
        return self._texts[token]

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self.answered(request, self._converse)

    async def _converse(self, body: dict[str, Any]) -> dict[str, Any]:
        messages = _messages(body)
        prompt = await self._rendered(messages, bool(body.get("continue_final_message")))
        written = await self._write(prompt, number(body, "max_tokens", 256), body)
        ending = _ending(written, body)
        message = {"role": "assistant", "content": ending.pop("text")}
        choice = {"index": 0, "message": message, **ending}
        return {"object": "chat.completion", "choices": [choice], "usage": _usage(prompt, written, 0)}

    async def _rendered(self, messages: list[Message], continued: bool) -> list[int]:
        if messages[-1].role != "assistant" or continued:
            return await self.engine.render(messages)
        # Without continue_final_message an assistant's last message is closed, and a new turn is opened.
        return await self.engine.render([*messages, Message("user", "")])

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        if "messages" in body:
            tokens = await self._rendered(_messages(body), bool(body.get("continue_final_message")))
        else:
            tokens = await self.with_front(body)
        length = (await self.engine.info()).context_length
        return web.json_response({"count": len(tokens), "max_model_len": length, "tokens": tokens})

    async def _detokenize(self, request: web.Request) -> web.Response:
        tokens = await self._prompt({"prompt": (await read_object(request)).get("tokens")})
        return web.json_response({"prompt": await self.engine.detokenize(tokens)})

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.32.0"})

    async def _models(self, request: web.Request) -> web.Response:
        info = await self.engine.info()
        entry = {"id": info.model, "object": "model", "max_model_len": info.context_length}
        return web.json_response({"object": "list", "data": [entry]})


def _messages(body: dict[str, Any]) -> list[Message]:
    try:
        messages = [Message(message["role"], str(message["content"])) for message in body["messages"]]
    except (KeyError, TypeError) as error:
        raise BadRequest("messages must be a list of objects with role and content") from error
    if not messages:
        raise BadRequest("messages are missing")
    return messages


def _ending(written: Generation, body: dict[str, Any]) -> dict[str, Any]:
    """Text and reason. The server cuts the text at the stop string, even inside its last token."""
    text, matched = written.text, None
    if written.finish is Finish.STOP:
        matched = next(string for string in strings(body, "stop") if string in text)
        end = text.find(matched) + (len(matched) if body.get("include_stop_str_in_output") else 0)
        text = text[:end]
    reason = "length" if written.finish is Finish.LENGTH else "stop"
    return {"text": text, "finish_reason": reason, "stop_reason": matched}


def _usage(prompt: list[int], written: Generation, cached: int) -> dict[str, Any]:
    completion = len(written.ids) + (written.finish is Finish.END)
    return {
        "prompt_tokens": len(prompt),
        "completion_tokens": completion,
        "total_tokens": len(prompt) + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
