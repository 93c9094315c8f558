"""Asynchronous test-time scaling (arXiv 2509.15148): the draft writes, the target scores, a p-value decides."""

from __future__ import annotations

from atts.errors import NoRoomError
from atts.pipeline.chain import ChainState
from atts.pipeline.stages import Scored, Stages
from atts.pipeline.stop import FULL
from atts.pipeline.strategies.base import Strategy, options
from atts.types import Decision, Piece, Role, Turn


@options
class Atts(Strategy):
    """Draft → verify → takeover on rejection, without waiting for any other chain."""

    name = "atts"
    description = "the draft writes, the target scores each chunk and takes over the strangest share of them"
    roles = (Role.DRAFT, Role.TARGET)
    controlled = True
    planned_in = "turns"

    async def turn(self, chain: ChainState, stages: Stages) -> Turn | None:
        """One chunk, one score, one decision, and on rejection one takeover."""
        problem, sample = chain.key
        number = chain.turn
        draft = await stages.draft(chain)
        last = chain.finishes(draft)
        # A finished chunk cannot be continued, only replaced; an empty one gives nothing to score.
        replace = last or chain.recipe.settings.on_reject == "replace"
        if not draft.ids or (last and chain.recipe.settings.last_chunk == "accept"):
            await chain.append(draft)
            return Turn(problem, sample, number, draft)
        try:
            scored = await stages.score(chain, draft)
        except NoRoomError:  # the target can read no further: what the draft wrote is the last of the chain
            await chain.append(draft)
            return Turn(problem, sample, number, draft, ended=FULL)
        decision = await self.decide(chain, stages, draft, scored)
        takeover, ended = None, ""
        if not (decision.rejected and replace):
            await chain.append(draft)
        if decision.rejected:
            try:
                takeover = await stages.takeover(chain)
                await chain.append(takeover)
            except NoRoomError:  # the decision stands, or the rate would not be the one that was realised
                ended = FULL
        return Turn(
            problem,
            sample,
            number,
            draft,
            scored.scores,
            scored.usage,
            scored.span,
            decision,
            takeover,
            replaced=decision.rejected and replace,
            ended=ended,
        )

    async def decide(self, chain: ChainState, stages: Stages, draft: Piece, scored: Scored) -> Decision:
        """Decide at once, on what is known."""
        return stages.decide(chain, draft, scored.scores)


@options
class Coin(Atts):
    """The same with decisions by chance: what any way of choosing has to beat."""

    name = "coin"
    description = "as atts, but a coin decides at the same rate: the control beside every result"
    calibrator = "coin"
