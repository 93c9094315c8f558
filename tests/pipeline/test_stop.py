"""What ends a chain and what ends a problem, as values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from atts.engines.scripted import Script, ScriptedEngine
from atts.grading.extract import extractor
from atts.pipeline.settings import ChainSettings
from atts.pipeline.stop import Standing, StopStrings, Tokens, VoteRule, settled, usual_rules, why_over
from atts.types import Chain, Finish, Status

from .conftest import Bench

STANDING = Standing("some text", 2, 9, Finish.LENGTH, extractor("boxed"))
RULES = (*usual_rules(5), Tokens(20), StopStrings(("END", "\n\n")))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"ended": "budget"}, "budget"),
        ({"finish": Finish.END}, "end"),
        ({"text": r"so \boxed{4}"}, "answer"),
        ({"full": True}, "context"),
        ({"full": True, "turns": 0}, ""),
        ({"turns": 5}, "turns"),
        ({"tokens": 20}, "tokens"),
        ({"text": "to the END of it"}, "stop"),
        ({"ended": "budget", "finish": Finish.END, "text": r"\boxed{4}", "turns": 5}, "budget"),
        ({"finish": Finish.END, "text": r"\boxed{4}", "turns": 5, "tokens": 20}, "end"),
        ({"text": r"\boxed{4}", "turns": 5, "tokens": 20}, "answer"),
        ({"turns": 5, "tokens": 20, "text": "END"}, "turns"),
    ],
)
def test_the_first_rule_that_applies_names_the_reason(changes: dict[str, object], reason: str) -> None:
    assert why_over(RULES, replace(STANDING, **changes)) == reason  # type: ignore[arg-type]


def test_an_answer_is_settled_if_nothing_that_follows_would_change_it() -> None:
    choice, hashes = extractor("choice"), extractor("hashes")
    assert not settled(choice, "Answer: B") and settled(choice, "Answer: B\n")
    assert not settled(hashes, "#### 18") and settled(hashes, "#### 18\n")
    assert not settled(hashes, "no answer")


async def test_a_stop_string_is_found_across_turns_and_ends_the_chain_on_resume_too() -> None:
    engine = ScriptedEngine(Script(write=lambda said, seed: "Step 1, Step 2, Step 3".removeprefix(said)))
    bench = Bench(engine, engine, settings=ChainSettings(draft_tokens=4, on_reject="replace"), rate=0.0)
    recipe = replace(bench.recipe, stop=(StopStrings(("Step 2",)),))
    async with bench.pool as pool:
        chain = await pool.submit(bench.job("p", recipe=recipe))
    assert chain is not None and (chain.reason, chain.text) == ("stop", "Step 1, Step 2, ")
    again = Bench()
    async with again.pool as pool:
        resumed = await pool.submit(again.job("p", turns=bench.turns, recipe=replace(recipe, emit=again.recipe.emit)))
    assert not again.turns and resumed is not None and (resumed.reason, resumed.text) == ("stop", chain.text)


def chain(answer: str | None, status: Status = Status.DONE) -> Chain:
    return Chain("p", 0, status, "", 1, "", answer, 0.0, 1.0)


def test_a_vote_counts_what_earlier_sessions_came_to() -> None:
    rule = VoteRule(5, "exact", key=lambda answer: answer.removesuffix(".0"))
    earlier = [chain("7"), chain("7.0"), chain(None, Status.ERROR), chain("8", Status.CANCELLED)]
    count = rule.count(earlier)
    assert not count.over  # two of five, three may still come to another answer
    assert count.ended(chain("7")) == "the vote is decided" == count.over
    assert rule.count([*earlier, chain("7")]).over
    assert rule.decided_after(["7", "7.0", "8", "7"]) == 4


def test_off_is_over_when_all_samples_are() -> None:
    rule = VoteRule(3)
    assert (rule.early, VoteRule(3, "exact").early) == (False, True)
    assert not rule.count([chain("1")] * 2).over and rule.count([chain("1")] * 3).over
