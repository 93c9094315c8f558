"""What a method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from atts.options import options
from atts.pipeline.chain import ChainState
from atts.pipeline.stages import Stages
from atts.types import Role, Turn

__all__ = ["BY_PARAGRAPH", "Strategy", "options"]

BY_PARAGRAPH = 100_000
"""Turns of methods whose turn is a paragraph, of whatever length: as good as no limit, their tokens have one."""

ENDLESS = 1 << 40
"""Tokens that no chain has."""


@options
class Strategy(ABC):
    """A way of making the next turn of a chain. It keeps no state of its own: that is the chain's.

    `name` is what it is called in a configuration, `description` one line on what it does, `roles` the models that it
    needs. `controlled` says that a calibrator decides on takeovers, so that a rate is promised; `calibrator` names the
    only one that it works with, or is empty. With `together`, all samples of a problem have to be open at once.
    `turns` is the most turns of a chain where the run does not say, `budget` the option that bounds its tokens, if
    there is one. `asks` says that the target is asked for its likeliest next tokens, `reads_itself` that the draft's
    log-probabilities of its own text are needed. `planned_in` says how chains are simulated where a run is planned: in
    `turns`, each a chunk and perhaps a takeover after it or in its place, or in `steps`, passages that whoever is asked
    writes.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    roles: ClassVar[tuple[Role, ...]]
    controlled: ClassVar[bool] = False
    calibrator: ClassVar[str] = ""
    together: ClassVar[bool] = False
    turns: ClassVar[int] = 15
    budget: ClassVar[str] = ""
    asks: ClassVar[bool] = False
    reads_itself: ClassVar[bool] = False
    planned_in: ClassVar[Literal["turns", "steps"]] = "steps"

    @property
    def longest(self) -> int | None:
        """How many tokens of a chain make the method end it; None: it never does."""
        return getattr(self, self.budget) if self.budget else None

    @property
    def needs_siblings(self) -> bool:
        """Whether a chain needs the other samples of its problem beside it, so that they have to follow each other."""
        return self.together

    def endless(self) -> Strategy:
        """The same method without a budget of tokens: for plans, whose work says when a chain is over."""
        return type(self)(**{**vars(self), self.budget: ENDLESS}) if self.budget else self

    @abstractmethod
    async def turn(self, chain: ChainState, stages: Stages) -> Turn | None:
        """Make the next turn and append what stands of it to the chain; None if the run stops before it begins.

        Raises `EngineError` where an engine fails.
        """
