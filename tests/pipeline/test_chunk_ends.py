"""A chunk may end in the middle of a word: what looks like an answer there is none yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atts.engines.scripted import Script, ScriptedEngine
from atts.pipeline.settings import ChainSettings
from atts.types import Finish, Generation, Status, TokenIds

from .conftest import Bench, jobs

LETTERS = "Let us see. Answer: A rectangle has 4 sides, so pick the other one. Answer: B"
HASHES = "We add 10 and 8.\n#### 18"


def writes(words: str) -> Callable[[str, int], str]:
    """A script that writes these words from wherever the text ends."""

    def write(text: str, seed: int) -> str:
        done = next(length for length in range(len(words), -1, -1) if text.endswith(words[:length]))
        return words[done:]

    return write


async def ended(rule: str, words: str, tokens: int, turns: int = 100) -> tuple[str, str | None]:
    engines = [ScriptedEngine(Script(write=writes(words))) for _ in range(2)]
    settings = ChainSettings(draft_tokens=tokens, target_tokens=tokens, turns=turns)
    bench = Bench(*engines, settings=settings, rate=0.01, answer=rule)
    await bench.run(jobs(1, 1))
    [chain] = bench.chains
    return chain.reason, chain.answer


@pytest.mark.parametrize("tokens", range(18, 30))
async def test_an_answer_that_is_cut_does_not_end_a_chain(tokens: int) -> None:
    assert await ended("choice", LETTERS, tokens) == ("end", "B")
    assert await ended("hashes", HASHES, tokens) == ("end", "18")


async def test_an_answer_that_something_follows_ends_a_chain() -> None:
    assert await ended("choice", "Answer: B\nOr perhaps not, let me look again.", 10) == ("answer", "B")
    assert await ended("hashes", "#### 18\nOr perhaps not, let me look again.", 8) == ("answer", "18")
    assert await ended("boxed", "So \\boxed{4} and so on", 12) == ("answer", "4")


async def test_where_the_turns_are_used_up_the_text_ends() -> None:
    assert await ended("choice", "We pick one. Answer: B", 22, turns=1) == ("end", "B")
    assert await ended("choice", "We pick one. Answer: Both", 22, turns=1) == ("turns", "B")


@pytest.mark.parametrize("finish", [Finish.FILTER, Finish.REPETITION, Finish.TOOL])
async def test_where_the_server_ends_the_text_its_word_is_the_reason(finish: Finish) -> None:
    class Ending(ScriptedEngine):
        async def generate(self, prefix: TokenIds, **settings: Any) -> Generation:
            return replace(await super().generate(prefix, **settings), finish=finish)

    bench = Bench(Ending(), Ending(), rate=0.5)
    await bench.run(jobs(1, 2))
    for chain in bench.chains:
        assert (chain.status, chain.reason, chain.turns) == (Status.DONE, finish.value, 1)
        assert chain.text.startswith("Step 1")
