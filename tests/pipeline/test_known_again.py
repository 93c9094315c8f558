"""Every request of a chain names it, so that it stays where its cache is, and carries the context itself, no copy."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.errors import EngineError
from atts.types import ChainKey, GrowingIds
from tests.pipeline.conftest import Bench, jobs


class Watchful(ScriptedEngine):
    """Remembers the prefixes that it was given for each chain, and which chains are over."""

    def __init__(self) -> None:
        super().__init__(Script(write=lambda text, seed: "wait, " + steps(4)(text, seed)))
        self.prefixes: defaultdict[Any, list[Any]] = defaultdict(list)
        self.released: list[ChainKey] = []

    async def generate(self, prefix: Any, **settings: Any) -> Any:
        self.prefixes[settings["chain"]].append(prefix)
        return await super().generate(prefix, **settings)

    async def score(self, prefix: Any, continuation: Any, **settings: Any) -> Any:
        self.prefixes[settings["chain"]].append(prefix)
        return await super().score(prefix, continuation, **settings)

    async def next_token(self, prefix: Any, **settings: Any) -> Any:
        self.prefixes[settings["chain"]].append(prefix)
        return await super().next_token(prefix, **settings)

    def release(self, chain: ChainKey) -> None:
        assert chain not in self.released
        self.released.append(chain)


LEADING = {"begin": True, "begin_token_num": 5, "help_think_word": "hm", "recap_after_negative_num": 1}


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("atts", {}),
        ("atts-self", {"remedy": "fork"}),
        ("specreason", {}),  # asks about a chat of its own
        ("speculative-thinking", LEADING),  # puts words of its own before what is written
    ],
)
async def test_every_request_names_its_chain_and_every_chain_is_released(
    strategy: str, options: dict[str, Any]
) -> None:
    bench = Bench(Watchful(), Watchful(), strategy=strategy, options=options, rate=0.5)
    await bench.run(jobs(2, 3))
    keys = {(f"p{problem}", sample) for problem in range(2) for sample in range(3)}
    for engine in (bench.draft, bench.target):
        assert isinstance(engine, Watchful)
        if engine.requests:
            assert engine.prefixes.keys() == keys
            assert set(engine.released) == keys


async def test_a_chain_that_is_cancelled_or_fails_is_released_too() -> None:
    bench = Bench(Watchful(), Watchful())
    bench.target.script = Script(fail=lambda call, count: EngineError("broken") if count == 3 else None)
    bench.cancel("p0", 0, "not wanted")
    await bench.run(jobs(1, 3))
    assert sorted(chain.status for chain in bench.chains) == ["cancelled", "done", "error"]
    assert isinstance(bench.target, Watchful)
    assert len(bench.target.released) == 3


async def test_contexts_are_not_copied() -> None:
    bench = Bench(Watchful(), Watchful(), rate=0.5)
    await bench.run(jobs(1, 3))
    for engine in (bench.draft, bench.target):
        assert isinstance(engine, Watchful)
        for prefixes in engine.prefixes.values():
            assert isinstance(prefixes[0], GrowingIds)
            assert len({id(prefix) for prefix in prefixes}) == 1
