"""What `atts.testing` promises, by name, and that it works together as its page says."""

from __future__ import annotations

from typing import get_type_hints

from atts import testing
from atts.engines.base import EngineOptions
from atts.engines.servers.vllm import open_vllm
from atts.types import Message, Sampling


def test_the_names_are_those_that_are_promised() -> None:
    assert sorted(testing.__all__) == [
        "DIALECTS",
        "Deadlock",
        "FAULTS",
        "Faults",
        "ModelServer",
        "Script",
        "ScriptedEngine",
        "VirtualLoop",
        "run_virtually",
        "serve",
        "steps",
    ]
    for name in testing.__all__:
        thing = getattr(testing, name)
        assert not callable(thing) or thing.__doc__, name
        assert not callable(thing) or get_type_hints(thing.__init__ if isinstance(thing, type) else thing) is not None


async def test_a_scripted_engine_behind_a_server_is_read_by_a_client() -> None:
    engine = testing.ScriptedEngine(testing.Script(write=testing.steps(2, answer="7")))
    async with testing.serve("vllm", engine) as server:
        client = open_vllm(server.url, EngineOptions())
        try:
            prompt = await client.render([Message("user", "?")])
            written = await client.generate(prompt, max_tokens=200, sampling=Sampling(), seed=1, chain=("p", 0))
        finally:
            await client.close()
    assert written.text.endswith(r"\boxed{7}.")
