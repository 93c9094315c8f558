"""What the simulated engine says is what the work says."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from atts.engines.base import Engine
from atts.engines.simulated import Mark, SimulatedEngine
from atts.engines.simulated.clock import run_virtually
from atts.engines.simulated.hardware import Machine
from atts.engines.simulated.server import Server
from atts.engines.simulated.work import ChainShape, Recorded, Steps, TurnShape, Typical, Work
from atts.errors import EngineError, InputError, ScoreError
from atts.types import Finish, Generation, Message, Role, Sampling

SHAPES = [
    [
        ChainShape((TurnShape(20, 1.5, 9, True), TurnShape(12, 2.0, 0, True)), "7"),
        ChainShape((TurnShape(30, 1.2, 5), TurnShape(8, 1.1, 5)), None),
    ]
]
WORK = Recorded(SHAPES, samples=2, prompt=10, fixed=True)


def engine(role: Role, work: Work = WORK, *, continues: bool = True) -> SimulatedEngine:
    return SimulatedEngine(role, Server(Machine.named("8b@h100")), work, continues=continues)


async def write(
    asked: SimulatedEngine,
    prefix: list[int],
    sample: int,
    most: int = 500,
    stop: tuple[str, ...] = (),
) -> Generation:
    return await asked.generate(prefix, max_tokens=most, sampling=Sampling(), stop=stop, chain=("0", sample))


def test_it_is_an_engine() -> None:
    assert isinstance(engine(Role.DRAFT), Engine)


def test_a_chain_is_told_through_by_its_token_ids() -> None:
    async def main() -> None:
        draft, target = engine(Role.DRAFT), engine(Role.TARGET)
        context = await draft.render([Message("user", "0")])
        assert len(context) == 10
        first = await write(draft, context, 0)
        assert (len(first.ids), first.finish, first.usage.completion) == (20, Finish.LENGTH, 20)
        scoring = await target.score(context, first.ids)
        assert len(scoring.log_probabilities) == 20
        assert math.exp(-scoring.log_probabilities[0]) == pytest.approx(1.5)
        context += first.ids
        takeover = await write(target, context, 0)
        assert (len(takeover.ids), takeover.finish) == (9, Finish.LENGTH)
        assert takeover.usage.cached == 29  # one token is always read
        context += takeover.ids
        last = await write(draft, context, 0)
        assert (len(last.ids), last.finish, last.text) == (12, Finish.LENGTH, "")  # the record goes on with a takeover
        context += last.ids
        end = await write(target, context, 0)
        assert (end.ids, end.finish, end.text) == ((), Finish.END, r"\boxed{7}")

    run_virtually(main())


def test_the_key_tells_which_sample_a_first_request_is() -> None:
    async def main() -> None:
        draft = engine(Role.DRAFT)
        prompt = await draft.render([Message("user", "0")])
        lengths = [len((await write(draft, prompt, sample)).ids) for sample in (1, 0)]
        assert lengths == [30, 20]
        for wrong in (None, ("1", 0), ("0", "0"), "0"):
            with pytest.raises(EngineError, match="names no sample of it"):
                await draft.generate(prompt, max_tokens=5, sampling=Sampling(), chain=wrong)

    run_virtually(main())


def test_a_replacement_is_of_the_turn_that_comes_next() -> None:
    async def main() -> None:
        accepted = Mark(0, 1, 0, 2).token()  # the draft's first chunk stands
        for continues, finish in ((False, Finish.END), (True, Finish.LENGTH)):
            target = engine(Role.TARGET, continues=continues)
            prefix = [*await target.render([Message("user", "0")]), accepted]
            assert (await write(target, prefix, 1)).finish is finish

    run_virtually(main())


def test_what_it_does_not_know_is_an_error() -> None:
    async def main() -> None:
        draft = engine(Role.DRAFT)
        for wrong in ("1", "x", "-1"):
            with pytest.raises(InputError, match="know problems 0 to 0"):
                await draft.render([Message("user", wrong)])
        with pytest.raises(EngineError, match="only what simulated engines have written"):
            await draft.generate([0, 4], max_tokens=5, sampling=Sampling(), seed=1)
        with pytest.raises(ScoreError):
            await draft.score([0], [])
        with pytest.raises(EngineError, match="only what simulated engines have written"):
            await draft.next_token([0], top=1)

    run_virtually(main())


def test_typical_chains_are_the_same_whenever_they_are_asked_for() -> None:
    work, again = Typical(count=200, seed=3), Typical(count=200, seed=3)
    shapes = {(problem, sample): work.shape(problem, sample) for problem in range(200) for sample in range(16)}
    assert all(again.shape(*key) == shapes[key] for key in reversed(shapes))
    counts = [len(shape.turns) for shape in shapes.values()]
    assert max(counts) <= 15
    assert sum(counts) / len(counts) == pytest.approx(3.8, abs=0.6)


def test_typical_answers_agree_as_often_as_they_should() -> None:
    work = Typical(count=2000, agreement=0.7)
    counts = Counter(work.shape(problem, 0).answer for problem in range(2000))
    assert counts["0"] / 2000 == pytest.approx(0.7, abs=0.03)
    assert counts.keys() == {"0", "1", "2", "3", "4", "5"}


def test_steps_hold_as_much_as_stands() -> None:
    fixed = Steps(WORK, 16).shape(0, 0)
    assert [turn.draft for turn in fixed.turns] == [16, 16, 9]  # 20 + 9 + 12 + 0
    assert [turn.taken for turn in fixed.turns] == [False, True, False]  # token 24 is the target's in the record
    assert [turn.perplexity for turn in fixed.turns] == [1.5, 1.5, 2.0]
    free = Steps(Recorded(SHAPES, 2), 16, rate=0.5).shape(0, 0)
    assert sum(turn.takeover for turn in free.turns) == 20 + 12 + round(0.5 * 9)
    assert Steps(Recorded(SHAPES, 2), 16, rate=1.0).shape(0, 0).turns[0].taken
    replaced = Steps(Recorded(SHAPES, 2), 16, rate=0.5, continues=False).shape(0, 0)
    assert sum(turn.draft for turn in replaced.turns) == 20 + 12


def test_a_chunk_without_a_token_has_one_if_the_chain_goes_on() -> None:
    turns = (TurnShape(0, 1.5, 5), TurnShape(0, 1.5, 0, True), TurnShape(0, 1.5, 5))
    work = Recorded([[ChainShape(turns, "7")]], 1, prompt=10, fixed=True)

    async def main() -> None:
        draft, target = engine(Role.DRAFT, work), engine(Role.TARGET, work)
        replacing = engine(Role.TARGET, work, continues=False)
        context = await draft.render([Message("user", "0")])
        for turn in (0, 1):
            piece = await write(draft, context, 0)
            assert (len(piece.ids), piece.finish) == (1, Finish.LENGTH)
            replacement = await write(replacing, context, 0)
            assert len(replacement.ids) == (5, 1)[turn]
            context += piece.ids
        assert (await write(target, context, 0)).ids == ()  # after the chunk nothing is lost
        end = await write(draft, context, 0)
        assert (end.ids, end.finish, end.text) == ((), Finish.END, r"\boxed{7}")

    run_virtually(main())


def test_a_last_chunk_that_is_cut_ends_all_the_same() -> None:
    async def main() -> None:
        draft = engine(Role.DRAFT, Recorded(SHAPES, 2, prompt=10))
        context = [*await draft.render([Message("user", "0")]), Mark(0, 0, 0, 2).token()]
        end = await write(draft, context, 0, most=5)
        assert (len(end.ids), end.finish, end.text) == (5, Finish.END, r"\boxed{7}")

    run_virtually(main())


def test_a_step_goes_on_where_somebody_began_it_and_tells_of_itself() -> None:
    work = Steps(WORK, 16)

    async def main() -> None:
        draft, target = engine(Role.DRAFT, work), engine(Role.TARGET, work)
        context = await draft.render([Message("user", "0")])
        first = await write(draft, context, 0, stop=("\n\n",))
        assert (len(first.ids), first.finish) == (16, Finish.STOP)
        assert first.text.endswith("\n\n")
        assert first.log_probabilities == pytest.approx([-math.log(1.5)] * 16)
        context += first.ids
        peek = await write(draft, context, 0, most=5)
        assert (len(peek.ids), peek.finish, peek.text.startswith("wait ")) == (5, Finish.LENGTH, True)
        passage = await write(target, context, 0, most=5)
        assert (len(passage.ids), passage.finish) == (5, Finish.LENGTH)
        context += passage.ids
        rest = await write(draft, context, 0, stop=("\n\n",))
        assert (len(rest.ids), rest.finish) == (11, Finish.STOP)
        context += rest.ids
        end = await write(target, context, 0, most=9, stop=("\n\n",))
        assert (len(end.ids), end.finish) == (9, Finish.END)
        assert end.text.endswith(r"\boxed{7}")

    run_virtually(main())


def test_a_chat_about_a_chain_is_graded_by_the_work_and_read_from_the_cache() -> None:
    work = Steps(WORK, 16)

    async def main() -> None:
        draft, target = engine(Role.DRAFT, work), engine(Role.TARGET, work)
        prompt = await draft.render([Message("user", "0")])
        context, text, digits = list(prompt), "", []
        for _ in range(3):
            step = await write(draft, context, 0, stop=("\n\n",))
            chat = await target.render(
                [
                    Message("user", "0"),
                    Message("assistant", text + step.text),
                    Message("user", "?"),
                    Message("assistant", ""),
                ]
            )
            assert chat[: len(context) + len(step.ids)] == [*context, *step.ids]
            [(token, value)] = await target.next_token(chat, top=10)
            digits.append(await target.detokenize([token]))
            assert value == 0
            if digits[-1] == "1":
                step = await write(target, context, 0, stop=("\n\n",))
                assert step.usage.cached == len(context) - 1  # one token is always read
            context += step.ids
            text += step.text
        assert digits == ["9", "1", "9"]
        question = len(chat) - len(context)
        assert target.server.load.read == len(context) + 3 * question + 1

    run_virtually(main())


def test_redraws_of_a_first_step_are_of_its_chain() -> None:
    async def main() -> None:
        draft = engine(Role.DRAFT, Steps(WORK, 16))
        prompt = await draft.render([Message("user", "0")])
        for sample in (0, 1, 1):
            again = await write(draft, prompt, sample)
            assert Mark.of(again.ids[-1]).sample == sample

    run_virtually(main())
