"""One model alone: the two ends of the frontier."""

from __future__ import annotations

from atts.pipeline.chain import ChainState
from atts.pipeline.stages import Stages
from atts.pipeline.strategies.base import Strategy, options
from atts.types import Role, Turn


@options
class DraftOnly(Strategy):
    """The draft writes everything."""

    name = "draft-only"
    description = "the draft alone"
    roles = (Role.DRAFT,)

    async def turn(self, chain: ChainState, stages: Stages) -> Turn:
        """One chunk of the draft."""
        problem, sample = chain.key
        number = chain.turn
        draft = await stages.draft(chain)
        await chain.append(draft)
        return Turn(problem, sample, number, draft)


@options
class TargetOnly(Strategy):
    """The target writes everything."""

    name = "target-only"
    description = "the target alone"
    roles = (Role.TARGET,)

    async def turn(self, chain: ChainState, stages: Stages) -> Turn:
        """One passage of the target."""
        problem, sample = chain.key
        number = chain.turn
        takeover = await stages.takeover(chain)
        await chain.append(takeover)
        return Turn(problem, sample, number, takeover=takeover)
