"""An engine that remembers: the same request gets the same answer, at once the second time."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from atts.engines.base import Engine
from atts.types import ChainKey, EngineInfo, Generation, Message, Sampling, Scoring, TokenIds


class Remembered:
    """Answers of `engine` by request, so that policies can be compared on the very same draws.

    `path` keeps them from one command to the next; it is read by pickle, so name none that you did not make.
    """

    def __init__(self, engine: Engine, path: Path | None = None) -> None:
        self._engine = engine
        self._path = path
        self._known: dict[bytes, Any] = {}
        if path is not None and path.exists():
            self._known = pickle.loads(path.read_bytes())
        self._had = len(self._known)

    def save(self) -> None:
        """Write what is new, if a file was named."""
        if self._path is not None and len(self._known) > self._had:
            self._path.write_bytes(pickle.dumps(self._known))
            self._had = len(self._known)

    async def info(self) -> EngineInfo:
        """See `Engine`."""
        return await self._engine.info()

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """See `Engine`."""
        return await self._engine.render(messages)

    async def tokenize(self, text: str) -> list[int]:
        """See `Engine`."""
        return await self._engine.tokenize(text)

    async def detokenize(self, ids: TokenIds) -> str:
        """See `Engine`."""
        key = _key("text", ids)
        if key not in self._known:
            self._known[key] = await self._engine.detokenize(ids)
        text: str = self._known[key]
        return text

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
        """See `Engine`."""
        key = _key("generate", prefix, max_tokens, sampling, tuple(stop), seed)
        if key not in self._known:
            self._known[key] = await self._engine.generate(
                prefix, max_tokens=max_tokens, sampling=sampling, stop=stop, seed=seed, chain=chain
            )
        generation: Generation = self._known[key]
        return generation

    async def score(self, prefix: TokenIds, continuation: TokenIds, *, chain: ChainKey | None = None) -> Scoring:
        """See `Engine`."""
        key = _key("score", prefix, tuple(continuation))
        if key not in self._known:
            self._known[key] = await self._engine.score(prefix, continuation, chain=chain)
        scoring: Scoring = self._known[key]
        return scoring

    async def next_token(self, prefix: TokenIds, *, top: int, chain: ChainKey | None = None) -> list[tuple[int, float]]:
        """See `Engine`."""
        return await self._engine.next_token(prefix, top=top, chain=chain)

    def release(self, chain: ChainKey) -> None:
        """See `Engine`."""
        self._engine.release(chain)

    async def close(self) -> None:
        """Nothing: the engine is closed by who opened it, after the last run."""


def _key(call: str, ids: TokenIds, *rest: Any) -> bytes:
    digest = blake2b(array("q", ids).tobytes(), digest_size=16)
    digest.update(repr((call, *rest)).encode())
    return digest.digest()
