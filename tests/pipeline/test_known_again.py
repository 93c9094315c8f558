"""Engines get the context itself: so they know a chain again, and write out only what is new."""

from __future__ import annotations

from typing import Any

from atts.engines.scripted import ScriptedEngine
from atts.types import GrowingIds
from tests.pipeline.conftest import Bench, jobs


class Watchful(ScriptedEngine):
    def __init__(self) -> None:
        super().__init__()
        self.prefixes: list[Any] = []

    async def generate(self, prefix: Any, **settings: Any) -> Any:
        self.prefixes.append(prefix)
        return await super().generate(prefix, **settings)

    async def score(self, prefix: Any, continuation: Any) -> Any:
        self.prefixes.append(prefix)
        return await super().score(prefix, continuation)


async def test_every_request_of_a_chain_carries_the_same_object() -> None:
    bench = Bench(Watchful(), Watchful(), rate=0.5)
    await bench.pool.run(jobs(1, 3))
    for engine in (bench.draft, bench.target):
        prefixes = engine.prefixes  # type: ignore[attr-defined]
        assert all(isinstance(prefix, GrowingIds) for prefix in prefixes)
        assert len({id(prefix) for prefix in prefixes}) == 3
