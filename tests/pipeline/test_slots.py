from __future__ import annotations

import asyncio
import random

import pytest

from atts.pipeline.slots import Slots


async def test_never_more_than_the_limit_and_priority_first() -> None:
    slots = Slots(2)
    order: list[int] = []
    running = 0

    async def work(priority: int) -> None:
        nonlocal running
        async with slots.hold((priority,)):
            running += 1
            assert running <= 2
            order.append(priority)
            await asyncio.sleep(0.001)
            running -= 1

    await asyncio.gather(*(work(priority) for priority in (5, 9, 3, 8, 1, 2)))
    assert order[:2] == [5, 9]  # nobody waited yet
    assert order[2:] == [1, 2, 3, 8]
    assert (slots.held, slots.waiting) == (0, 0)


async def test_equal_priorities_are_served_in_order_of_arrival() -> None:
    slots = Slots(1)
    order: list[int] = []

    async def work(name: int) -> None:
        async with slots.hold((0,)):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(name) for name in range(20)))
    assert order == list(range(20))


@pytest.mark.parametrize("seed", range(20))
async def test_cancelling_at_any_moment_loses_no_slot(seed: int) -> None:
    rng = random.Random(seed)
    slots = Slots(3)

    async def work() -> None:
        async with slots.hold((rng.randrange(5), rng.randrange(5))):
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(work()) for _ in range(60)]
    for _ in range(30):
        await asyncio.sleep(0)
        rng.choice(tasks).cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (slots.held, slots.waiting) == (0, 0)
    async with asyncio.timeout(60), slots.hold((0,)):
        assert slots.held == 1


async def test_a_slot_granted_to_a_cancelled_waiter_is_passed_on() -> None:
    slots = Slots(1)
    entered = asyncio.Event()

    async def wait() -> None:
        async with slots.hold((0,)):
            entered.set()

    async with slots.hold((0,)):
        doomed = asyncio.create_task(wait())
        heir = asyncio.create_task(wait())
        await asyncio.sleep(0)
    # The slot is doomed's already, but doomed has not run since.
    doomed.cancel()
    await asyncio.wait_for(heir, 60)
    assert entered.is_set()
    assert slots.held == 0
