"""Continuous batching: exact times where they can be worked out, and nothing lost where they cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atts.engines.simulated.clock import run_virtually
from atts.engines.simulated.hardware import Gpu, Machine, Model, Serving
from atts.engines.simulated.server import Request, Server
from atts.errors import EngineError


def machine(capacity: int = 10_000, batch: int = 4, step_tokens: int = 64) -> Machine:
    """One second a step, 0.01 s a token in the cache, computing free."""
    serving = Serving(bandwidth=1, compute=1, doubling=1, memory=1, overhead=0, batch=batch, step_tokens=step_tokens)
    model = Model(200, layers=1, heads=1, kv_heads=1, head_width=1)
    return Machine(Gpu(400 + 4 * capacity, 400, 1e15), model, 1, serving, "toy")


def request(chain: int, context: int, write: int, base: int | None = None) -> Request:
    return Request((chain, 0), 0, context, context if base is None else base, write, lambda place: 0, 0)


def times(server: Server, arrivals: Sequence[tuple[float, Request]]) -> list[float]:
    """When each request is answered."""

    async def one(at: float, asked: Request) -> float:
        await asyncio.sleep(at)
        await server.serve(asked)
        return asyncio.get_running_loop().time()

    async def main() -> list[float]:
        return await asyncio.gather(*(one(at, asked) for at, asked in arrivals))

    return run_virtually(main())


def test_one_request_reads_then_writes() -> None:
    # A step of prefill gives the first token; nine more are written with 51, 52, … tokens in the cache.
    expected = 1.0 + sum(1 + 0.01 * held for held in range(51, 60))
    server = Server(machine())
    assert times(server, [(0, request(0, 50, 10))]) == [pytest.approx(expected)]
    assert (server.load.read, server.load.written, server.load.steps) == (50, 10, 10)
    assert server.load.busy == pytest.approx(expected)


def test_two_share_their_steps() -> None:
    server = Server(machine())
    both = [(0, request(0, 10, 3)), (0, request(1, 20, 5))]
    first = 1.0 + sum(1 + 0.01 * held for held in (32, 34))
    last = first + sum(1 + 0.01 * held for held in (23, 24))
    assert times(server, both) == [pytest.approx(first), pytest.approx(last)]


def test_who_comes_in_mid_step_begins_with_the_next_one() -> None:
    server = Server(machine())
    found = times(server, [(0, request(0, 10, 5)), (2.5, request(1, 10, 1))])
    # Steps: prefill 1; then 1.11, 1.12 (ends at 3.23); then one that reads the second request too.
    assert found[1] == pytest.approx(3.23 + 1.13)
    assert found[0] == pytest.approx(3.23 + 1.13 + 1.14)


def test_a_long_prompt_is_read_in_chunks_among_tokens_that_are_written() -> None:
    server = Server(machine(step_tokens=30))
    # The second step reads behind 30 tokens, the third behind 60.
    assert times(server, [(0, request(0, 70, 0))]) == [pytest.approx(1 + 1.3 + 1.6)]


def test_a_full_batch_makes_the_next_one_wait() -> None:
    server = Server(machine(batch=1))
    found = times(server, [(0, request(0, 10, 4)), (0, request(1, 10, 4))])
    assert found[1] == pytest.approx(2 * found[0])


def test_what_the_server_has_read_is_not_read_again() -> None:
    server = Server(machine())
    asked = request(0, 110, 1)
    times(server, [(0, request(0, 100, 4)), (100, asked)])
    assert (asked.cached, server.load.read) == (104, 106)


def test_of_a_piece_that_was_dropped_only_what_stood_before_counts() -> None:
    server = Server(machine())
    dropped = Request((0, 0), 0, 140, 100, 0, lambda place: 0, end=7)
    asked = request(0, 150, 1)
    times(server, [(0, dropped), (100, asked)])
    assert asked.cached == 100


def test_what_outgrows_the_cache_is_preempted_and_comes_back() -> None:
    server = Server(machine(capacity=100))
    found = times(server, [(0, request(0, 30, 60)), (0, request(1, 30, 60))])
    assert server.load.preempted >= 1
    assert server.load.peak_tokens <= 100
    assert server.load.read > 60  # what was preempted is read again
    assert all(found)


def test_what_can_never_fit_is_an_error() -> None:
    with pytest.raises(EngineError, match="120 tokens do not fit"):
        times(Server(machine(capacity=100)), [(0, request(0, 60, 60))])


REQUESTS = st.tuples(
    st.floats(0, 40), st.integers(1, 60), st.integers(0, 30), st.one_of(st.none(), st.none(), st.floats(0, 60))
)


@example(asked=[(0.0, 3, 30, None), (0.0, 60, 0, None)], capacity=90, batch=2, step_tokens=1)
@given(st.lists(REQUESTS, min_size=1, max_size=15), st.integers(90, 400), st.integers(1, 6), st.integers(1, 100))
def test_nothing_is_lost_whoever_leaves(
    asked: list[tuple[float, int, int, float | None]], capacity: int, batch: int, step_tokens: int
) -> None:
    server = Server(machine(capacity, batch, step_tokens))

    async def one(chain: int, at: float, context: int, write: int, leaves: float | None) -> int:
        await asyncio.sleep(at)
        try:
            async with asyncio.timeout(leaves):
                await server.serve(request(chain, context, write))
        except TimeoutError:
            return 0
        return write

    async def main() -> float:
        written = await asyncio.gather(*(one(chain, *each) for chain, each in enumerate(asked)))
        await asyncio.sleep(1000)  # the step under way when the last one leaves
        assert server.open == 0
        assert server.load.written >= sum(written)
        return asyncio.get_running_loop().time()

    end = run_virtually(main())
    load = server.load
    assert (server._held, server._reserved) == (0, 0)
    assert load.busy <= end
    assert load.peak_batch <= batch
    assert load.peak_tokens <= capacity + batch
    if not any(leaves is not None for *_, leaves in asked):
        assert load.written == sum(write for _, _, write, _ in asked)
        assert load.read >= sum(context for _, context, _, _ in asked)
