"""A real language model (SmolLM2-135M-Instruct) in process: what a vocabulary of 49,152 byte-level tokens can break."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from atts import bundled
from atts.engines.base import Engine
from atts.engines.local import LocalEngine
from atts.grading.extract import extractor
from atts.pipeline.chain import ChainState
from atts.pipeline.context import Context, render_prompt
from atts.pipeline.recipe import Recipe
from atts.pipeline.settings import ChainSettings, SlotSettings
from atts.pipeline.stages import Stages
from atts.pipeline.strategies import strategy_named
from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.types import Finish, Message, Role, Sampling, Turn

pytestmark = [pytest.mark.real_model, pytest.mark.asyncio(loop_scope="module")]

GREEDY = Sampling(temperature=0)
START, END = 1, 2  # <|im_start|> and <|im_end|>
CAPITAL = [Message("user", "What is the capital of France? Answer in one short sentence.")]
SIGNS = "👩‍🔬 漢字 é 🎉 क्षि "  # several tokens a character, characters that join, accents that combine
COPY = [Message("user", "Repeat these signs again and again."), Message("assistant", SIGNS * 4)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model(real_model: Path) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(str(real_model))
    yield engine
    await engine.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other() -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(str(bundled.TARGET))
    yield engine
    await engine.close()


async def test_a_chat_begins_once_and_ends_where_the_answer_begins(model: LocalEngine) -> None:
    ids = await model.render(CAPITAL)
    assert ids[:4] == [START, 9690, 198, 2683]  # no second token for the beginning of the text
    assert ids[-5:] == [198, START, 520, 9531, 198] and ids.count(START) == 3
    begun = await model.render([*CAPITAL, Message("assistant", "The capital")])
    assert begun == [*ids, *await model.tokenize("The capital")]


async def test_texts_go_round(model: LocalEngine) -> None:
    for text in ("Größe, naïve – 12345", SIGNS, "\n\n  x = {\\frac{1}{2}}\n", " leading and trailing "):
        ids = await model.tokenize(text)
        assert await model.detokenize(ids) == text
        assert START not in ids


async def test_an_answer_ends_with_the_turn(model: LocalEngine) -> None:
    written = await model.generate(await model.render(CAPITAL), max_tokens=60, sampling=GREEDY)
    assert written.finish is Finish.END
    assert "Paris" in written.text and "<|" not in written.text
    assert END not in written.ids and written.text == await model.detokenize(written.ids)


async def test_perplexity_is_that_of_a_language_model(model: LocalEngine) -> None:
    prefix = await model.render(CAPITAL)

    async def perplexity(text: str) -> float:
        values = (await model.score(prefix, await model.tokenize(text))).log_probabilities
        return math.exp(-sum(values) / len(values))

    right, odd = (
        await perplexity("The capital of France is Paris."),
        await perplexity("Paris France the of capital is."),
    )
    assert 1 < right < 3 < 100 < odd
    written = await model.generate(prefix, max_tokens=12, sampling=Sampling(0.8), seed=5)
    read = await model.score(prefix, written.ids)
    # Alike up to bfloat16, which the weights may have: eight bits of a number.
    assert read.log_probabilities == pytest.approx(written.log_probabilities, abs=0.2)


async def chain_of(engines: dict[Role, Engine], settings: ChainSettings, messages: list[Message]) -> tuple[Any, Any]:
    """A chain of `atts` on these engines with everything taken over that can be, by halves, and its turns."""
    calibrator = make_calibrator(CalibratorSettings(name="coin", rate=0.5))
    recipe = Recipe(calibrator, lambda thinking: extractor("boxed", thinking=thinking), settings, seed=1)
    stages = Stages(engines, SlotSettings(), lambda: 0.0)
    shared = len({(await engine.info()).vocabulary for engine in engines.values()}) == 1
    prompt = await render_prompt(engines, messages)
    context = Context(engines, prompt.ids, shared)
    chain = ChainState("p", 0, 0, context, recipe, recipe.answer(False))
    turns: list[Turn] = []
    while not chain.finished:
        turn = await strategy_named("atts").turn(chain, stages)
        assert turn is not None
        turns.append(turn)
        chain.complete(turn)
    return chain, turns


@pytest.mark.parametrize("on_reject", ["continue", "replace"])
async def test_characters_are_whole_however_chunks_cut_them(model: LocalEngine, on_reject: Any) -> None:
    settings = ChainSettings(
        turns=8, draft_tokens=2, target_tokens=3, on_reject=on_reject, draft_sampling=GREEDY, target_sampling=GREEDY
    )
    chain, turns = await chain_of({Role.DRAFT: model, Role.TARGET: model}, settings, COPY)
    written = chain.context.written(Role.DRAFT)
    assert written == chain.context.written(Role.TARGET)
    whole = await model.detokenize(written)
    assert chain.text == whole[: len(chain.text)] and whole[len(chain.text) :].strip("\ufffd") == ""
    assert "\ufffd" not in chain.text and any(ord(sign) > 0x2000 for sign in chain.text)
    assert chain.text == "".join(piece.text for turn in turns for piece in turn.kept)
    pieces = [await model.detokenize(piece.ids) for turn in turns for piece in turn.kept]
    assert "\ufffd" in "".join(pieces)  # decoded one by one they are broken


@pytest.mark.parametrize("on_reject", ["continue", "replace"])
async def test_text_is_exchanged_with_a_model_of_another_vocabulary(
    model: LocalEngine, other: LocalEngine, on_reject: Any
) -> None:
    settings = ChainSettings(turns=4, draft_tokens=6, target_tokens=5, on_reject=on_reject, draft_sampling=GREEDY)
    engines: dict[Role, Engine] = {Role.DRAFT: model, Role.TARGET: other}
    chain, turns = await chain_of(engines, settings, COPY)
    assert {piece.author for turn in turns for piece in turn.kept} == set(Role)
    assert chain.text == "".join(piece.text for turn in turns for piece in turn.kept)
    for role, engine in engines.items():
        text = await engine.detokenize(chain.context.written(role))
        assert text.replace("\ufffd", "") == chain.text.replace("\ufffd", "")
    assert any(turn.scores for turn in turns)
