"""One model, three ways to reach it: the same texts, and the same score of every token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atts import bundled
from atts.engines.base import Engine
from atts.engines.local import LocalEngine
from atts.engines.servers.sglang import SglangEngine
from atts.engines.servers.vllm import VllmEngine
from atts.testing import serve
from atts.types import Finish, GrowingIds, Message, Sampling

pytestmark = pytest.mark.skipif(not (Path(bundled.DRAFT) / "config.json").is_file(), reason="no bundled model")

CHATS = [
    [Message("user", "What is 17 + 25?")],
    [Message("user", "Tom has 3 bags with 4 apples each and eats 5. How many are left?")],
]


@pytest.fixture
async def engines() -> AsyncIterator[dict[str, Engine]]:
    local = LocalEngine(str(bundled.DRAFT), threads=1)
    async with serve("sglang", local) as sglang, serve("vllm", local) as vllm:
        found = {"local": local, "sglang": SglangEngine(sglang.url), "vllm": VllmEngine(vllm.url)}
        yield found
        for engine in found.values():
            await engine.close()


async def test_greedy_chains_are_the_same(engines: dict[str, Engine]) -> None:
    for chat in CHATS:
        await compare(engines, chat)


async def compare(engines: dict[str, Engine], chat: list[Message]) -> None:
    prompts = [await engine.render(chat) for engine in engines.values()]
    assert prompts[0] == prompts[1] == prompts[2]
    chains = []
    for engine in engines.values():
        context = GrowingIds(prompts[0])
        pieces, values = [], []
        for _ in range(4):
            piece = await engine.generate(context, max_tokens=40, sampling=Sampling(0), stop=("\n\n",), seed=1)
            pieces.append((piece.text, piece.ids, piece.finish))
            if piece.ids:
                values += (await engine.score(context, piece.ids)).log_probabilities
                assert values[-len(piece.ids) :] == pytest.approx(piece.log_probabilities, abs=1e-3)
            context.extend(piece.ids)
            if piece.finish is Finish.END:
                break
        chains.append((pieces, values))
    for pieces, values in chains[1:]:
        assert pieces == chains[0][0]
        assert values == pytest.approx(chains[0][1], abs=1e-3)
