from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from atts.config.run import resolve
from atts.engines.scripted import Script, ScriptedEngine
from atts.errors import InputError
from atts.pipeline.settings import ChainSettings
from atts.pipeline.strategies import strategy_named
from atts.pipeline.strategies.speculative_thinking import SpeculativeThinking
from atts.types import Role, Turn

from .conftest import Bench, jobs

CALM = "One more thing here. \n\n"


def engine(text: str) -> ScriptedEngine:
    """Always goes on with the same text, and ends it there."""
    return ScriptedEngine(Script(write=lambda said, seed: text))


def bench(draft: str, target: str, settings: ChainSettings | None = None, **options: Any) -> Bench:
    return Bench(engine(draft), engine(target), strategy="speculative-thinking", options=options, settings=settings)


async def run(draft: str, target: str, **options: Any) -> list[Turn]:
    made = bench(draft, target, **options)
    await made.run(jobs(1, 1))
    assert made.at_rest()
    return made.turns


async def test_a_calm_peek_is_dropped_and_the_draft_goes_on() -> None:
    turns = await run(CALM, "never")
    assert len(turns) == 15
    for turn in turns:
        assert turn.takeover is None and not turn.more
        assert [(piece.author, len(piece.ids)) for piece in turn.dropped] == [(Role.DRAFT, 20)]
        assert [piece.text for piece in turn.kept] == [CALM]


async def test_a_doubting_peek_hands_over_to_the_target() -> None:
    turns = await run("Wait, is that so?\n\n", "It is, as far as I can see.\n\n")
    for turn in turns:
        assert turn.draft is not None and turn.takeover is not None
        assert turn.takeover.text == "It is, as far as I can see.\n\n"[:20]
        assert [piece.author for piece in turn.kept] == [Role.DRAFT, Role.TARGET]
        assert [piece.author for piece in turn.dropped] == [Role.DRAFT]
        assert turn.notes["doubts"] == 0  # the target's words decide, and they are calm


async def test_a_check_of_the_target_goes_on() -> None:
    turns = await run("Wait, is that so?\n\n", "Let me verify that again: 3 + 4 is 7, and so on and so forth. " * 4)
    turn = turns[0]
    assert [len(piece.ids) for piece in turn.more] == [125]
    assert turn.notes["doubts"] == 1


async def test_many_doubts_make_the_target_check_everything() -> None:
    turns = await run(
        "Wait, is that so?\n\n", "Wait, hold on now, " * 20, recap_after_negative_num=2, original_recap_token_num=30
    )
    recaps = [turn for turn in turns if turn.takeover is not None and turn.takeover.text.startswith("Let me check")]
    assert [turn.turn for turn in recaps] == [2, 10]  # after 2 doubts, then after 2 + 5
    assert [recaps[0].notes[key] for key in ("doubts", "recap", "patience")] == [0, 55, 7]
    assert recaps[0].takeover is not None
    assert recaps[0].takeover.usage.completion == 30
    assert len(recaps[1].takeover.ids) - len(recaps[0].takeover.ids) == 25 if recaps[1].takeover else False


async def test_resuming_keeps_count_of_doubts() -> None:
    options: dict[str, Any] = {"recap_after_negative_num": 3, "original_recap_token_num": 30}
    whole = bench("Wait, is that so?\n\n", "Wait, hold on now, " * 20, **options)
    await whole.run(jobs(1, 1))
    rest = bench("Wait, is that so?\n\n", "Wait, hold on now, " * 20, **options)
    await rest.run(jobs(1, 1, {("p0", 0): whole.turns[:2]}))
    assert rest.chains[0].text == whole.chains[0].text


async def test_a_peek_stands_where_both_agree_and_the_small_one_is_chosen() -> None:
    (turn, *_) = await run("Wait, is that so?\n\n", "Wait, hold on now.", choose_large=False)
    assert turn.takeover is None and [piece.author for piece in turn.dropped] == [Role.TARGET]
    assert turn.kept[-1] == turn.more[0] and turn.more[0].author is Role.DRAFT
    (turn, *_) = await run("Wait, is that so?\n\n", "All is fine.", choose_large=False)
    assert turn.takeover is not None and turn.takeover.text == "All is fine."


async def test_the_target_begins_if_asked_to() -> None:
    turns = await run(CALM, "This is how I begin. " * 20, begin=True, begin_token_num=50)
    assert turns[0].draft is None and turns[0].takeover is not None and len(turns[0].takeover.ids) == 50
    assert turns[1].draft is not None


async def test_a_word_before_the_peek_is_part_of_it() -> None:
    turns = await run(CALM, "All is fine, and so it goes on.", help_think_word="Wait, ")
    assert turns[0].takeover is not None
    assert turns[0].takeover.text == "Wait, All is fine, and so "


async def test_in_the_published_way_the_word_stays_though_the_peek_is_calm() -> None:
    for compat, stays in (("none", False), ("reference", True)):
        made = bench(CALM, "never", help_think_word="Hm, ", compat=compat, settings=ChainSettings(turns=3))
        await made.run(jobs(1, 1))
        assert all(turn.takeover is None and turn.dropped for turn in made.turns)
        assert ("Hm, " in made.chains[0].text) is stays
        assert made.chains[0].text == "".join(piece.text for turn in made.turns for piece in turn.kept)


async def test_by_default_the_target_checks_after_fifteen_doubts() -> None:
    """A paragraph is a turn, so that the limit of turns which other methods have would end chains before."""
    config = resolve(preset="paper", options={"strategy": "speculative-thinking"})
    made = bench("Wait, is that so?\n\n", "Wait, hold on. " * 99, settings=replace(config.chain_settings(), turns=20))
    assert config.turns >= 1000
    await made.run(jobs(1, 1))
    assert [turn.turn for turn in made.turns if turn.takeover and turn.takeover.text.startswith("Let me")] == [15]


async def test_words_are_not_empty() -> None:
    with pytest.raises(InputError, match=r"options.trigger_tokens.0 = ''"):
        strategy_named("speculative-thinking", {"trigger_tokens": [""]})


async def test_a_cut_paragraph_and_a_budget() -> None:
    made = bench("No end to this " * 100, "never", max_tokens=600)
    await made.run(jobs(1, 1))
    assert all(turn.dropped == () for turn in made.turns)
    assert made.chains[0].reason == "budget" and made.chains[0].turns == 2


@pytest.mark.parametrize(
    ("text", "mood", "published"),
    [
        ("I am waiting", 0, -1),
        ("The eyes have it", 0, 1),
        ("Yes, yes. Wait!", 1, 1),
        ("Hold on. Yes.", -1, -1),
        ("nothing", 0, 0),
    ],
)
def test_moods(text: str, mood: int, published: int) -> None:
    assert SpeculativeThinking()._mood(text) == mood
    assert SpeculativeThinking(compat="reference")._mood(text) == published
