from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.errors import InputError
from atts.pipeline.settings import ChainSettings
from atts.pipeline.strategies import strategy_named
from atts.pipeline.strategies.specreason import SpecReason
from atts.types import Message, Role, Status, TokenIds, Turn

from .conftest import Bench, jobs

Distribution = list[tuple[int, float]]


class Grading(ScriptedEngine):
    """A target whose next token is up to a function of the chat that it is shown."""

    def __init__(self, grade: Callable[[str], Distribution], script: Script | None = None) -> None:
        super().__init__(script)
        self.grade = grade
        self.chats: list[Sequence[Message]] = []

    async def render(self, messages: Sequence[Message]) -> list[int]:
        if len(messages) > 1:
            self.chats.append(messages)
        return await super().render(messages)

    async def next_token(self, prefix: TokenIds, *, top: int, **others: object) -> list[tuple[int, float]]:
        await self._request("next_token", len(prefix))
        return self.grade(bytes(prefix).decode(errors="replace"))[:top]


def digit(value: int) -> Distribution:
    return [(ord(str(value)), -0.1)]


def bench(target: ScriptedEngine, answer: str = "draft", **options: Any) -> Bench:
    draft = ScriptedEngine(Script(write=steps(4, answer=answer)))
    return Bench(draft, target, strategy="specreason", options=options)


def grades_step_two_low(chat: str) -> Distribution:
    said = chat.partition("<assistant>")[2].partition("<user>")[0]
    return digit(3 if said.count("Step") == 2 and "answer" not in said else 8)


async def test_low_steps_are_written_by_the_target() -> None:
    target = Grading(grades_step_two_low, Script(write=steps(4, answer="target")))
    made = bench(target)
    await made.run(jobs(2, 3))
    assert {c.answer for c in made.chains} == {"draft"}
    for turn in made.turns:
        low = turn.turn == 1
        assert turn.scores == {"grade": 3.0 if low else 8.0}
        assert [piece.author for piece in turn.kept] == [Role.TARGET if low else Role.DRAFT]
        assert turn.replaced is low and (turn.takeover is not None) is low
        assert turn.scoring is not None and turn.scored.prompt > 0
    assert made.at_rest()


async def test_the_target_is_shown_the_problem_and_the_reasoning_up_to_the_digit() -> None:
    target = Grading(lambda chat: digit(9))
    await bench(target).run(jobs(1, 1))
    problem, reasoning, question, reply = target.chats[1]
    assert problem == Message("user", "question 0")
    assert reasoning.role == "assistant" and reasoning.content.count("Step") == 2
    assert question.role == "user" and "digit" in question.content
    assert reply.role == "assistant" and reply.content.endswith("{")


@pytest.mark.parametrize(
    ("method", "distribution", "grade"),
    [
        ("greedy", [(ord("7"), -0.5), (ord("2"), -1.0)], 7.0),
        ("greedy", [(ord("x"), -0.5), (ord("2"), -1.0)], None),
        ("average", [(ord("x"), -0.1), (ord("4"), -2.0), (ord("8"), -2.0)], 6.0),
        ("average", [(ord("x"), -0.1)], None),
    ],
)
async def test_grades(method: str, distribution: Distribution, grade: float | None) -> None:
    made = bench(Grading(lambda chat: distribution), score_method=method)
    await made.run(jobs(1, 1))
    assert all(turn.scores == ({} if grade is None else {"grade": pytest.approx(grade)}) for turn in made.turns)
    if grade is None:  # no grade is no approval
        assert all(turn.replaced for turn in made.turns)


def test_digits_of_tokens() -> None:
    assert SpecReason()._digit(" 7") == "7"
    assert SpecReason(compat="reference")._digit(" 7") == ""
    assert [SpecReason()._digit(text) for text in ("²", "12", "", "a")] == ["", "", "", ""]


async def test_the_target_writes_the_first_steps_alone() -> None:
    made = bench(Grading(lambda chat: digit(9)), first_n_steps_base_model=2)
    await made.run(jobs(1, 2))
    assert all((turn.draft is None) is (turn.turn < 2) for turn in made.turns)


async def test_a_budget_ends_the_chain() -> None:
    made = bench(Grading(lambda chat: digit(9)), token_budget=15)
    await made.run(jobs(1, 2))
    assert {(c.status, c.reason, c.turns) for c in made.chains} == {(Status.DONE, "budget", 2)}
    assert made.turns[-1].ended == "budget"
    resumed = bench(Grading(lambda chat: digit(9)), token_budget=15)
    await resumed.run(jobs(1, 1, {("p0", 0): [t for t in made.turns if t.sample == 0]}))
    assert not resumed.turns and resumed.chains[0].reason == "budget"


async def test_a_repeated_step_ends_the_chain_and_blank_ones_only_in_the_published_way() -> None:
    for text, compat, reason in (
        ("Hm.\n\n", "none", "repeat"),
        ("\n\n", "none", "turns"),
        ("\n\n", "reference", "repeat"),
    ):
        draft = ScriptedEngine(Script(write=lambda said, seed, text=text: text + "x"))
        made = Bench(draft, Grading(lambda chat: digit(9)), strategy="specreason", options={"compat": compat})
        await made.run(jobs(1, 1))
        assert made.chains[0].reason == reason
        assert reason != "repeat" or made.chains[0].turns == 3


async def test_steps_as_published() -> None:
    """No end of text, thinking never closed, "Answer:" anywhere ends."""

    def write(said: str, seed: int) -> str:
        return "First</think>." if not said else "Then.\n\n" if said.count("\n\n") == 1 else "My Answer: 3 or so"

    made = Bench(
        ScriptedEngine(Script(write=write)),
        Grading(lambda chat: digit(9)),
        strategy="specreason",
        options={"compat": "reference"},
    )
    await made.run(jobs(1, 1))
    assert made.chains[0].text == "First.\n\nThen.\n\nMy Answer: 3 or so\n\n"
    assert made.chains[0].reason == "answer"


async def test_in_the_published_way_thinking_is_closed_by_steps_of_the_target_alone() -> None:
    made = Bench(
        ScriptedEngine(Script(write=lambda said, seed: "Draft</think>.\n\n")),
        Grading(lambda chat: digit(9), Script(write=lambda said, seed: "Target</think>.\n\n")),
        strategy="specreason",
        options={"compat": "reference", "first_n_steps_base_model": 1},
        settings=ChainSettings(turns=2),
    )
    await made.run(jobs(1, 1))
    assert made.chains[0].text == "Target</think>.\n\nDraft.\n\n"


def test_options_are_checked_and_named() -> None:
    assert strategy_named("specreason", {"score_threshold": 9}) == SpecReason(score_threshold=9.0)
    with pytest.raises(InputError, match=r"options.score_threshold = 11"):
        strategy_named("specreason", {"score_threshold": 11})
    with pytest.raises(InputError, match=r"no option 'threshold' .*did you mean 'score_threshold'.*token_budget"):
        strategy_named("specreason", {"threshold": 3})


async def test_resuming_in_mid_chain_goes_on_as_if_nothing_had_happened() -> None:
    whole = bench(Grading(grades_step_two_low))
    await whole.run(jobs(1, 2))
    first: dict[tuple[str, int], list[Turn]] = {("p0", 0): whole.turns[:1] if whole.turns[0].sample == 0 else []}
    rest = bench(Grading(grades_step_two_low))
    await rest.run(jobs(1, 2, first))
    assert sorted(c.text for c in rest.chains) == sorted(c.text for c in whole.chains)
