"""What a calibrator is: the one place where it is decided whether the target takes a chunk over."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from atts.types import Chunk, Decision


class Calibrator(Protocol):
    """Turns scores into decisions so that the share of takeovers holds a promised rate.

    Synchronous and free of clocks, I/O and hidden randomness: the same calls give the same decisions. A decision and
    the update that follows from it are one step.
    """

    name: str
    rate: float
    promises: ClassVar[bool]

    def announce(self, chunk: Chunk, score: float | None) -> None:
        """Hear of a score that is decided on later, for calibrators that rank a round of chunks among each other."""
        ...

    def plan(self, chains: int) -> None:
        """Hear how many chains the run has, those that have ended included, for calibrators with a horizon."""
        ...

    def ended(self, problem: str, sample: int) -> None:
        """Hear that a chain takes no further decision, whatever way it ended."""
        ...

    def decide(self, chunk: Chunk, score: float | None, u: float) -> Decision:
        """Decide on a chunk and learn from it.

        `score` is the nonconformity score (large = strange); None, NaN and infinities mean unscored: taken over if
        the budget allows, never ranked, never banked. `u` in (0, 1) breaks ties (smoothed p-value); the caller
        derives it from the decision's seed. The score counts to nine significant digits.
        """
        ...

    def accepts(self, chunk: Chunk, score: float | None, u: float) -> bool:
        """Whether a chunk with this score would stand if it were decided on now; no decision, and nothing is learnt."""
        ...

    def replay(self, decision: Decision) -> None:
        """Learn from a decision taken earlier, so that the state is as if `decide` had just returned it."""
        ...

    def forget(self, problem: str) -> None:
        """No chunk of the problem is to come: let go of what only its own decisions lean on."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that later decisions depend on, as plain data (JSON)."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; the rest of the stream is decided identically."""
        ...

    def certificate(self) -> dict[str, dict[str, float]]:
        """By group ("all", "turn:0", …): `n` decisions, `taken_over`, and `deviation` of their rate from the promise.

        Where the deviation of a group is bounded whatever the stream, `bound` is by how much; elsewhere it is missing.

        For trackers the deviation is read off the state: sum(rejected − rate) = −(theta_end − theta_start) / eta.
        """
        ...
