from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from atts.config.run import resolve
from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.errors import InputError, ScoreError
from atts.pipeline.settings import SlotSettings
from atts.types import Generation, Role, Sampling, Scoring, Status, TokenIds, Turn

from .conftest import Bench, jobs


class Hot(ScriptedEngine):
    """Remembers the temperatures that it was asked to write at."""

    def __init__(self, script: Script | None = None) -> None:
        super().__init__(script)
        self.temperatures: list[float] = []

    async def generate(self, prefix: TokenIds, *, sampling: Sampling, **others: object) -> Generation:
        self.temperatures.append(sampling.temperature)
        return await super().generate(prefix, sampling=sampling, **others)  # type: ignore[arg-type]


def bench(draft: ScriptedEngine | None = None, **options: object) -> Bench:
    return Bench(draft, strategy="atts-self", options=options, rate=0.3)


async def test_a_rejected_chunk_is_drawn_again_and_the_least_strange_draw_stands() -> None:
    made = bench(redraws=3)
    await made.run(jobs(6, 6))
    rejected = [turn for turn in made.turns if turn.decision is not None and turn.decision.rejected]
    assert rejected and any(turn.replaced for turn in rejected)
    assert {len(turn.written) for turn in rejected} == {2, 3, 4}  # as soon as a draw is accepted, no more are made
    for turn in rejected:
        assert len(turn.kept) == 1
        strangeness = [-sum(p.log_probabilities or ()) / len(p.ids) for p in turn.written]
        # A draw that was accepted stands; where none was, the least strange of all.
        assert turn.replaced or (len(turn.written) == 4 and strangeness[0] == min(strangeness))
    assert made.target.requests == 0 and all(turn.takeover is None for turn in made.turns)
    assert {piece.author for turn in made.turns for piece in turn.written} == {Role.DRAFT}
    assert made.at_rest()


async def test_a_coin_takes_the_draw_that_it_accepts() -> None:
    """Whatever the scores say: the control of atts-self is blind too."""
    made = Bench(strategy="atts-self", calibrator="coin", rate=0.5)
    await made.run(jobs(8, 6))
    accepted = [t for t in made.turns if t.decision and t.decision.rejected and len(t.written) < 4]
    assert accepted
    assert all(turn.replaced and turn.kept == turn.more for turn in accepted)


async def test_redraws_are_as_hot_as_asked_for() -> None:
    engine = Hot()
    made = bench(engine, temperature=1.5)
    await made.run(jobs(4, 4))
    redraws = sum(len(turn.written) - 1 for turn in made.turns)
    assert engine.temperatures.count(1.5) == redraws > 0


async def test_a_fork_takes_everything_from_the_best_sibling() -> None:
    engine = Hot(Script(write=steps(8), delay=lambda call, seed: 0.0005 * (seed % 5)))
    made = bench(engine, remedy="fork", temperature=1.3)
    await made.run(jobs(4, 6))
    forks = [turn for turn in made.turns if turn.anew]
    assert forks and engine.temperatures.count(1.3) > 0
    for fork in forks:
        assert [piece.usage.completion for piece in fork.more] == [0]
        assert fork.notes["forked"] == 1
    assert {chain.status for chain in made.chains} == {Status.DONE}
    by_chain: dict[tuple[str, int], str] = {}
    for turn in made.turns:
        before = "" if turn.anew else by_chain.get((turn.problem, turn.sample), "")
        by_chain[turn.problem, turn.sample] = before + "".join(piece.text for piece in turn.kept)
    assert by_chain == {(c.problem, c.sample): c.text for c in made.chains}


async def test_a_forked_chain_resumes_from_its_turns_alone() -> None:
    slow = Script(write=steps(8), delay=lambda call, seed: 0.001 * (seed % 5))
    first = Bench(ScriptedEngine(slow), strategy="atts-self", options={"remedy": "fork"}, rate=0.5)
    running = asyncio.create_task(first.run(jobs(3, 6)))
    await first.until(lambda: any(turn.anew for turn in first.turns))
    first.pool.stop()
    await running
    made: dict[tuple[str, int], list[Turn]] = {}
    for turn in first.turns:
        made.setdefault((turn.problem, turn.sample), []).append(turn)
    ended = {(c.problem, c.sample) for c in first.chains}
    second = bench(remedy="fork")
    await second.run([job for job in jobs(3, 6, made) if job.key not in ended])
    assert len(first.chains) + len(second.chains) == 18
    for chain in second.chains:
        turns = [t for t in first.turns + second.turns if (t.problem, t.sample) == (chain.problem, chain.sample)]
        last = max((n for n, turn in enumerate(turns) if turn.anew), default=0)
        assert chain.text == "".join(piece.text for turn in turns[last:] for piece in turn.kept)


class Mute(ScriptedEngine):
    """Does not say how likely it found what it wrote."""

    async def generate(self, prefix: TokenIds, **others: object) -> Generation:
        return replace(await super().generate(prefix, **others), log_probabilities=None)  # type: ignore[arg-type]


async def test_an_engine_that_writes_without_log_probabilities_reads_what_it_wrote() -> None:
    made = Bench(Mute(), strategy="atts-self", slots=SlotSettings(chains=4))
    await made.run(jobs(2, 4))
    assert {c.status for c in made.chains} == {Status.DONE} and made.at_rest()
    decisions = [turn.decision for turn in made.turns if turn.decision is not None]
    assert all(decision.p_value is not None for decision in decisions) and any(d.rejected for d in decisions)
    assert made.target.requests == 0
    assert all(turn.scored.prompt > 0 for turn in made.turns if turn.decision is not None)


async def test_a_chunk_that_cannot_be_read_is_never_ranked() -> None:
    class Blind(Mute):
        async def score(self, prefix: TokenIds, continuation: TokenIds, **others: object) -> Scoring:
            raise ScoreError("no log-probabilities")

    made = Bench(Blind(), strategy="atts-self", slots=SlotSettings(chains=4))
    await made.run(jobs(2, 4))
    assert {c.status for c in made.chains} == {Status.DONE} and made.at_rest()
    assert all(turn.decision is None or turn.decision.p_value is None for turn in made.turns)


def test_a_score_that_compares_two_models_is_refused() -> None:
    with pytest.raises(InputError, match=r"score = log_likelihood_ratio: it compares two models, .*atts-self has one"):
        resolve(options={"strategy": "atts-self", "score": "log_likelihood_ratio"})
