"""What a chain is made by: everything that may differ from one chain to the next on the same engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from atts.events import Event, Sink
from atts.pipeline.settings import ChainSettings
from atts.pipeline.stop import AnswerRule, StopRule, StopStrings, usual_rules
from atts.stats.calibrator import Calibrator
from atts.types import Chain

AnswerRules = Callable[[bool], AnswerRule]
"""The rule for chains whose text begins inside a thinking part, which the prompt has opened, or (False) does not."""


def unheard(event: Event | Chain) -> None:
    """The sink of who does not want to know."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How chains are made, and who hears of it.

    `calibrator` decides on takeovers, and so holds the rate; chains that share one are decided on by one stream of
    scores. `stop` are rules beside those of every chain. `seed` is what all randomness is derived from, together with
    the chain's problem and sample. `emit` hears of every event of the chain. `ended` is called once for a chain that
    ends, whatever way, and at once: before anything else happens.
    """

    calibrator: Calibrator
    answer: AnswerRules
    settings: ChainSettings = field(default_factory=ChainSettings)
    stop: tuple[StopRule, ...] = ()
    seed: int = 0
    emit: Sink = unheard
    ended: Callable[[Chain], None] = unheard

    @property
    def rules(self) -> tuple[StopRule, ...]:
        """Everything that ends a chain, the first reason being the one that is told."""
        ends = (StopStrings(self.settings.ends),) if self.settings.ends else ()
        return (*usual_rules(self.settings.turns), *ends, *self.stop)
