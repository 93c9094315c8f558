"""What happens during a run, as values. Whoever wants to know is a sink: a callable that takes events.

The journal, the live view, metrics and traces are sinks; nothing below them knows that they exist. `time` is in
seconds since the run began (on a resumed run: since its first beginning, without the time between).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from atts.types import Chain, Decision, Stage, Turn


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins or goes on: so many chains are wanted, so many had ended before.

    Of a run that goes on, `turns` are those that earlier sessions left, and `earlier` the chains that ended in them,
    with their verdicts: whoever counts the whole run begins with these.
    """

    chains: int
    ended: int
    takeover_rate: float | None
    time: float
    turns: Sequence[Turn] = ()
    earlier: Sequence[tuple[Chain, bool | None]] = ()


@dataclass(frozen=True, slots=True)
class ChainStarted:
    """A chain is open. `turn` is where it goes on (0 for a new one)."""

    problem: str
    sample: int
    turn: int
    time: float


@dataclass(frozen=True, slots=True)
class StageQueued:
    """A stage wants its engine."""

    stage: Stage
    problem: str
    sample: int
    time: float


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage holds a slot of its engine."""

    stage: Stage
    problem: str
    sample: int
    time: float


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage gave its slot back, or left the queue, having written (or scored) so many tokens; 0 if it failed."""

    stage: Stage
    problem: str
    sample: int
    held: bool
    tokens: int
    time: float


@dataclass(frozen=True, slots=True)
class Decided:
    """It was decided whether the target takes a chunk over; the takeover itself is still to come."""

    decision: Decision
    time: float


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A turn is complete and stands in its chain."""

    turn: Turn
    time: float


@dataclass(frozen=True, slots=True)
class ChainEnded:
    """A chain is over. `correct` is None where nothing could be graded."""

    chain: Chain
    correct: bool | None
    time: float


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that a person should know while the run goes on."""

    message: str
    time: float


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nothing more will happen."""

    time: float


Event: TypeAlias = (
    RunStarted
    | ChainStarted
    | StageQueued
    | StageStarted
    | StageEnded
    | Decided
    | TurnEnded
    | ChainEnded
    | Warned
    | RunEnded
)
Sink: TypeAlias = Callable[[Event], None]


def fan_out(*sinks: Sink) -> Sink:
    """One sink that hands every event to all of them, in order."""

    def emit(event: Event) -> None:
        for sink in sinks:
            sink(event)

    return emit
