"""What the simulated engine says is what the work says."""

from __future__ import annotations

import math

import pytest

from atts.engines.base import Engine
from atts.engines.simulated import Mark, SimulatedEngine
from atts.engines.simulated.hardware import Machine
from atts.engines.simulated.server import Server
from atts.engines.simulated.work import Alone, ChainShape, Recorded, TurnShape, Typical
from atts.errors import EngineError, InputError, ScoreError
from atts.seeds import derive
from atts.types import Finish, Generation, Message, Role, Sampling
from atts.virtual import run_virtually

SHAPES = [
    [
        ChainShape((TurnShape(20, 1.5, 9, True), TurnShape(12, 2.0, 0, True)), "7"),
        ChainShape((TurnShape(30, 1.2, 5), TurnShape(8, 1.1, 5)), None),
    ]
]
WORK = Recorded(SHAPES, samples=2, prompt=10, fixed=True)


def engine(role: Role) -> SimulatedEngine:
    return SimulatedEngine(role, Server(Machine.named("8b@h100")), WORK)


async def write(asked: SimulatedEngine, prefix: list[int], sample: int, turn: int, stage: str) -> Generation:
    seed = derive(0, "0", sample, turn, stage)
    return await asked.generate(prefix, max_tokens=500, sampling=Sampling(), seed=seed)


def test_it_is_an_engine() -> None:
    assert isinstance(engine(Role.DRAFT), Engine)


def test_a_chain_is_told_through_by_its_token_ids() -> None:
    async def main() -> None:
        draft, target = engine(Role.DRAFT), engine(Role.TARGET)
        context = await draft.render([Message("user", "0")])
        assert len(context) == 10
        first = await write(draft, context, 0, 0, "draft")
        assert (len(first.ids), first.finish, first.usage.completion) == (20, Finish.LENGTH, 20)
        scoring = await target.score(context, first.ids)
        assert len(scoring.log_probabilities) == 20
        assert math.exp(-scoring.log_probabilities[0]) == pytest.approx(1.5)
        context += first.ids
        takeover = await write(target, context, 0, 0, "takeover")
        assert (len(takeover.ids), takeover.finish) == (9, Finish.LENGTH)
        assert takeover.usage.cached == 29  # one token is always read
        context += takeover.ids
        last = await write(draft, context, 0, 1, "draft")
        assert (len(last.ids), last.finish, last.text) == (12, Finish.LENGTH, "")  # the record goes on with a takeover
        context += last.ids
        end = await write(target, context, 0, 1, "takeover")
        assert (end.ids, end.finish, end.text) == ((), Finish.END, r"\boxed{7}")

    run_virtually(main())


def test_the_seed_tells_which_sample_a_first_request_is() -> None:
    async def main() -> None:
        draft = engine(Role.DRAFT)
        prompt = await draft.render([Message("user", "0")])
        lengths = [len((await write(draft, prompt, sample, 0, "draft")).ids) for sample in (1, 0)]
        assert lengths == [30, 20]
        with pytest.raises(EngineError, match="belongs to none of its samples"):
            await draft.generate(prompt, max_tokens=5, sampling=Sampling(), seed=1)

    run_virtually(main())


def test_a_replacement_is_of_the_turn_that_comes_next() -> None:
    async def main() -> None:
        target = engine(Role.TARGET)
        accepted = Mark(0, 1, 0, 2).token()  # the draft's first chunk stands; its second one is to be replaced
        prefix = [*await target.render([Message("user", "0")]), accepted]
        assert (await write(target, prefix, 1, 1, "takeover")).finish is Finish.END
        assert (await write(target, prefix, 1, 0, "takeover")).finish is Finish.LENGTH

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
        with pytest.raises(EngineError, match="next token"):
            await draft.next_token([0], top=1)

    run_virtually(main())


def test_typical_chains_are_the_same_whenever_they_are_asked_for() -> None:
    work, again = Typical(count=200, seed=3), Typical(count=200, seed=3)
    shapes = {(problem, sample): work.shape(problem, sample) for problem in range(200) for sample in range(16)}
    assert all(again.shape(*key) == shapes[key] for key in reversed(shapes))
    counts = [len(shape.turns) for shape in shapes.values()]
    assert max(counts) <= 15
    assert sum(counts) / len(counts) == pytest.approx(3.8, abs=0.6)


def test_one_model_alone_writes_what_stands() -> None:
    fixed = Alone(WORK, 16).shape(0, 0)
    assert [turn.draft for turn in fixed.turns] == [16, 16, 9]  # 20 + 9 + 12 + 0
    free = Alone(Recorded(SHAPES, 2), 16, rate=0.5).shape(0, 0)
    assert sum(turn.takeover for turn in free.turns) == 20 + 12 + round(0.5 * 9)
