"""Asynchronous arithmetic intensity: computing over waiting, of a whole run and by stage (arXiv 2509.15148).

The paper's r = T_c / (T_m + T_s) sets the time spent computing against that spent moving memory and waiting for others.
From outside an engine the first two are one, the time that a request is with it. So here r = computing / waiting, both
in request-seconds, and waiting has two parts: for a slot of the stage, which the engine's capacity bounds, and for a
barrier, which the method imposes: the time in which a chain has no request anywhere although it goes on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from atts.types import Role, Span, Stage, Turn

_STAGE = {Role.DRAFT: Stage.DRAFT, Role.TARGET: Stage.TAKEOVER}


@dataclass(slots=True)
class Waiting:
    """Request-seconds of one stage: with the engine, waiting for a slot, and before that held back by a barrier."""

    computing: float = 0.0
    slot: float = 0.0
    barrier: float = 0.0


class Intensity:
    """Adds up the spans of turns; memory grows with open chains only."""

    def __init__(self) -> None:
        self._stages = {stage: Waiting() for stage in Stage}
        self._reached: dict[tuple[str, int], float] = {}

    def turn(self, turn: Turn) -> None:
        """Count a turn; those of one chain in their order."""
        spans = [(piece.span, _STAGE[piece.author]) for piece in turn.written]
        if turn.scoring is not None:
            spans.append((turn.scoring, Stage.SCORE))
        for span, stage in sorted(spans, key=lambda entry: (entry[0].ready, entry[0].end)):
            self._span((turn.problem, turn.sample), span, self._stages[stage])

    def leave(self, problem: str, sample: int) -> None:
        """The chain is over."""
        self._reached.pop((problem, sample), None)

    def pause(self) -> None:
        """The run was interrupted here: nobody waited for what lies between this turn and the next."""
        self._reached.clear()

    @property
    def queued(self) -> float:
        """Request-seconds spent waiting for a slot, all stages together."""
        return sum(stage.slot for stage in self._stages.values())

    @property
    def ratio(self) -> float | None:
        """r; None where nothing has waited."""
        computing = sum(stage.computing for stage in self._stages.values())
        waiting = self.queued + sum(stage.barrier for stage in self._stages.values())
        return computing / waiting if waiting else None

    def plain(self) -> dict[str, Any]:
        """The parts by stage, for JSON, in request-seconds."""
        return {stage.value: asdict(parts) for stage, parts in self._stages.items()}

    def _span(self, chain: tuple[str, int], span: Span, parts: Waiting) -> None:
        parts.computing += span.end - span.start
        parts.slot += span.start - span.ready
        parts.barrier += max(0.0, span.ready - self._reached.get(chain, span.ready))
        self._reached[chain] = max(span.end, self._reached.get(chain, span.end))
