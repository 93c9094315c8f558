"""What an engine is: one model behind one way of reaching it.

Token ids are the interface. A context is rendered once and then only grows, so nothing is tokenised twice and the
boundary between a prefix and its continuation is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from atts.types import ChainKey, EngineInfo, Generation, Message, Sampling, Scoring, TokenIds

PROBED = "probe-"
"""How the fingerprint of a vocabulary begins that was taken from outside, by what a server makes of some texts."""


TEMPLATE, END_TOKENS = "chat_template_kwargs", "end_tokens"
PENALTIES = ("presence_penalty", "frequency_penalty")
DRAWING = ("min_p", "repetition_penalty", *PENALTIES)
EVERYTHING = frozenset({*DRAWING, TEMPLATE, END_TOKENS})
"""What an engine may be able to do beside what every engine can."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine is opened, beside its name; each uses what concerns it.

    `tokenizer` names a local tokenizer (folder or hub name) for a server that has none to offer. `key` goes to the
    server as a bearer token and is never shown. `timeout` is for one attempt of one request, `patience` for a server
    that is down, both in seconds. `concurrency` is the most requests at once, of which `writers` write texts of
    `longest` tokens at most, prompt included, where that is known: a model in process needs memory for as much.
    `template` holds variables of the chat template, `end_tokens` ids that end a text beside the model's own, `sampling`
    how it will be asked to draw: what of these is not the usual is refused by an engine that does not name it in its
    `knows`.
    """

    tokenizer: str | None = None
    key: str | None = field(default=None, repr=False)
    timeout: float = 600.0
    patience: float = 300.0
    concurrency: int = 256
    writers: int = 32
    longest: int | None = None
    template: Mapping[str, Any] = field(default_factory=dict)
    end_tokens: tuple[int, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def unusual(self) -> list[str]:
        """What is asked for that not every engine can do, by the names of `EVERYTHING`."""
        usual = Sampling()
        drawn = [name for name in DRAWING if getattr(self.sampling, name) != getattr(usual, name)]
        return drawn + [TEMPLATE] * bool(self.template) + [END_TOKENS] * bool(self.end_tokens)


@runtime_checkable
class Engine(Protocol):
    """One model. All methods may be called concurrently; cancelling a call releases what it holds.

    Every method raises `EngineError` where the model or its server fails, after trying again where that may help; so
    the error is final. `NoRoomError` means that the model's context is full, `RunError` that the server stays down. An
    engine never makes up a value.

    `chain` says for which chain a request is made, so that an engine of several servers sends all requests of a chain
    to the one that has its beginning in its cache. Whoever names chains says when they are over (`release`).
    """

    async def info(self) -> EngineInfo:
        """What the engine says of its model; asked once, then remembered."""
        ...

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """The chat as token ids, ending where the assistant's text begins.

        If the last message is the assistant's, the ids end with its content, unclosed, so that it is continued.
        """
        ...

    async def tokenize(self, text: str) -> list[int]:
        """The text on its own as token ids, without special tokens."""
        ...

    async def detokenize(self, ids: TokenIds) -> str:
        """The text of the ids, as if they were all; bytes that are no whole character become U+FFFD."""
        ...

    async def generate(
        self,
        prefix: TokenIds,
        *,
        max_tokens: int,
        sampling: Sampling,
        stop: Sequence[str] = (),
        seed: int | None = None,
        chain: ChainKey | None = None,
    ) -> Generation:
        """Write up to `max_tokens` (≥ 1) tokens after the prefix; a stop string or the end of text ends it early.

        The stop string is part of the result. With a seed, the same request gives the same tokens, whatever else the
        engine does at that time (up to floating-point differences of batching).
        """
        ...

    async def score(self, prefix: TokenIds, continuation: TokenIds, *, chain: ChainKey | None = None) -> Scoring:
        """One prefill: the log-probability of every token of the continuation (≥ 1 token) given all before it.

        Raises `ScoreError` where a value is missing or not finite.
        """
        ...

    async def next_token(self, prefix: TokenIds, *, top: int, chain: ChainKey | None = None) -> list[tuple[int, float]]:
        """The `top` likeliest next tokens with their log-probabilities, likeliest first."""
        ...

    def release(self, chain: ChainKey) -> None:
        """The chain is over: nothing of it has to be kept any longer. Safe for a chain that was never named."""
        ...

    async def close(self) -> None:
        """Release the model or the connections; safe to call twice."""
        ...
