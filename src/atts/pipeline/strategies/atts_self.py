"""One model in both roles: it reads its own chunks, and writes the strangest of them again or starts from a sibling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from atts.pipeline.chain import ChainState
from atts.pipeline.stages import Scored, Stages
from atts.pipeline.strategies.base import Strategy, options
from atts.stats.scores import raw_scores
from atts.types import Finish, Piece, Role, Span, Turn, Usage


@options
class AttsSelf(Strategy):
    """The draft writes; what the p-value of its own log-probabilities rejects is mended by the draft itself.

    With `remedy` `redraw` the chunk is drawn again until a draw is accepted, `redraws` times at most, after which the
    least strange of all draws stands. With `fork` the whole chain is dropped for a copy of its best sibling, the one
    with the lowest mean perplexity less `alpha` a turn. Redraws, and the chunk after a fork, are drawn at
    `temperature` (None: that of the draft). Scores cost no request where the engine returns log-probabilities with
    what it writes, and one prefill where not.
    """

    name = "atts-self"
    description = "one model (the draft) in both roles: rejected chunks are drawn again, or forked from a sibling"
    roles = (Role.DRAFT,)
    controlled = True
    reads_itself = True

    remedy: Literal["redraw", "fork"] = "redraw"
    redraws: Annotated[int, Field(ge=1)] = 3
    alpha: Annotated[float, Field(ge=0)] = 0.01
    temperature: Annotated[float, Field(ge=0)] | None = None

    @property
    def needs_siblings(self) -> bool:
        """A fork does."""
        return self.remedy == "fork"

    async def turn(self, chain: ChainState, stages: Stages) -> Turn:
        """One chunk, its score, one decision, and on rejection the remedy."""
        problem, sample = chain.key
        hot = self.temperature if chain.notes.get("forked") else None
        draft = await stages.write(chain, Role.DRAFT, temperature=hot)
        turn = Turn(problem, sample, chain.turn, draft, notes=chain.notes)
        if not draft.ids:
            await chain.append(draft)
            return turn
        own = await _read(chain, stages, draft)
        decision = stages.decide(chain, draft, own.scores)
        notes = _with(chain.notes, own.scores)
        turn = replace(turn, scores=own.scores, scored=own.usage, decision=decision, notes=notes)
        if decision.rejected and self.remedy == "redraw":
            return await self._redraw(chain, stages, turn, draft)
        if decision.rejected and (sibling := self._best_sibling(chain)) is not None:
            return await _fork(chain, sibling, turn, draft)
        await chain.append(draft)
        return turn

    async def _redraw(self, chain: ChainState, stages: Stages, turn: Turn, draft: Piece) -> Turn:
        name = chain.recipe.settings.score
        draws, best, least = [draft], draft, turn.scores.get(name, math.inf)
        for number in range(self.redraws):
            purpose = f"redraw {number}"
            piece = await stages.write(chain, Role.DRAFT, temperature=self.temperature, purpose=purpose)
            draws.append(piece)
            scores = (await _read(chain, stages, piece)).scores if piece.ids else {}
            accepted = bool(piece.ids) and stages.accepts(chain, piece, scores, purpose)
            if accepted or scores.get(name, math.inf) < least:
                best, least = piece, scores.get(name, math.inf)
            if accepted:
                break
        await chain.append(best)
        others = tuple(piece for piece in draws[1:] if piece is not best)
        if best is draft:
            return replace(turn, dropped=others)
        return replace(turn, more=(best,), replaced=True, dropped=others)

    def _best_sibling(self, chain: ChainState) -> ChainState | None:
        """The open chain of the same problem that stands best, if there is another one that has begun."""
        others = [other for other in chain.siblings.values() if other is not chain]
        able = [other for other in others if other.notes.get("scored") and other.text and not other.finished]
        return min(able, key=lambda other: (self._rank(other), other.sample), default=None)

    def _rank(self, chain: ChainState) -> float:
        return chain.notes["perplexity"] / chain.notes["scored"] - self.alpha * chain.turn


async def _read(chain: ChainState, stages: Stages, piece: Piece) -> Scored:
    """The scores of a piece under its own author, which reads it again where it did not say them while it wrote."""
    if piece.log_probabilities is None:
        return await stages.score(chain, piece, Role.DRAFT)
    return Scored(
        raw_scores(piece.log_probabilities, None, len(piece.text), wanted=chain.recipe.settings.score),
        Usage(),
        piece.span,
    )


def _with(notes: Mapping[str, float], scores: Mapping[str, float]) -> Mapping[str, float]:
    """The notes with one more scored chunk: how many there were, and the sum of their perplexities."""
    if "perplexity" not in scores:
        return notes
    return {
        "scored": notes.get("scored", 0) + 1,
        "perplexity": notes.get("perplexity", 0.0) + scores["perplexity"],
    }


async def _fork(chain: ChainState, sibling: ChainState, turn: Turn, draft: Piece) -> Turn:
    """Everything that stands is dropped for a copy of what the sibling has, which costs nothing to write."""
    copy = Piece(
        author=Role.DRAFT,
        text=sibling.text,
        ids=sibling.context.written(Role.DRAFT),
        finish=Finish.STOP,
        usage=Usage(),
        span=Span(draft.span.end, draft.span.end, draft.span.end),
    )
    notes = {**sibling.notes, "forked": 1}
    chain.restart()
    copy = replace(copy, text=await chain.context.text(copy))
    await chain.append(copy)
    return replace(turn, more=(copy,), replaced=True, notes=notes, anew=True)
