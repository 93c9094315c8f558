"""The vLLM test server refuses what the real one refuses, and lives on."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from atts.engines.scripted import ScriptedEngine
from atts.testing import serve


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("completions", {"prompt": [65], "max_tokens": "x"}),
        ("completions", {"prompt": [65], "temperature": "hot"}),
        ("completions", {"prompt": [65], "stop": [3]}),
        ("completions", {"prompt": [65], "seed": 0.5}),
        ("completions", {"prompt": [65, 256]}),
        ("completions", {"prompt": {}}),
        ("chat/completions", {"messages": [{"role": "user"}]}),
        ("chat/completions", {"messages": "none"}),
        ("chat/completions", {}),
    ],
)
async def test_what_is_malformed_is_a_bad_request(path: str, body: dict[str, Any]) -> None:
    async with serve("vllm", ScriptedEngine()) as server, aiohttp.ClientSession(server.url) as http:
        async with http.post(f"/v1/{path}", json=body) as response:
            assert response.status == 400 and (await response.json())["error"]["message"]
        async with http.post("/v1/completions", json={"prompt": [65], "max_tokens": 2}) as response:
            assert response.status == 200
