"""How chains are made, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from atts.types import Role, Sampling, Stage

OnReject = Literal["continue", "replace"]
LastChunk = Literal["check", "accept"]

STEP_END = "\n\n"  # a step is a paragraph


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """What a turn is and when a chain ends.

    `stop` cuts chunks and takeovers (a step ends with a blank line); without it a chunk is `draft_tokens` tokens and a
    takeover `target_tokens`. On rejection the target writes on after the draft's chunk (`continue`, the paper) or in
    its place (`replace`). A chunk with which the chain would be over is decided on like any other (`last_chunk`
    `check`) and can only be replaced, or it stands unread (`accept`, the paper). `score` names the score that is
    decided on. `ends` are texts that end a chain.
    """

    turns: int = 15
    draft_tokens: int = 500
    target_tokens: int = 500
    stop: tuple[str, ...] = ()
    on_reject: OnReject = "replace"
    last_chunk: LastChunk = "check"
    draft_sampling: Sampling = field(default_factory=Sampling)
    target_sampling: Sampling = field(default_factory=Sampling)
    score: str = "log_perplexity"
    ends: tuple[str, ...] = ()
    short_chunk: int = 100  # characters; a last chunk below this is compared with its like only

    def tokens(self, role: Role) -> int:
        """The most tokens that one of the two writes at once."""
        return self.draft_tokens if role is Role.DRAFT else self.target_tokens

    def sampling(self, role: Role) -> Sampling:
        """How one of the two writes."""
        return self.draft_sampling if role is Role.DRAFT else self.target_sampling


@dataclass(frozen=True, slots=True)
class SlotSettings:
    """Requests of each stage that may be open at once, and chains that may."""

    chains: int = 64
    draft: int = 32
    score: int = 32
    takeover: int = 32

    def limit(self, stage: Stage) -> int:
        """The number of slots of a stage."""
        limit: int = getattr(self, stage.value)
        return limit
