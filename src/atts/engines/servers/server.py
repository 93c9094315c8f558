"""What engines behind a server have in common: one HTTP session, what is known of the model, a tokenizer, room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from atts.engines.base import EVERYTHING, Engine, EngineOptions
from atts.engines.local.tokenizer import TokenizerThread, front_of
from atts.engines.servers.address import Address, parse_address
from atts.engines.servers.http import Http
from atts.engines.servers.limiter import Kind
from atts.engines.servers.refusal import NOT_SHOWN
from atts.errors import AnswerError, EngineError, NoRoomError
from atts.types import ChainKey, EngineInfo, GrowingIds, Message, Sampling, TokenIds, write_ids

GENERATION = Kind("generation", lambda written: written.usage.completion)
SCORE = Kind("score", lambda scoring: scoring.usage.prompt - scoring.usage.cached)
NEXT_TOKEN = Kind("next token")

_ANY = "a"  # a text, to see what comes before it
_ATTEMPTS = 8  # of one request; a server that fails every tenth then fails one in a hundred million


class ServerEngine(Engine):
    """A model behind a server: the parts that do not depend on its dialect.

    A dialect says how to ask for the model (`_ask_info`) and for the name of a tokenizer; it writes `generate`,
    `score` and `next_token`. `health` is the path that answers 200 when the server is up; `spare` tokens of the context
    stay empty.
    """

    scheme = "server"
    knows = EVERYTHING
    health = "health"
    spare = 0

    def __init__(self, url: str, options: EngineOptions | None = None) -> None:
        self.options = options or EngineOptions()
        self.address = parse_address(self.scheme, url)
        self.url = self._base(self.address)
        self.http = Http(
            self.url,
            key=self.options.key,
            concurrency=self.options.concurrency,
            timeout=self.options.timeout,
            attempts=_ATTEMPTS,
            patience=self.options.patience,
            health=self.health,
            query=self.address.query,
        )
        self._known: EngineInfo | None = None
        self._tokenizer: TokenizerThread | None = None
        if self.options.tokenizer:
            self._tokenizer = TokenizerThread(self.options.tokenizer, self.options.template)

    async def info(self) -> EngineInfo:
        """What the server says of its model; asked once."""
        if self._known is None:
            self._known = await self._ask_info()
        return self._known

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """The chat by the model's template."""
        return await (await self._local_tokenizer()).render(messages)

    async def tokenize(self, text: str) -> list[int]:
        """The text on its own."""
        return await (await self._local_tokenizer()).tokenize(text) if text else []

    async def detokenize(self, ids: TokenIds) -> str:
        """The text of the ids."""
        return await (await self._local_tokenizer()).detokenize(ids)

    def release(self, chain: ChainKey) -> None:
        """Nothing is kept of a chain: its cache is the server's."""

    async def close(self) -> None:
        """Close the connections."""
        if self._tokenizer is not None:
            self._tokenizer.close()
        await self.http.close()

    def _base(self, address: Address) -> str:
        """What paths are below: the server itself, since it speaks more than OpenAI's interface."""
        return address.root

    async def _ask_info(self) -> EngineInfo:
        raise NotImplementedError

    async def _local_tokenizer(self) -> TokenizerThread:
        raise NotImplementedError

    async def _front(self, **more: Any) -> tuple[int, ...] | None:
        """The special tokens that the server's own tokenizer puts before a text; None if it does not tell."""
        try:
            plain, special = [
                (await self.http.post("tokenize", {"prompt": _ANY, "add_special_tokens": added, **more})).get("tokens")
                for added in (False, True)
            ]
        except EngineError as error:
            if isinstance(error, AnswerError) or getattr(error, "status", 0) in NOT_SHOWN:
                return None
            raise
        return tuple(front_of(plain, special)) if isinstance(plain, list) and isinstance(special, list) else None

    async def _room(self, tokens: int, wanted: int) -> int:
        """How many of the wanted tokens fit after so many. Raises `NoRoomError` if there is room for none."""
        length = (await self.info()).context_length
        room = wanted if length is None else min(wanted, length - tokens - self.spare)
        if room < 1:
            raise NoRoomError(f"{self.url}: {tokens} tokens leave no room in the context, which holds {length}")
        return room

    async def _optional(self, path: str) -> dict[str, Any]:
        """What the server answers there; nothing if it does not know the path."""
        try:
            found = await self.http.get(path)
        except EngineError as error:
            if getattr(error, "status", 0) in (400, 404, 405, 501):
                return {}
            raise
        return found if isinstance(found, dict) else {}


def unusual(sampling: Sampling, names: Iterable[str]) -> dict[str, Any]:
    """Those of the settings that are not the usual, as all servers call them."""
    usual = Sampling()
    return {name: getattr(sampling, name) for name in names if getattr(sampling, name) != getattr(usual, name)}


def with_ids(body: bytes, name: str, prefix: TokenIds, continuation: TokenIds = ()) -> bytes:
    """The JSON object, one key richer: the ids. Of a context that only grows, only what is new is written anew."""
    written = memoryview(prefix.written() if isinstance(prefix, GrowingIds) else write_ids(prefix))
    last = memoryview(write_ids(continuation))
    parts = (written, last[:-1]) if last else (written[:-1],)  # without the comma after the last id
    # One copy of the context, however long it is.
    return b"".join((b'{"', name.encode(), b'":[', *parts, b"],", body[1:]))
