"""Any OpenAI-compatible endpoint: `openai:https://host/v1`, or `openai:https://host/v1#model`.

The interface is described at https://platform.openai.com/docs/api-reference.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from atts.engines.base import PENALTIES, TEMPLATE, Engine, EngineOptions
from atts.engines.local.tokenizer import TokenizerThread
from atts.engines.log_probabilities import finite
from atts.engines.servers.address import Address
from atts.engines.servers.answer import finish_of, part, table, usage_of
from atts.engines.servers.limiter import Kind
from atts.engines.servers.refusal import NOT_SHOWN, HttpError
from atts.engines.servers.replicas import open_replicas
from atts.engines.servers.server import SCORE, unusual
from atts.engines.servers.vllm import VllmEngine, sampling_parameters
from atts.errors import AnswerError, EngineError, MissingScoreError, ScoreError
from atts.types import ChainKey, EngineInfo, Finish, Generation, Message, Sampling, Scoring, TokenIds, Usage

_COMPLETION = Kind("generation", lambda answer: answer[-1].completion)  # of an answer that is no `Generation` yet
_CHAT_ENDS = b"\x00"  # between the messages and what the assistant has said so far
_ADVICE = "name its tokenizer with --draft-tokenizer or --target-tokenizer"


class OpenAIEngine(VllmEngine):
    """A model behind an interface that promises text and no more.

    Without a tokenizer, ids are the bytes of the text: the messages as JSON, then what the assistant has said. The
    chat interface is asked to continue an unfinished message; `atts check` finds servers that begin a new one. Such an
    engine can draft, not score. With a tokenizer, completions are asked with token ids, and scores with whichever of
    `prompt_logprobs` and `echo` turns out to return them.
    """

    scheme = "openai"
    knows = frozenset({*PENALTIES, TEMPLATE})

    def __init__(self, url: str, options: EngineOptions | None = None) -> None:
        super().__init__(url, options)
        self._interface = self.address.interfaces[0]
        self.http.health = f"{self._interface}models"
        self._score_body: dict[str, Any] | None = None

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """The chat as token ids, or as bytes."""
        if self._tokenizer is not None:
            return await self._tokenizer.render(messages)
        said = messages[-1].content if messages[-1].role == "assistant" else ""
        asked = messages[:-1] if messages[-1].role == "assistant" else messages
        return list(json.dumps([message._asdict() for message in asked]).encode() + _CHAT_ENDS + said.encode())

    async def tokenize(self, text: str) -> list[int]:
        """The text as token ids, or as bytes."""
        return list(text.encode()) if self._tokenizer is None else await self._tokenizer.tokenize(text)

    async def detokenize(self, ids: TokenIds) -> str:
        """The ids, or bytes, as text."""
        return bytes(ids).decode(errors="replace") if self._tokenizer is None else await super().detokenize(ids)

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
        body = sampling_parameters(sampling, seed) | unusual(sampling, PENALTIES)
        body |= {"max_tokens": max_tokens, "stop": list(stop)}
        if self._tokenizer is not None:
            body["max_tokens"] = await self._room(len(prefix), max_tokens)
            text, finish, usage = await self._complete(
                (prefix, ()), body, lambda choice, usage: (*_ended(choice, stop, self.url), usage), _COMPLETION
            )
        else:
            text, finish, usage = await self._converse(bytes(prefix), body, stop)
        ids = tuple(await self.tokenize(text))
        if self._tokenizer is not None and not usage.completion:
            usage = replace(usage, completion=len(ids))
        return Generation(ids, text, finish, usage)

    async def score(self, prefix: TokenIds, continuation: TokenIds, *, chain: ChainKey | None = None) -> Scoring:
        """Log-probabilities of the continuation; raises `EngineError` for endpoints that return none."""
        if self._tokenizer is None:
            raise EngineError(f"{self.url}: text alone cannot be scored; {_ADVICE}")
        if not continuation or not prefix:
            raise ScoreError("a score needs a continuation of at least one token, and a token before it")
        await self._room(len(prefix) + len(continuation) - 1, 1)
        if self._score_body is None:
            self._score_body = await self._find_score(prefix, continuation)
        start = len(prefix)
        return await self._complete(
            (prefix, continuation),
            self._score_body,
            lambda choice, usage: self._scoring(choice, usage, start, continuation),
            SCORE,
        )

    async def next_token(self, prefix: TokenIds, *, top: int, chain: ChainKey | None = None) -> list[tuple[int, float]]:
        """Not offered: answers name tokens by their text."""
        raise EngineError(f"{self.url}: an OpenAI-compatible endpoint does not number the next token")

    def _scoring(self, choice: dict[str, Any], usage: Usage, start: int, continuation: TokenIds) -> Scoring:
        if choice.get("prompt_logprobs") is not None:
            return super()._scoring(choice, usage, start, continuation)
        logprobs = choice.get("logprobs")
        values = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
        end = start + len(continuation)
        if not isinstance(values, list) or len(values) not in (end, end + 1):
            raise MissingScoreError(f"{self.url}: log-probabilities of the prompt are missing", retryable=True)
        return Scoring(finite(values[start:end], self.url), usage)

    async def _find_score(self, prefix: TokenIds, continuation: TokenIds) -> dict[str, Any]:
        """The request that returns log-probabilities of the prompt, found by looking at what comes back."""
        ways: tuple[dict[str, Any], ...] = (
            {"max_tokens": 1, "temperature": 0, "prompt_logprobs": 0},
            {"max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1},
            {"max_tokens": 0, "temperature": 0, "echo": True, "logprobs": 1},
        )
        for body in ways:
            try:
                await self._complete(
                    (prefix, continuation),
                    body,
                    lambda choice, usage: self._scoring(_once(choice), usage, len(prefix), continuation),
                    SCORE,
                )
            except EngineError as error:
                if isinstance(error, ScoreError) or getattr(error, "status", 0) in (400, 404, 422, 501):
                    continue
                raise
            return body
        raise EngineError(f"{self.url}: cannot be a target: it returns no log-probabilities of the prompt")

    async def _converse(self, prefix: bytes, body: dict[str, Any], stop: Sequence[str]) -> tuple[str, Finish, Usage]:
        await self.info()
        asked, _, said = prefix.partition(_CHAT_ENDS)
        messages = json.loads(asked)
        if said:
            messages.append({"role": "assistant", "content": said.decode(errors="ignore")})
            body = body | {"continue_final_message": True, "add_generation_prompt": False}

        def read(answer: dict[str, Any]) -> tuple[str, Finish, Usage]:
            choice = table(answer, "choices", 0, source=self.url)
            return *_ended(choice, stop, self.url), usage_of(answer.get("usage"))

        if self.options.template:
            body = body | {"chat_template_kwargs": dict(self.options.template)}
        whole = {"model": self._model, "messages": messages, **body}
        return await self.http.ask(f"{self._interface}chat/completions", whole, read, _COMPLETION)

    async def _listed(self) -> Any:
        """The models, from where the interface is found; it is where the address says if none of the places answers."""
        for place in self.address.interfaces:
            self._interface = place
            self.http.health = f"{place}models"
            try:
                return await self.http.get(self.http.health)
            except (HttpError, AnswerError) as error:
                status = getattr(error, "status", 404)
                if status not in NOT_SHOWN:
                    raise
                if status == 403:
                    break  # it is there, but shown to nobody
        else:
            self._interface = self.address.interfaces[0]
            self.http.health = f"{self._interface}models"
        return {}

    def _base(self, address: Address) -> str:
        """The address as given."""
        return address.url

    async def _ask_info(self) -> EngineInfo:
        served = await self._served()
        vocabulary = "text" if self._tokenizer is None else await self._tokenizer.vocabulary()
        return EngineInfo("openai", self._model, vocabulary, served.length, {"url": self.url})

    async def _local_tokenizer(self) -> TokenizerThread:
        if self._tokenizer is None:
            raise EngineError(f"{self.url}: has no tokenizer to offer; {_ADVICE}")
        return self._tokenizer


def _once(choice: dict[str, Any]) -> dict[str, Any]:
    """The choice, if it holds log-probabilities at all; otherwise a final error, since asking again changes nothing."""
    logprobs = choice.get("logprobs")
    echoed = isinstance(logprobs, dict) and logprobs.get("token_logprobs")
    if choice.get("prompt_logprobs") is None and not echoed:
        raise ScoreError("no log-probabilities of the prompt")
    return choice


def _text(content: Any) -> str | None:
    """A text, or the texts of parts; None if there is none."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(map(str, texts)) if texts else None
    return content if isinstance(content, str) else None


def _ended(choice: dict[str, Any], stop: Sequence[str], source: str) -> tuple[str, Finish]:
    """Text with its stop string, and why it ended. Most endpoints cut the string off and do not say that they did.

    So a text that may have met a stop string is taken to have met the first; if it was the end instead, the next
    request comes back empty, and that is the end.
    """
    reason = part(choice, "finish_reason", source=source)
    finish, matched = finish_of(reason, source), choice.get("stop_reason")
    text = _text(table(choice, "message", source=source).get("content") if "message" in choice else choice.get("text"))
    if text is None and finish not in (Finish.FILTER, Finish.TOOL):
        raise AnswerError(
            f"{source}: no text in the answer (a server that keeps reasoning apart must be started without its parser)",
            retryable=True,
        )
    text = text or ""
    if isinstance(matched, str) and finish in (Finish.END, Finish.STOP):
        return (text if matched in text else text + matched), Finish.STOP
    unsaid = finish is Finish.END and reason.lower() == "stop" and "stop_reason" not in choice
    if not stop or not text or not (unsaid or finish is Finish.STOP):
        return text, Finish.END if finish is Finish.STOP else finish
    return (text if any(string in text for string in stop) else text + stop[0]), Finish.STOP


def open_openai(address: str, options: EngineOptions) -> Engine:
    """`openai:URL`, or several replicas of one model: `openai:URL,URL`."""
    return open_replicas(address, options, OpenAIEngine)
