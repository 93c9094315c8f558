"""SGLang's native interface, 0.4.3 to current: `sglang:http://host:port`.

The interface is described at https://docs.sglang.io/basic_usage/native_api.html and …/sampling_params.html.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from atts.engines.base import DRAWING, Engine, EngineOptions
from atts.engines.local.tokenizer import TokenizerThread
from atts.engines.log_probabilities import finite, told
from atts.engines.servers.answer import count, finish_of, models, part, table, whole_numbers
from atts.engines.servers.limiter import Kind
from atts.engines.servers.refusal import says_full
from atts.engines.servers.replicas import open_replicas
from atts.engines.servers.server import GENERATION, NEXT_TOKEN, SCORE, ServerEngine, unusual, with_ids
from atts.errors import AnswerError, EngineError, MissingScoreError, NoRoomError, ScoreError
from atts.types import ChainKey, EngineInfo, Finish, Generation, Sampling, Scoring, TokenIds, Usage

T = TypeVar("T")

_SEEDS = 2**31 - 1  # seeds are 32-bit there
_SEEDED = (
    0,
    5,
    3,
)  # the first version that knows `sampling_seed`; earlier ones answer 500 to whatever they do not know


class SglangEngine(ServerEngine):
    """A model on an SGLang server.

    Scores ask for log-probabilities from the token before the boundary on: that entry is always null there, and the
    prefix before it is served from the radix cache, which the takeover then finds warm. The server has no way to
    apply a chat template, so a tokenizer is loaded here: by default the one that the server names. Versions before
    0.5.3, and servers that do not say theirs, get no seeds: `details["seeds"]` says so.
    """

    scheme = "sglang"
    spare = 1  # some versions refuse a request that would fill the context to the last token

    def __init__(self, url: str, options: EngineOptions | None = None) -> None:
        super().__init__(url, options)
        self._count = itertools.count()
        self._name = os.urandom(6).hex()

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
        """Write after the prefix; see `Engine.generate`. Ids are read off the log-probabilities, as all versions do."""
        seeds = (await self.info()).details["seeds"]
        parameters = _parameters(sampling, seed if seeds else None) | {
            "max_new_tokens": await self._room(len(prefix), max_tokens),
            "stop": list(stop),
            "no_stop_trim": True,
        }
        if self.options.end_tokens:
            parameters["stop_token_ids"] = list(self.options.end_tokens)
        # The server reports them after the penalties, and after dividing by the temperature.
        faithful = sampling.temperature in (0, 1) and not sampling.penalises
        written = await self._generate(
            prefix,
            {"sampling_params": parameters},
            lambda answer: self._generation(answer, len(prefix), stop, faithful),
            GENERATION,
        )
        if written.finish is Finish.END and self.options.end_tokens:  # one of them may have a text, and is dropped
            return replace(written, text=await self.detokenize(written.ids))
        return written

    async def score(self, prefix: TokenIds, continuation: TokenIds, *, chain: ChainKey | None = None) -> Scoring:
        """Log-probabilities of the continuation; see `Engine.score`."""
        if not continuation or not prefix:
            raise ScoreError("a score needs a continuation of at least one token, and a token before it")
        await self._room(len(prefix) + len(continuation) - 1, 1)
        body = {
            "sampling_params": {"max_new_tokens": 0, "temperature": 0},
            "logprob_start_len": len(prefix) - 1,
        }
        whole = len(prefix) + len(continuation)
        return await self._generate(
            prefix, body, lambda answer: self._scoring(answer, whole, continuation), SCORE, continuation
        )

    async def next_token(self, prefix: TokenIds, *, top: int, chain: ChainKey | None = None) -> list[tuple[int, float]]:
        """The likeliest next tokens."""
        await self._room(len(prefix), 1)
        body = {"sampling_params": {"max_new_tokens": 1, "temperature": 0}, "top_logprobs_num": top}

        def read(answer: dict[str, Any]) -> list[tuple[int, float]]:
            first = part(answer, "meta_info", "output_top_logprobs", 0, source=self.url, error=MissingScoreError)
            values = finite([part(entry, 0, source=self.url) for entry in first], self.url)
            return list(zip(self._ids(first, "output_top_logprobs"), values, strict=True))

        return await self._generate(prefix, body, read, NEXT_TOKEN)

    async def _generate(
        self,
        prefix: TokenIds,
        body: dict[str, Any],
        read: Callable[[dict[str, Any]], T],
        kind: Kind,
        continuation: TokenIds = (),
    ) -> T:
        sent: list[str] = []

        def write() -> bytes:
            # What failed here may still be running there, and the server takes no name twice.
            abort()
            sent.append(f"{self._name}-{next(self._count)}")
            whole = {"logprob_start_len": -1, **body, "return_logprob": True, "rid": sent[-1]}
            return with_ids(json.dumps(whole, separators=(",", ":")).encode(), "input_ids", prefix, continuation)

        def abort() -> None:
            if sent:
                self.http.tell("abort_request", {"rid": sent[-1]})

        try:
            return await self.http.ask("generate", write, read, kind)
        except asyncio.CancelledError:
            abort()  # a connection that is closed is noticed after seconds only
            raise

    def _generation(self, answer: dict[str, Any], prompt: int, stop: Sequence[str], faithful: bool) -> Generation:
        meta, text = table(answer, "meta_info", source=self.url), part(answer, "text", source=self.url)
        finish, matched = self._finish(part(meta, "finish_reason", source=self.url), stop)
        entries = meta.get("output_token_logprobs")
        if entries:
            ids, values = self._ids(entries, "output_token_logprobs"), told([entry[0] for entry in entries], self.url)
        else:  # a server that was started without them
            ids, values = whole_numbers(part(answer, "output_ids", source=self.url), self.url, "output_ids"), None
        if not ids:
            raise AnswerError(f"{self.url}: an answer without a single token", retryable=True)
        usage = Usage(
            count(meta.get("prompt_tokens"), prompt),
            count(meta.get("cached_tokens")),
            count(meta.get("completion_tokens"), len(ids)),
        )
        if usage.completion > len(ids):  # the chain would go on without what is left out
            raise AnswerError(f"{self.url}: ids of {len(ids)} of {usage.completion} tokens", retryable=True)
        if finish is Finish.END and ids[-1] == matched:
            ids, values = ids[:-1], values and values[:-1]
        if not isinstance(text, str) or (ids and not text and not finish.over):
            raise AnswerError(f"{self.url}: tokens without their text", retryable=True)
        return Generation(ids, text, finish, usage, values if faithful else None)

    def _finish(self, reason: Any, stop: Sequence[str]) -> tuple[Finish, Any]:
        """Why the writing ended, and what it met: a stop string, or the id of an end token."""
        said = reason if isinstance(reason, dict) else {"type": reason}
        matched, message = said.get("matched"), str(said.get("message") or "")
        if says_full(message):
            raise NoRoomError(f"{self.url}: {message}")
        if isinstance(matched, str) and matched not in stop:  # "NaN happened" is said in this way
            raise EngineError(f"{self.url}: ended by {matched!r}, which is no stop string", retryable=True)
        finish = finish_of(said.get("type"), self.url, because=message)
        return Finish.STOP if finish is Finish.END and isinstance(matched, str) else finish, matched

    def _scoring(self, answer: dict[str, Any], prompt: int, continuation: TokenIds) -> Scoring:
        meta = table(answer, "meta_info", source=self.url, error=MissingScoreError)
        self._finish(part(meta, "finish_reason", source=self.url), ())
        entries = part(meta, "input_token_logprobs", source=self.url, error=MissingScoreError)
        said = self._ids(entries, "input_token_logprobs", error=MissingScoreError)[1:]
        # The last id of a vocabulary, and those beyond it, are reported as 0.
        if len(said) != len(continuation) or any(a != b and a for a, b in zip(said, continuation, strict=True)):
            raise MissingScoreError(f"{self.url}: log-probabilities are those of other tokens", retryable=True)
        usage = Usage(count(meta.get("prompt_tokens"), prompt), count(meta.get("cached_tokens")))
        return Scoring(finite([entry[0] for entry in entries[1:]], self.url), usage)

    def _ids(self, entries: Any, name: str, error: type[EngineError] = AnswerError) -> tuple[int, ...]:
        """The ids of entries that are each a log-probability and an id."""
        if not isinstance(entries, list) or not all(isinstance(entry, list) and len(entry) > 1 for entry in entries):
            raise error(f"{self.url}: {name} of the answer are no pairs of log-probability and id", retryable=True)
        return whole_numbers([entry[1] for entry in entries], self.url, name)

    async def _ask_info(self) -> EngineInfo:
        # Versions before 0.5 know the second name only.
        model = await self._optional("model_info") or await self._optional("get_model_info")
        server = await self._optional("server_info") or await self._optional("get_server_info")
        if not model:
            raise EngineError(f"{self.url}: does not speak SGLang's native interface (no model_info there)")
        served = models(await self._optional("v1/models"))
        length = (
            (served[0].length if served else None) or server.get("context_length") or server.get("max_req_input_len")
        )
        name = str(model.get("model_path", "unknown"))
        if self._tokenizer is None:
            self._tokenizer = TokenizerThread(str(model.get("tokenizer_path") or name), self.options.template)
        version = str(server.get("version", "unknown"))
        return EngineInfo(
            engine="sglang",
            model=name.rstrip("/").rpartition("/")[2],
            vocabulary=await self._tokenizer.vocabulary(),
            context_length=length,
            details={"url": self.url, "version": version, "seeds": _knows_seeds(version)},
            front=await self._front() or tuple(await self._tokenizer.front()),
        )

    async def _local_tokenizer(self) -> TokenizerThread:
        await self.info()
        assert self._tokenizer is not None
        return self._tokenizer


def _parameters(sampling: Sampling, seed: int | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    if sampling.top_k:
        parameters["top_k"] = sampling.top_k
    parameters |= unusual(sampling, DRAWING)
    if seed is not None:
        parameters["sampling_seed"] = seed % _SEEDS
    return parameters


def _knows_seeds(version: str) -> bool:
    """Whether a server of that version takes `sampling_seed`; candidates for the first that does have none yet."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)(rc)?", version)
    if found is None:
        return False
    number = tuple(int(part) for part in found.groups()[:3])
    return number > _SEEDED or (number == _SEEDED and not found[4])


def open_sglang(address: str, options: EngineOptions) -> Engine:
    """`sglang:URL`, or several replicas of one model: `sglang:URL,URL`."""
    return open_replicas(address, options, SglangEngine)
