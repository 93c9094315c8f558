"""vLLM's completions, 0.10.2 to current: `vllm:http://host:port`.

The interface is described at https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from atts.engines.base import DRAWING, PROBED, Engine, EngineOptions
from atts.engines.local.tokenizer import TokenizerThread, after_front, without_template
from atts.engines.log_probabilities import finite, told
from atts.engines.servers.answer import Model, finish_of, models, part, table, usage_of, whole_numbers
from atts.engines.servers.limiter import Kind
from atts.engines.servers.refusal import NOT_SHOWN, HttpError
from atts.engines.servers.replicas import open_replicas
from atts.engines.servers.server import GENERATION, NEXT_TOKEN, SCORE, ServerEngine, with_ids
from atts.errors import AnswerError, EngineError, MissingScoreError, ScoreError
from atts.types import ChainKey, EngineInfo, Finish, Generation, Message, Sampling, Scoring, TokenIds, Usage

T = TypeVar("T")

# Texts that tokenizers cut differently: scripts, spaces, digits, code, and the special tokens of model families.
_PROBE = (
    "The quick brown fox's 12345.6789 jumps;\n\n\tover  the   lazy dog?! ",
    "Größe, naïve café — “quotes” … ≤ ∑∫√π 中文测试，日本語のテキスト 한국어 русский العربية हिन्दी 🙂👩‍🔬",
    "def f(x: int) -> str:\n    return f'{x:>8}'  # \\boxed{\\frac{1}{2}}\r\n",
    "<think>\n</think> <|im_start|> <|im_end|> <|endoftext|> <｜User｜> <｜Assistant｜> <s> </s> [INST] <|eot_id|>",
    "unbelievable internationalization antidisestablishmentarianism hydroxychloroquine electroencephalography",
)


class VllmEngine(ServerEngine):
    """A model on a vLLM server.

    A score asks for the log-probabilities of the whole prompt, because vLLM offers no other, and pays a full prefill:
    its prefix cache is not used for them. The server renders and tokenises.
    """

    scheme = "vllm"
    spare = 1  # a score draws one token, for which there has to be room after a chunk

    def __init__(self, url: str, options: EngineOptions | None = None) -> None:
        super().__init__(url, options)
        self.model = self.address.model
        self._model = ""
        self._interface = "v1/"  # where OpenAI's interface is, below the address

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """The chat by the server's template."""
        if self._tokenizer is not None:
            return await self._tokenizer.render(messages)
        continued = messages[-1].role == "assistant"
        body: dict[str, Any] = {
            "messages": [message._asdict() for message in messages],
            "add_generation_prompt": not continued,
            "continue_final_message": continued,
            "add_special_tokens": False,
        }
        if self.options.template:
            body["chat_template_kwargs"] = dict(self.options.template)
        try:
            return await self._ask_tokens(body)
        except HttpError as error:
            if self.options.template or "chat template" not in error.body.lower():
                raise
        text = without_template([message._asdict() for message in messages])
        plain = await self._ask_tokens({"prompt": text, "add_special_tokens": False})
        return after_front(await self._front(model=self._model) or (), plain)

    async def tokenize(self, text: str) -> list[int]:
        """The text on its own."""
        if self._tokenizer is not None or not text:
            return await super().tokenize(text)
        return await self._ask_tokens({"prompt": text, "add_special_tokens": False})

    async def detokenize(self, ids: TokenIds) -> str:
        """The text of the ids."""
        if self._tokenizer is not None:
            return await self._tokenizer.detokenize(ids)
        await self.info()
        answer = await self.http.post("detokenize", {"model": self._model, "tokens": list(ids)})
        return str(answer.get("prompt", ""))

    async def generate(
        self,
        prefix: TokenIds,
        *,
        max_tokens: int,
        sampling: Sampling,
        stop: Sequence[str] = (),
        seed: int | None = None,
        chain: ChainKey | None = None,
    ) -> Generation:
        """Write after the prefix; see `Engine.generate`."""
        # What a request leaves out, the server takes from the model's own generation_config.
        everything = {"top_k": sampling.top_k or -1} | {name: getattr(sampling, name) for name in DRAWING}
        body = (
            sampling_parameters(sampling, seed)
            | everything
            | {
                "max_tokens": await self._room(len(prefix), max_tokens),
                "stop": list(stop),
                "include_stop_str_in_output": True,
                "logprobs": 0,
                "return_token_ids": True,
            }
        )
        if self.options.end_tokens:
            body["stop_token_ids"] = list(self.options.end_tokens)
        return await self._complete(
            (prefix, ()), body, lambda choice, usage: self._generation(choice, usage, stop), GENERATION
        )

    async def score(self, prefix: TokenIds, continuation: TokenIds, *, chain: ChainKey | None = None) -> Scoring:
        """Log-probabilities of the continuation; see `Engine.score`."""
        if not continuation or not prefix:
            raise ScoreError("a score needs a continuation of at least one token, and a token before it")
        await self._room(len(prefix) + len(continuation) - 1, 1)
        # One token is drawn too, from the same prefill; without one the server refuses.
        body = {"max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        return await self._complete(
            (prefix, continuation),
            body,
            lambda choice, usage: self._scoring(choice, usage, len(prefix), continuation),
            SCORE,
        )

    async def next_token(self, prefix: TokenIds, *, top: int, chain: ChainKey | None = None) -> list[tuple[int, float]]:
        """The likeliest next tokens."""
        await self._room(len(prefix), 1)
        body = {"max_tokens": 1, "temperature": 0, "logprobs": top, "return_tokens_as_token_ids": True}

        def read(choice: dict[str, Any], usage: Usage) -> list[tuple[int, float]]:
            first = table(choice, "logprobs", "top_logprobs", 0, source=self.url, error=MissingScoreError)
            values = finite(list(first.values()), self.url)
            try:
                pairs = [(int(key.removeprefix("token_id:")), value) for key, value in zip(first, values, strict=True)]
            except ValueError as error:
                raise MissingScoreError(f"{self.url}: the next tokens have no ids", retryable=True) from error
            return sorted(pairs, key=lambda pair: -pair[1])[:top]

        return await self._complete((prefix, ()), body, read, NEXT_TOKEN)

    async def _complete(
        self,
        prompt: tuple[TokenIds, TokenIds],
        body: dict[str, Any],
        read: Callable[[dict[str, Any], Usage], T],
        kind: Kind,
    ) -> T:
        await self.info()
        plain = json.dumps({"model": self._model, **body}, separators=(",", ":")).encode()

        def read_choice(answer: dict[str, Any]) -> T:
            choice = table(answer, "choices", 0, source=self.url)
            return read(choice, usage_of(answer.get("usage"), prompt=length))

        length = sum(map(len, prompt))
        return await self.http.ask(
            f"{self._interface}completions", lambda: with_ids(plain, "prompt", *prompt), read_choice, kind
        )

    def _generation(self, choice: dict[str, Any], usage: Usage, stop: Sequence[str]) -> Generation:
        if choice.get("token_ids") is None:
            raise EngineError(f"{self.url}: returns no token ids (vLLM 0.10.2 or later is needed)")
        ids = whole_numbers(choice["token_ids"], self.url, "token_ids")
        text, tokens, values = (
            part(choice, *path, source=self.url)
            for path in (("text",), ("logprobs", "tokens"), ("logprobs", "token_logprobs"))
        )
        if not ids or not isinstance(text, str) or not (len(values) == len(tokens) == len(ids)):
            raise AnswerError(f"{self.url}: {len(ids)} tokens with {len(values)} log-probabilities", retryable=True)
        likely, last = told(values, self.url), str(tokens[-1])
        finish, matched = finish_of(part(choice, "finish_reason", source=self.url), self.url), choice.get("stop_reason")
        if finish is Finish.END and (isinstance(matched, str) or any(string in text for string in stop)):
            finish = Finish.STOP
        usage = replace(usage, completion=usage.completion or len(ids))
        visible = bool(last) and text.endswith(last)
        if finish is Finish.END and (matched == ids[-1] or not visible):
            ids, likely = ids[:-1], likely and likely[:-1]  # the end token; one that we have chosen may have a text
            text = text[: -len(last)] if visible else text
        elif not text and not finish.over:
            raise AnswerError(f"{self.url}: tokens without their text", retryable=True)
        elif finish is Finish.STOP:
            text += _after_stop(text, last)
        return Generation(ids, text, finish, usage, likely)

    def _scoring(self, choice: dict[str, Any], usage: Usage, start: int, continuation: TokenIds) -> Scoring:
        if (reason := choice.get("finish_reason")) is not None:
            finish_of(reason, self.url)
        entries = choice.get("prompt_logprobs")
        if not isinstance(entries, list) or len(entries) != start + len(continuation):
            raise MissingScoreError(f"{self.url}: prompt_logprobs of the answer are missing", retryable=True)
        try:
            pairs = zip(entries[start:], continuation, strict=True)
            values = [entry[str(token)]["logprob"] for entry, token in pairs]
        except (KeyError, TypeError) as error:
            raise MissingScoreError(
                f"{self.url}: log-probabilities are those of other tokens", retryable=True
            ) from error
        return Scoring(finite(values, self.url), usage)

    async def _ask_tokens(self, body: dict[str, Any]) -> list[int]:
        if not self._model:
            await self.info()
        answer = await self.http.post("tokenize", {"model": self._model, **body})
        tokens = answer.get("tokens")
        if not isinstance(tokens, list):
            raise EngineError(f"{self.url}: /tokenize returned no tokens")
        return list(whole_numbers(tokens, self.url, "tokens"))

    async def _ask_info(self) -> EngineInfo:
        served = await self._served()
        version = (await self._optional("version")).get("version")
        if version is None and (await self._optional("get_model_info") or await self._optional("model_info")):
            raise EngineError(f"{self.url}: this is an SGLang server: write it as sglang:{self.url}")
        return EngineInfo(
            engine="vllm",
            model=self._model.rstrip("/").rpartition("/")[2],
            vocabulary=await self._vocabulary(),
            context_length=served.length,
            details={"url": self.url, "version": str(version or "unknown")},
            front=await self._front(model=self._model),
        )

    async def _served(self) -> Model:
        """What the server says of the model that is meant: the one after `#` in the address, or else its first."""
        found = await self._listed()
        served = models(found)
        if not (self.model or served):
            raise EngineError(
                f"{self.url}: names no model (at {self._interface}models); if it has that interface,"
                f" name the model: {self.scheme}:{self.url}#model"
            )
        wanted = self.model or served[0].name
        entry = next((entry for entry in served if entry.name == wanted), None)
        if entry is None and served and isinstance(found, dict):
            names = ", ".join(entry.name for entry in served[:5])
            raise EngineError(f"{self.url}: serves no {wanted!r} (it serves {names})")
        self._model = wanted
        return entry or Model(wanted)

    async def _listed(self) -> Any:
        """What the server answers where its models should be; nothing if it shows them to nobody."""
        try:
            return await self.http.get(f"{self._interface}models")
        except HttpError as error:
            if error.status in NOT_SHOWN:
                return {}
            raise

    async def _vocabulary(self) -> str:
        """A fingerprint: of the whole vocabulary by a local tokenizer, otherwise of how telling texts are cut."""
        if self._tokenizer is not None:
            return await self._tokenizer.vocabulary()
        cut = [await self._ask_tokens({"prompt": text, "add_special_tokens": False}) for text in _PROBE]
        return PROBED + hashlib.sha256(json.dumps(cut).encode()).hexdigest()[:16]

    async def _local_tokenizer(self) -> TokenizerThread:
        assert self._tokenizer is not None
        return self._tokenizer


def sampling_parameters(sampling: Sampling, seed: int | None) -> dict[str, Any]:
    """How to draw, as OpenAI's interface calls it; `top_k` is vLLM's addition."""
    parameters: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    if sampling.top_k:
        parameters["top_k"] = sampling.top_k
    if seed is not None:
        parameters["seed"] = seed
    return parameters


def _after_stop(text: str, last: str) -> str:
    """What the last token says after the stop string; the server leaves it out of the text, not out of the ids."""
    for cut in range(len(last)):
        if text.endswith(last[: len(last) - cut]):
            return last[len(last) - cut :]
    return ""


def open_vllm(address: str, options: EngineOptions) -> Engine:
    """`vllm:URL`, or several replicas of one model: `vllm:URL,URL`."""
    return open_replicas(address, options, VllmEngine)
