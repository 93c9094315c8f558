"""The synchronous method that asynchronous test-time scaling replaces: rank all samples, take the worst over."""

from __future__ import annotations

from atts.pipeline.chain import ChainState
from atts.pipeline.stages import Scored, Stages
from atts.pipeline.strategies.atts import Atts
from atts.pipeline.strategies.base import options
from atts.types import Decision, Piece, Turn


@options
class Lockstep(Atts):
    """Two barriers a turn: no sample of a problem begins before all are there, none is decided before all are scored.

    The worst B = rate · n of the n samples that were scored are taken over, by the calibrator `ranked`.
    """

    name = "lockstep"
    description = "every turn waits for all samples of the problem, ranks them, and takes the worst over"
    calibrator = "ranked"
    together = True

    async def turn(self, chain: ChainState, stages: Stages) -> Turn | None:
        """The turn of `Atts`, begun together."""
        if not await chain.barrier.begin(chain.sample, chain.turn):
            return None
        return await super().turn(chain, stages)

    async def decide(self, chain: ChainState, stages: Stages, draft: Piece, scored: Scored) -> Decision:
        """Give the score to the round, wait for all others, and decide by rank among them."""
        stages.announce(chain, draft, scored.scores)
        await chain.barrier.meet(chain.sample)
        return stages.decide(chain, draft, scored.scores)
