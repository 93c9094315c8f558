"""The stages of a turn on two engines: slots, seeds, timing. What a strategy is written in terms of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from atts.engines.base import Engine
from atts.errors import ScoreError
from atts.events import Decided, StageEnded, StageQueued, StageStarted
from atts.pipeline.chain import ChainState
from atts.pipeline.settings import SlotSettings
from atts.pipeline.slots import Slots
from atts.seeds import derive, uniform
from atts.stats.scores import raw_scores
from atts.types import Chunk, Decision, Message, Piece, Role, Span, Stage, Usage

WRITES = {Role.DRAFT: Stage.DRAFT, Role.TARGET: Stage.TAKEOVER}
"""The stage in which each of the two writes."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What came of scoring a chunk: every raw score by name (none if it could not be scored), and the cost."""

    scores: Mapping[str, float]
    usage: Usage
    span: Span


@dataclass(frozen=True, slots=True)
class Asked:
    """The likeliest next tokens with their log-probabilities, and the cost.

    Engines do not say how much of the chat they had in their cache, so all of it counts as prompt.
    """

    likeliest: Sequence[tuple[str, float]]
    usage: Usage
    span: Span


@dataclass(slots=True)
class _Timer:
    """The span of a stage in the making."""

    ready: float
    start: float = 0.0
    tokens: int = 0
    ends: list[float] = field(default_factory=list)


class Stages:
    """Draft, score, decide, take over: for any chain, each within the slots of its stage.

    What differs between chains is read from the chain's recipe: lengths, sampling, seed, calibrator, who hears of it.
    """

    def __init__(self, engines: Mapping[Role, Engine], slots: SlotSettings, clock: Callable[[], float]) -> None:
        self.engines = engines
        self.clock = clock
        self.slots = {stage: Slots(slots.limit(stage)) for stage in Stage}

    async def draft(self, chain: ChainState) -> Piece:
        """The draft writes the next chunk. Nothing is appended yet."""
        return await self.write(chain, Role.DRAFT)

    async def takeover(self, chain: ChainState) -> Piece:
        """The target writes what comes next. Nothing is appended yet."""
        return await self.write(chain, Role.TARGET)

    async def write(
        self,
        chain: ChainState,
        role: Role,
        *,
        limit: int | None = None,
        stop: Sequence[str] | None = None,
        temperature: float | None = None,
        lead: str = "",
        purpose: str = "",
    ) -> Piece:
        """One of the two writes after what stands; by default as the settings say. Nothing is appended yet.

        `lead` is put before it and is part of the piece. `purpose` tells apart what one model writes in one turn.
        """
        settings = chain.recipe.settings
        stage = WRITES[role]
        sampling = settings.sampling(role)
        sampling = sampling if temperature is None else replace(sampling, temperature=temperature)
        leading = await self.tokenize(role, lead) if lead else ()
        # The context itself, not a copy: a server's engine writes out only what is new of it.
        prefix = [*chain.context.ids(role), *leading] if leading else chain.context.ids(role)
        parts = (stage.value, purpose) if purpose else (stage.value,)
        async with self._stage(chain, stage) as timer:
            written = await self.engines[role].generate(
                prefix,
                max_tokens=settings.tokens(role) if limit is None else limit,
                sampling=sampling,
                stop=(*(settings.stop if stop is None else stop), *settings.ends),
                seed=derive(chain.recipe.seed, chain.problem, chain.sample, chain.turn, *parts),
                chain=chain.key,
            )
            timer.tokens = written.usage.completion
        piece = Piece(
            author=role,
            text=lead + written.text,
            ids=leading + written.ids,
            finish=written.finish,
            usage=written.usage,
            span=self._span(timer),
            log_probabilities=None if lead else written.log_probabilities,
        )
        return await self.spelled(chain, piece)

    async def spelled(self, chain: ChainState, piece: Piece) -> Piece:
        """The piece with the text that its ids would add to the chain."""
        return replace(piece, text=await chain.context.text(piece))

    async def score(self, chain: ChainState, piece: Piece, reader: Role = Role.TARGET) -> Scored:
        """The target (or `reader`) reads the chunk, one prefill. A failure to score is no score, never a number."""
        async with self._stage(chain, Stage.SCORE) as timer:
            try:
                continuation = await chain.context.read_by(reader, piece)
                ids = chain.context.ids(reader)
                scoring = await self.engines[reader].score(ids, continuation, chain=chain.key)
                # The draft's log-probabilities belong to the draft's tokens: no use where the target reads others.
                drafted = piece.log_probabilities if continuation == piece.ids else None
                scores = raw_scores(
                    scoring.log_probabilities, drafted, len(piece.text), wanted=chain.recipe.settings.score
                )
                usage = scoring.usage
                timer.tokens = len(continuation)
            except ScoreError:
                scores, usage = {}, Usage()
        return Scored(scores, usage, self._span(timer))

    async def ask(self, chain: ChainState, messages: Sequence[Message], top: int) -> Asked:
        """The target's `top` likeliest next tokens after a chat of its own, as text, likeliest first."""
        target = self.engines[Role.TARGET]
        prefix = await target.render(messages)
        async with self._stage(chain, Stage.SCORE) as timer:
            tokens = await target.next_token(prefix, top=top, chain=chain.key)
            timer.tokens = len(prefix)
        likeliest = [(await target.detokenize([token]), value) for token, value in tokens]
        return Asked(likeliest, Usage(prompt=len(prefix), completion=1), self._span(timer))

    async def tokenize(self, role: Role, text: str) -> tuple[int, ...]:
        """The text on its own as the token ids of that role's engine."""
        return tuple(await self.engines[role].tokenize(text))

    def announce(self, chain: ChainState, piece: Piece, scores: Mapping[str, float]) -> None:
        """Tell the calibrator of a chunk that is decided on later, once others are known too."""
        recipe = chain.recipe
        recipe.calibrator.announce(_chunk(chain, piece), scores.get(recipe.settings.score))

    def decide(self, chain: ChainState, piece: Piece, scores: Mapping[str, float]) -> Decision:
        """Whether the target takes over; synchronous, so that no other decision comes in between."""
        recipe = chain.recipe
        u = uniform(recipe.seed, chain.problem, chain.sample, chain.turn, "smoothing")
        decision = recipe.calibrator.decide(_chunk(chain, piece), scores.get(recipe.settings.score), u)
        recipe.emit(Decided(decision, self.clock()))
        return decision

    def accepts(self, chain: ChainState, piece: Piece, scores: Mapping[str, float], purpose: str) -> bool:
        """Whether another chunk in the place of one that was decided on would stand; decides and learns nothing."""
        recipe = chain.recipe
        u = uniform(recipe.seed, chain.problem, chain.sample, chain.turn, "smoothing", purpose)
        return recipe.calibrator.accepts(_chunk(chain, piece), scores.get(recipe.settings.score), u)

    @asynccontextmanager
    async def _stage(self, chain: ChainState, stage: Stage) -> AsyncIterator[_Timer]:
        """A slot of the stage for the block, and its events; a stage that fails or is cancelled ends too."""
        problem, sample = chain.key
        emit = chain.recipe.emit
        timer = _Timer(ready=self.clock())
        held = False
        emit(StageQueued(stage, problem, sample, timer.ready))
        try:
            async with self.slots[stage].hold((chain.order, chain.turn)):
                held = True
                timer.start = self.clock()
                emit(StageStarted(stage, problem, sample, timer.start))
                yield timer
        finally:
            timer.ends.append(self.clock())
            emit(StageEnded(stage, problem, sample, held, timer.tokens, timer.ends[-1]))

    def _span(self, timer: _Timer) -> Span:
        return Span(timer.ready, timer.start, timer.ends[-1])


def _chunk(chain: ChainState, piece: Piece) -> Chunk:
    settings = chain.recipe.settings
    last = chain.finishes(piece)
    short = last and not settings.stop and len(piece.text) < settings.short_chunk
    return Chunk(chain.problem, chain.sample, chain.turn, short, last)
