"""A model in process takes memory for what the run can use, in the type of its weights."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from atts import bundled
from atts.engines.base import EngineOptions
from atts.engines.local import LocalEngine
from atts.errors import NoRoomError
from atts.types import Finish, Message, Sampling

torch = pytest.importorskip("torch")
GREEDY = Sampling(temperature=0)


def halved(folder: Path) -> None:
    """The bundled target with its weights in half the bytes."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(bundled.TARGET, dtype="bfloat16").save_pretrained(folder)
    AutoTokenizer.from_pretrained(bundled.TARGET).save_pretrained(folder)


async def test_memory_is_that_of_the_longest_chains_at_once_in_the_weights_own_type(tmp_path: Path) -> None:
    await asyncio.to_thread(halved, tmp_path)
    engine = await asyncio.to_thread(LocalEngine.open, str(tmp_path), EngineOptions(longest=120, writers=3))
    info = await engine.info()
    able = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    size = 2 if able else 4
    assert info.details["dtype"] == ("bfloat16" if able else "float32")
    config = await asyncio.to_thread(_config, tmp_path)
    layers, heads = config.num_hidden_layers, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token = 2 * layers * heads * width * size
    blocks = 120 // 32 + 1 + 1  # begun ones count whole, and one to spare
    assert info.details["memory"] == {
        "weights": info.details["parameters"] * size,
        "writing": 3 * blocks * 32 * token,
        "scoring": 3 * 120 * token,
    }
    room = info.details["room"]
    prefix = await engine.render([Message("user", "Leo has 63.")])
    many = await asyncio.gather(
        *(engine.generate(prefix, max_tokens=100, sampling=Sampling(4.0), seed=seed) for seed in range(8))
    )
    assert {len(one.ids) for one in many if one.finish is Finish.LENGTH} <= {100}
    scored = await engine.score(prefix, many[0].ids)
    assert len(scored.log_probabilities) == len(many[0].ids)
    with pytest.raises(NoRoomError, match=f"room for {room}"):
        await engine.generate([5] * room, max_tokens=1, sampling=GREEDY)
    assert len((await engine.generate([5] * (room - 2), max_tokens=50, sampling=GREEDY)).ids) <= 2
    await engine.close()


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder)
