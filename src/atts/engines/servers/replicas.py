"""Several servers with the same model, as one engine: a chain stays where its cache is.

Requests name their chain, which needs no hashing of contexts: the hash of a prompt would send all samples of a problem
to one server. A chain that is new goes to the server with the fewest chains, then the fewest requests, and stays there
until it is released; a request that names no chain goes wherever there is least to do.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from atts.engines.base import Engine, EngineOptions
from atts.engines.servers.outage import WaitedOutage
from atts.engines.servers.server import ServerEngine
from atts.errors import EngineError, InputError
from atts.types import ChainKey, EngineInfo, Generation, Message, Sampling, Scoring, TokenIds

T = TypeVar("T")


class _DownError(EngineError):
    """A server is down; another one may do the work."""


class _Elsewhere:
    """No waiting for a single server: its requests go to the others."""

    async def wait(self, cause: Exception) -> None:
        raise _DownError(str(cause))

    def close(self) -> None:
        pass


class _Server:
    """One of the servers, and how busy it is."""

    def __init__(self, engine: ServerEngine) -> None:
        self.engine = engine
        self.open = 0
        self.chains = 0
        self.left = 0  # chains that it failed, and that nothing it has done since makes up for
        self.down = False
        engine.http.outage = _Elsewhere()


class Replicas:
    """An engine over servers with the same model and vocabulary.

    Where one is down, its chains move to the others; it is used again once it is healthy. Where all are down, requests
    wait as for a single server. What one that is up fails for good is tried on another one, once.
    """

    def __init__(self, engines: Sequence[ServerEngine], patience: float) -> None:
        self.knows = engines[0].knows
        self._servers = [_Server(engine) for engine in engines]
        self._homes: dict[ChainKey, _Server] = {}
        self._outage = WaitedOutage(", ".join(engine.url for engine in engines), self._any_healthy, patience)
        self._watching: set[asyncio.Task[None]] = set()

    async def info(self) -> EngineInfo:
        """What the first server says, after making sure that the others say the same of their model."""
        first, *others = await asyncio.gather(*(self._ask_until_up(server) for server in self._servers))
        for other in others:
            if (other.model, other.vocabulary) != (first.model, first.vocabulary):
                raise EngineError(
                    f"replicas differ: {first.details.get('url')} serves {first.model},"
                    f" {other.details.get('url')} serves {other.model} (or another tokenizer)"
                )
        urls = ", ".join(server.engine.url for server in self._servers)
        lengths = [info.context_length for info in (first, *others) if info.context_length is not None]
        return replace(first, context_length=min(lengths, default=None), details={**first.details, "url": urls})

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """The chat, by any of them."""
        return await self._anywhere(lambda engine: engine.render(messages))

    async def tokenize(self, text: str) -> list[int]:
        """The text, by any of them."""
        return await self._anywhere(lambda engine: engine.tokenize(text))

    async def detokenize(self, ids: TokenIds) -> str:
        """The ids, by any of them."""
        return await self._anywhere(lambda engine: engine.detokenize(ids))

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
        """Write after the prefix, where its chain is at home."""
        return await self._at_home(
            chain,
            lambda engine: engine.generate(
                prefix, max_tokens=max_tokens, sampling=sampling, stop=stop, seed=seed, chain=chain
            ),
        )

    async def score(self, prefix: TokenIds, continuation: TokenIds, *, chain: ChainKey | None = None) -> Scoring:
        """Score, where the chain is at home."""
        return await self._at_home(chain, lambda engine: engine.score(prefix, continuation, chain=chain))

    async def next_token(self, prefix: TokenIds, *, top: int, chain: ChainKey | None = None) -> list[tuple[int, float]]:
        """The likeliest next tokens, where the chain is at home."""
        return await self._at_home(chain, lambda engine: engine.next_token(prefix, top=top, chain=chain))

    def release(self, chain: ChainKey) -> None:
        """The chain is over: it no longer counts where it was at home."""
        if (home := self._homes.pop(chain, None)) is not None:
            home.chains -= 1

    async def close(self) -> None:
        """Close all connections."""
        self._outage.close()
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        await asyncio.gather(*(server.engine.close() for server in self._servers))

    async def _anywhere(self, call: Callable[[Engine], Awaitable[T]]) -> T:
        return await self._through(self._least_loaded, call)

    async def _at_home(self, chain: ChainKey | None, call: Callable[[Engine], Awaitable[T]]) -> T:
        if chain is None:
            return await self._anywhere(call)
        return await self._through(lambda avoided: self._home(chain, avoided), call)

    async def _through(self, choose: Callable[[_Server | None], _Server], call: Callable[[Engine], Awaitable[T]]) -> T:
        avoided: _Server | None = None
        while True:
            server = choose(avoided)
            server.open += 1
            try:
                result = await call(server.engine)
            except _DownError as error:
                self._lost(server, error)
                if all(other.down for other in self._servers):
                    await self._outage.wait(error)
            except EngineError as error:
                if not error.retryable or avoided is not None:
                    raise
                # It counts as if the chain were still there: otherwise it would have the fewest, and get all new ones.
                server.left += 1
                avoided = server
            else:
                server.left = max(0, server.left - 1)
                return result
            finally:
                server.open -= 1

    def _home(self, chain: ChainKey, avoided: _Server | None) -> _Server:
        home = self._homes.get(chain)
        if home is not None and not home.down and home is not avoided:
            return home
        self.release(chain)
        home = self._homes[chain] = self._least_loaded(avoided)
        home.chains += 1
        return home

    def _least_loaded(self, avoided: _Server | None = None) -> _Server:
        up = [server for server in self._servers if not server.down] or self._servers
        others = [server for server in up if server is not avoided] or up
        return min(others, key=lambda server: (server.chains + server.left, server.open))

    def _lost(self, server: _Server, error: Exception) -> None:
        """The server is out of use until it is healthy."""
        if server.down:
            return
        server.down = True
        task = asyncio.create_task(self._await_return(server, error))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _await_return(self, server: _Server, error: Exception) -> None:
        await WaitedOutage(server.engine.url, server.engine.http.healthy, math.inf).wait(error)
        server.down = False

    async def _any_healthy(self) -> bool:
        found = await asyncio.gather(*(server.engine.http.healthy() for server in self._servers))
        for server, healthy in zip(self._servers, found, strict=True):
            server.down = not healthy
        return any(found)

    async def _ask_until_up(self, server: _Server) -> EngineInfo:
        """At the beginning every server must be there: a missing one is more likely a mistake than an outage."""
        while True:
            try:
                return await server.engine.info()
            except _DownError as error:
                outage = WaitedOutage(server.engine.url, server.engine.http.healthy, self._outage.patience)
                await outage.wait(error)


def open_replicas(address: str, options: EngineOptions, make: Callable[[str, EngineOptions], ServerEngine]) -> Engine:
    """One engine for `URL`, or for `URL,URL`; raises `InputError` for an address that cannot be right."""
    engines = [make(url.strip(), options) for url in address.split(",")]
    urls = [engine.url for engine in engines]
    if len(set(urls)) < len(urls):
        raise InputError(f"{', '.join(urls)}: a server is named twice")
    return engines[0] if len(engines) == 1 else Replicas(engines, options.patience)
