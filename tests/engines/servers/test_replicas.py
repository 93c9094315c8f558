"""Several servers as one engine: chains stay, load is spread, the dead are done without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from atts.engines import open_engine
from atts.engines.base import Engine, EngineOptions
from atts.engines.scripted import Script, ScriptedEngine
from atts.errors import EngineError, InputError, RunError
from atts.testing import Faults, ModelServer, serve
from atts.types import ChainKey, Sampling
from tests.polling import until

QUICK = EngineOptions(timeout=60.0, patience=1.0)


@pytest.fixture
async def three() -> AsyncIterator[tuple[Engine, list[ModelServer]]]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve("sglang", ScriptedEngine())) for _ in range(3)]
        engine = open_engine("sglang:" + ",".join(server.url for server in servers), QUICK)
        yield engine, servers
        await engine.close()


PROMPT = list(b"<assistant>")


async def turn(engine: Engine, chain: ChainKey | None) -> None:
    """What a chain asks for: a chunk, its score, and the next token after a chat of its own. Three requests."""
    written = await engine.generate(PROMPT, max_tokens=4, sampling=Sampling(0), seed=1, chain=chain)
    await engine.score(PROMPT, written.ids, chain=chain)
    await engine.next_token([*PROMPT, 65], top=1, chain=chain)


async def test_a_chain_stays_where_its_cache_is(three: tuple[Engine, list[ModelServer]]) -> None:
    engine, servers = three
    for _ in range(5):
        await turn(engine, ("p", 0))
    assert sorted(server.requests for server in servers) == [0, 0, 15]


async def test_a_request_of_no_chain_goes_where_there_is_least_to_do(three: tuple[Engine, list[ModelServer]]) -> None:
    engine, servers = three
    await asyncio.gather(*(turn(engine, ("p", sample)) for sample in range(2)))
    await turn(engine, None)
    assert [server.requests for server in servers] == [3, 3, 3]
    assert engine._homes.keys() == {("p", 0), ("p", 1)}  # type: ignore[attr-defined]


async def test_chains_are_spread_even_if_their_prompts_are_equal(three: tuple[Engine, list[ModelServer]]) -> None:
    engine, servers = three
    for _ in range(3):
        await asyncio.gather(*(turn(engine, ("p", sample)) for sample in range(12)))
    assert [server.requests for server in servers] == [36, 36, 36]


async def test_chains_that_are_over_no_longer_count(three: tuple[Engine, list[ModelServer]]) -> None:
    engine, servers = three
    for sample in range(9):
        await turn(engine, ("p", sample))
        engine.release(("p", sample))
        engine.release(("p", sample))  # once more does no harm
    assert sum(server.requests for server in servers) == 27
    assert engine._homes == {} and all(server.chains == 0 for server in engine._servers)  # type: ignore[attr-defined]


async def test_chains_of_a_dead_server_move_and_nothing_is_lost() -> None:
    async with AsyncExitStack() as stack, AsyncExitStack() as mortal:
        living = await stack.enter_async_context(serve("sglang", ScriptedEngine()))
        dying = await mortal.enter_async_context(serve("sglang", ScriptedEngine()))
        engine = open_engine(f"sglang:{living.url},{dying.url}", QUICK)
        await asyncio.gather(*(turn(engine, chain) for chain in range(6)))
        assert (living.requests, dying.requests) == (9, 9)
        await mortal.aclose()
        await asyncio.gather(*(turn(engine, chain) for chain in range(6)))
        assert living.requests == 27
        # Whoever moved counts where it is now, and nowhere else.
        assert sorted(server.chains for server in engine._servers) == [0, 6]  # type: ignore[attr-defined]
        port = int(dying.url.rpartition(":")[2])
        again = await mortal.enter_async_context(serve("sglang", ScriptedEngine(), port=port))
        async with asyncio.timeout(60):
            while not again.requests:  # it is found again, and new chains go to it
                await turn(engine, "new")
                engine.release("new")
                await asyncio.sleep(0.05)
        await engine.close()


async def test_a_server_that_fails_what_it_is_asked_loses_no_chain_and_draws_none() -> None:
    """It is healthy, and each chain that it fails would make it the least loaded one."""
    failing = Faults(1.0, ["error"])
    async with serve("sglang", ScriptedEngine()) as good, serve("sglang", ScriptedEngine(), faults=failing) as bad:
        engine = open_engine(f"sglang:{bad.url},{good.url}", EngineOptions(patience=30))
        for server in engine._servers:  # type: ignore[attr-defined]
            server.engine.http._attempts, server.engine.http._first_wait = 2, 0.01
        for _ in range(20):
            for _ in range(2):
                await asyncio.gather(*(turn(engine, chain) for chain in range(4)))
            for chain in range(4):
                engine.release(chain)
        assert good.requests == 20 * 4 * 2 * 3
        assert bad.requests <= 2 * 8
        asked, bad.faults.rate = bad.requests, 0.0
        await asyncio.gather(*(turn(engine, chain) for chain in range(40)))
        assert bad.requests > asked  # it is forgiven
        await engine.close()


async def test_what_fails_everywhere_is_an_error() -> None:
    spoilt = [Faults(1.0, ["error"]) for _ in range(2)]
    async with (
        serve("sglang", ScriptedEngine(), faults=spoilt[0]) as one,
        serve("sglang", ScriptedEngine(), faults=spoilt[1]) as other,
    ):
        engine = open_engine(f"sglang:{one.url},{other.url}", EngineOptions(patience=30))
        for server in engine._servers:  # type: ignore[attr-defined]
            server.engine.http._attempts = 1
        with pytest.raises(EngineError, match="500"):
            await turn(engine, "only")
        assert (one.requests, other.requests) == (1, 1)
        await engine.close()


async def test_if_all_are_gone_the_run_cannot_go_on() -> None:
    engine = open_engine("vllm:http://127.0.0.1:9,http://127.0.0.1:10", EngineOptions(patience=0.3))
    with pytest.raises(RunError, match="did not come back"):
        await engine.info()
    await engine.close()


async def test_replicas_of_different_models_are_refused() -> None:
    async with (
        serve("sglang", ScriptedEngine(name="small")) as one,
        serve("sglang", ScriptedEngine(name="large")) as other,
    ):
        engine = open_engine(f"sglang:{one.url},{other.url}", QUICK)
        with pytest.raises(EngineError, match=r"replicas differ: .* serves small, .* serves large"):
            await engine.info()
        await engine.close()


@pytest.mark.parametrize("other", ["http://a:1", "http://a:1/", " http://a:1"])
def test_a_server_named_twice_is_refused(other: str) -> None:
    with pytest.raises(InputError, match="named twice"):
        open_engine(f"sglang:http://a:1,{other}")


async def test_among_servers_with_as_many_chains_the_one_with_fewer_requests_is_taken() -> None:
    slow = ScriptedEngine(Script(delay=lambda call, seed: 60.0))
    async with serve("sglang", slow) as busy, serve("sglang", ScriptedEngine()) as idle:
        engine = open_engine(f"sglang:{busy.url},{idle.url}", QUICK)
        waiting = asyncio.create_task(engine.generate(PROMPT, max_tokens=4, sampling=Sampling(0)))
        await until(lambda: slow.in_flight)
        await turn(engine, "new")
        assert (busy.requests, idle.requests) == (1, 3)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await engine.close()
