"""The limit of open requests: it grows while it is used, falls on complaints and queues, and never leaks."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.engines.servers.limiter import Limiter
from atts.engines.servers.server import GENERATION, SCORE
from atts.types import Finish, Generation, Scoring, Usage


async def fill(limiter: Limiter, stack: AsyncExitStack) -> None:
    while limiter.held < int(limiter.limit):
        await stack.enter_async_context(limiter.hold())


async def test_it_doubles_a_round_at_first_and_adds_one_a_round_later() -> None:
    limiter = Limiter(most=200, start=8)
    async with AsyncExitStack() as stack:
        await fill(limiter, stack)
        for _ in range(8):
            await fill(limiter, stack)
            limiter.answered("generate", 1.0)
        assert limiter.limit == 16
        limiter.congested(started=1.0, now=2.0)
        cut = limiter.limit
        await fill(limiter, stack)
        for _ in range(int(cut)):
            limiter.answered("generate", 1.0)
    assert cut < 12 and cut + 0.9 <= limiter.limit <= cut + 1


async def test_it_does_not_grow_while_it_is_not_used_up() -> None:
    limiter = Limiter(most=100, start=8)
    async with limiter.hold():
        for _ in range(50):
            limiter.answered("score", 0.1)
    assert limiter.limit == 8


def test_complaints_of_one_round_trip_count_once() -> None:
    limiter = Limiter(most=100, start=64)
    for _ in range(20):
        limiter.congested(started=1.0, now=5.0)
    once = limiter.limit
    limiter.congested(started=6.0, now=7.0)
    assert 40 < once < 50 and limiter.limit < once


def test_a_growing_queue_at_the_server_lowers_the_limit() -> None:
    limiter = Limiter(most=64, start=64)
    for seconds in (0.1, 0.1, 1.0):
        for _ in range(64):
            limiter.answered("score", seconds)
    assert limiter.limit < 64


def test_kinds_of_requests_are_not_compared() -> None:
    limiter = Limiter(most=64, start=64)
    for kind, seconds in (("score", 0.01), ("generate", 5.0), ("score", 0.01), ("generate", 5.0)):
        for _ in range(64):
            limiter.answered(kind, seconds)
    assert limiter.limit == 64


@pytest.mark.parametrize("kinds", [1, 2])
def test_traffic_of_all_lengths_on_a_healthy_server_is_no_queue(kinds: int) -> None:
    """Texts of 1 to 500 tokens, a score beside each, contexts that grow 16-fold; each takes what its tokens take."""
    limiter, random = Limiter(most=64, start=64), Random(kinds)
    for number in range(40_000):
        written = random.choice((random.randint(1, 500), random.randint(1, 20), 500))
        usage = Usage(prompt=500 + number // 5, cached=0 if kinds == 1 else 490 + number // 5, completion=written)
        limiter.answered(
            GENERATION.like(Generation((), "", Finish.END, usage)), 0.1 + 0.02 * written * random.uniform(0.8, 1.2)
        )
        limiter.answered(SCORE.like(Scoring((), usage)), 0.02 + 0.0005 * (usage.prompt - usage.cached))
    assert limiter.limit == 64


def test_a_queue_is_seen_in_traffic_of_all_lengths() -> None:
    limiter, random = Limiter(most=64, start=64), Random(1)
    for slower in (1, 1, 10):
        for _ in range(2000):
            usage = Usage(completion=random.randint(1, 500))
            seconds = slower * (0.1 + 0.02 * usage.completion)
            limiter.answered(GENERATION.like(Generation((), "", Finish.END, usage)), seconds)
    assert limiter.limit < 64


@given(st.lists(st.tuples(st.floats(0, 0.003), st.booleans()), min_size=1, max_size=60), st.integers(1, 4))
async def test_cancelling_never_loses_room(work: list[tuple[float, bool]], most: int) -> None:
    limiter = Limiter(most=most, start=most)
    peak = 0

    async def hold(seconds: float) -> None:
        nonlocal peak
        async with limiter.hold():
            peak = max(peak, limiter.held)
            await asyncio.sleep(seconds)

    tasks = [asyncio.create_task(hold(seconds)) for seconds, _ in work]
    await asyncio.sleep(0)
    for task, (_, cancelled) in zip(tasks, work, strict=True):
        if cancelled:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limiter.held == 0 and peak <= most
