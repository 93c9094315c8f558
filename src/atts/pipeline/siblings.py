"""The chains of one problem, and what they have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from atts.pipeline.barrier import Barrier
from atts.pipeline.chain import ChainState
from atts.pipeline.context import Prompt
from atts.pipeline.stop import ProblemRule
from atts.types import Chain


class Siblings:
    """What the samples of a problem share: their prompt, the barrier of methods that go in step, and the vote.

    Made by whoever submits them, of the turns that each has already; a chain that has none needs no word of this.
    `chains` holds those that are open, by sample. `over` is why none of them is needed any more, or empty: open ones
    are cancelled then, and those that are still to come end at once. It lives as long as they do, and no longer.
    """

    def __init__(self, turns: Mapping[int, int] | None = None, rule: ProblemRule | None = None, over: str = "") -> None:
        self.chains: dict[int, ChainState] = {}
        self.barrier = Barrier(turns or {})
        self.prompt: asyncio.Task[Prompt] | None = None
        self.over = over
        self._rule = rule
        self._wanted = set(turns or {})

    @property
    def wanted(self) -> int:
        """How many of the samples that it was made of have not ended."""
        return len(self._wanted)

    def leave(self, sample: int) -> None:
        """The sample makes no further turn now."""
        self.chains.pop(sample, None)
        self.barrier.leave(sample)

    def ended(self, chain: Chain) -> None:
        """The chain has ended for good; that may be the end of its problem."""
        self._wanted.discard(chain.sample)
        if self._rule is not None and not self.over:
            self.over = self._rule.ended(chain)
