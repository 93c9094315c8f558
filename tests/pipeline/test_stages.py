"""The stages of a turn, each by what its request and its result say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.pipeline.chain import ChainState
from atts.pipeline.context import Context
from atts.pipeline.settings import ChainSettings
from atts.pipeline.stages import Asked, Scored
from atts.seeds import derive
from atts.types import Chunk, Decision, Finish, Generation, Message, Piece, Role, Sampling, Span, TokenIds, Usage

from .conftest import Bench, jobs


class Seeds(ScriptedEngine):
    """Remembers the seeds that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds: list[int | None] = []

    async def generate(self, prefix: TokenIds, *, seed: int | None = None, **others: Any) -> Generation:
        self.seeds.append(seed)
        return await super().generate(prefix, seed=seed, **others)


async def chain_of(bench: Bench, *, shared: bool = True) -> ChainState:
    engines = {Role.DRAFT: bench.draft, Role.TARGET: bench.target}
    prompts = {role: await engine.render([Message("user", "?")]) for role, engine in engines.items()}
    return ChainState("p", 3, 0, Context(engines, prompts, shared), bench.recipe, bench.recipe.answer(False))


async def test_what_is_written_in_one_turn_for_different_purposes_has_different_seeds() -> None:
    bench = Bench(Seeds(), Seeds(), seed=5)
    chain = await chain_of(bench)
    await bench.stages.draft(chain)
    for number in range(3):
        await bench.stages.write(chain, Role.DRAFT, purpose=f"redraw {number}")
    await bench.stages.takeover(chain)
    assert isinstance(bench.draft, Seeds) and isinstance(bench.target, Seeds)
    assert bench.draft.seeds == [
        derive(5, "p", 3, 0, "draft", *more) for more in ((), *((f"redraw {n}",) for n in range(3)))
    ]
    assert bench.target.seeds == [derive(5, "p", 3, 0, "takeover")]
    assert len({*bench.draft.seeds, *bench.target.seeds}) == 5


class Shifted(ScriptedEngine):
    """Another vocabulary: the same bytes under other numbers."""

    async def tokenize(self, text: str) -> list[int]:
        return [256 + byte for byte in text.encode()]

    async def detokenize(self, ids: TokenIds) -> str:
        return bytes(token - 256 for token in ids).decode(errors="replace")

    async def render(self, messages: Sequence[Message]) -> list[int]:
        return [256]


async def test_the_drafts_log_probabilities_count_only_for_the_tokens_that_the_target_reads() -> None:
    draft = Piece(Role.DRAFT, "abc", tuple(b"abc"), Finish.LENGTH, Usage(), Span(0, 0, 0), (-0.1, -0.2, -0.3))

    async def scored(target: ScriptedEngine, *, shared: bool) -> Scored:
        bench = Bench(target=target)
        return await bench.stages.score(await chain_of(bench, shared=shared), draft)

    same, other = await scored(ScriptedEngine(), shared=True), await scored(Shifted(), shared=False)
    assert "log_likelihood_ratio" in same.scores
    assert "log_likelihood_ratio" not in other.scores and "log_perplexity" in other.scores


class Listening:
    """A calibrator that remembers the chunks which it is asked about."""

    def __init__(self, bench: Bench) -> None:
        self._real = bench.calibrator
        self.chunks: list[Chunk] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def decide(self, chunk: Chunk, score: float | None, u: float) -> Decision:
        self.chunks.append(chunk)
        return self._real.decide(chunk, score, u)


async def test_only_last_chunks_that_are_short_are_marked_so() -> None:
    """A long last chunk, a short one in the middle, and chunks that a stop string cuts are compared with all others."""

    async def marked(text: str, settings: ChainSettings) -> list[bool]:
        def write(said: str, seed: int) -> str:
            return text.removeprefix(said)

        bench = Bench(*(ScriptedEngine(Script(write=write)) for _ in range(2)), settings=settings, rate=0.0)
        listening = Listening(bench)
        bench.recipe = replace(bench.recipe, calibrator=listening)
        await bench.run(jobs(1, 1))
        return [chunk.short for chunk in listening.chunks]

    cut = ChainSettings(draft_tokens=50, on_reject="replace", short_chunk=20)
    assert await marked("x" * 110, cut) == [False, False, True]
    assert await marked("x" * 130, cut) == [False, False, False]
    assert await marked("x" * 119, cut) == [False, False, True]
    assert await marked("x" * 120, cut) == [False, False, False]
    assert await marked("x" * 60, replace(cut, draft_tokens=10)) == [False] * 5 + [True]
    assert await marked("x" * 110, replace(cut, stop=("\n\n",))) == [False, False, False]


async def test_a_question_costs_its_prompt_and_one_token() -> None:
    bench = Bench(target=ScriptedEngine(Script(write=steps(3))))
    chain = await chain_of(bench)
    messages = [Message("user", "is it?"), Message("assistant", "It ")]
    asked = await bench.stages.ask(chain, messages, 3)
    prompt = len(await bench.target.render(messages))
    assert isinstance(asked, Asked) and asked.usage == Usage(prompt=prompt, completion=1)
    assert asked.likeliest == [("S", 0.0)]


async def test_sampling_is_the_chains_and_heat_is_asked_for() -> None:
    class Heard(ScriptedEngine):
        sampled: Sampling | None = None

        async def generate(self, prefix: TokenIds, *, sampling: Sampling, **others: Any) -> Generation:
            self.sampled = sampling
            return await super().generate(prefix, sampling=sampling, **others)

    settings = ChainSettings(draft_sampling=Sampling(0.5, 0.9, 7), target_sampling=Sampling(0.1))
    bench = Bench(Heard(), Heard(), settings=settings)
    chain = await chain_of(bench)
    await bench.stages.draft(chain)
    await bench.stages.takeover(chain)
    assert isinstance(bench.draft, Heard) and isinstance(bench.target, Heard)
    assert (bench.draft.sampled, bench.target.sampled) == (Sampling(0.5, 0.9, 7), Sampling(0.1))
    await bench.stages.write(chain, Role.DRAFT, temperature=1.5)
    assert bench.draft.sampled == Sampling(1.5, 0.9, 7)
