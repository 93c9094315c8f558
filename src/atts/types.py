"""The vocabulary: problems, prompts, what engines return, what decisions and chains are.

Standard library only, so that every layer can import it. Log-probabilities are natural logarithms.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

TokenIds = Sequence[int]

ChainKey = Hashable
"""What tells a chain from every other that is open on the same engine."""

Key = tuple[str, int]
"""Names a chain of a run: the id of its problem, and the number of the sample from 0."""


class GrowingIds(list[int]):
    """Token ids that are only ever appended to, and that remember how they are written.

    A context is sent to a server again and again; written anew each time, the cost of a turn would grow with the
    history.
    """

    __slots__ = ("__weakref__", "_written", "_written_to")

    def __init__(self, ids: Iterable[int] = ()) -> None:
        super().__init__(ids)
        self._written = bytearray()
        self._written_to = 0

    def written(self) -> bytearray:
        """The ids in decimal, each followed by a comma. Not a copy: read it, do not keep it."""
        if self._written_to < len(self):
            self._written += write_ids(self[self._written_to :])
            self._written_to = len(self)
        return self._written


def write_ids(ids: TokenIds) -> bytes:
    """The ids in decimal, each followed by a comma."""
    return b"%b," % ",".join(map(str, ids)).encode() if ids else b""


class Role(StrEnum):
    """Which of the two models: the small one that writes, or the large one that scores and takes over."""

    DRAFT = "draft"
    TARGET = "target"


class Stage(StrEnum):
    """The three stages of a turn."""

    DRAFT = "draft"
    SCORE = "score"
    TAKEOVER = "takeover"


class Message(NamedTuple):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with its known answer.

    `choices` are the options of a multiple-choice question, in the order in which they are shown.
    `meta` holds what a data set knows beside it (level, source, split); it is copied to the journal, never read.
    """

    id: str
    question: str
    answer: str
    choices: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. `temperature` 0 is greedy; `top_k` 0 means all.

    `min_p` leaves out what is less likely than that share of the likeliest. `repetition_penalty` divides positive
    logits of tokens that stand in the text, and multiplies negative ones; `presence_penalty` is taken off the logits of
    tokens that the request has written, `frequency_penalty` once for each time.
    """

    temperature: float = 0.8
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    @property
    def penalises(self) -> bool:
        """Whether what stands in the text changes how likely a token is to be drawn again."""
        return (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) != (1.0, 0.0, 0.0)


class Finish(StrEnum):
    """Why a generation ended."""

    END = "end"  # the model ended its text
    STOP = "stop"  # a stop string was written
    LENGTH = "length"  # the limit of new tokens was reached
    FILTER = "content_filter"  # the server withheld the rest
    REPETITION = "repetition"  # the server saw the model repeat itself
    TOOL = "tool_calls"  # the model called a tool, which nobody here has

    @property
    def over(self) -> bool:
        """Whether nothing follows: the text is over for the model, or for its server."""
        return self not in (Finish.STOP, Finish.LENGTH)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request: read, of these served from the prefix cache, and written."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


@dataclass(frozen=True, slots=True)
class Generation:
    """What an engine wrote.

    `ids` holds every token that was drawn, the stop string's included and the end-of-text token left out, so that
    a context grows by exactly these. `text` is their decoding. `log_probabilities` has one entry a token of `ids`
    under the sampling-free model (temperature 1), or is None where the engine was not asked or cannot tell.
    """

    ids: tuple[int, ...]
    text: str
    finish: Finish
    usage: Usage
    log_probabilities: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Scoring:
    """One log-probability for each token of exactly the continuation, its first token included."""

    log_probabilities: tuple[float, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of its model.

    `vocabulary` is a fingerprint: two engines whose fingerprints are equal may exchange token ids; otherwise text.
    `context_length` is None where the engine does not tell. `front` are the special tokens that the model's tokenizer
    puts before a text of its own accord; None where that is not known.
    """

    engine: str
    model: str
    vocabulary: str
    context_length: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    front: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a calibrator is told of the chunk it decides on, beside the score.

    `turn` counts from 0 within a chain. `last` says that the chain is over if the chunk stands; `short` marks a last
    chunk too short to compare with whole ones.
    """

    problem: str
    sample: int
    turn: int
    short: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a scored chunk.

    `index` counts the decisions of a run from 0, in the order in which they were taken. `score` is None where the
    chunk could not be scored; then `p_value` is None too, unless the calibrator looks at no score (a coin: its draw).
    `rejected` means that the target takes over. `capped` means that the p-value asked for a takeover and a hard budget
    refused it (or the reverse, unscored). `horizon` is E, the decisions over which what is left of the budget was
    spread (calibrator `budgeted`; docs/guarantees.md).
    """

    index: int
    chunk: Chunk
    score: float | None
    p_value: float | None
    threshold: float
    rejected: bool
    capped: bool = False
    horizon: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """When a stage of a turn wanted its engine, got it, and was through with it; seconds since the run began."""

    ready: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Piece:
    """What one model wrote in a turn; `log_probabilities` are those of its author, where the engine gave them.

    `text` is what the piece adds to the text of its chain, in whole characters: one that its end cuts in two belongs to
    the next piece.
    """

    author: Role
    text: str
    ids: tuple[int, ...]
    finish: Finish
    usage: Usage
    span: Span
    log_probabilities: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a chain: the draft's chunk, what was made of it, and what the target wrote.

    The chunk: `draft`, None where the target writes alone. What was made of it: `scores`, every raw score by name
    (`perplexity`, …), so that a run can be scored again, with their cost (`scored`, `scoring`), and the `decision`.
    What the target wrote: `takeover`. `replaced` says that the chunk was dropped and only what came later stands.

    For methods that do more in a turn: `more` stands after all that, whoever wrote it (a chunk that the draft has drawn
    again; runs of version 0.1.0 have it as the takeover); `dropped` was written, looked at and thrown
    away; `notes` are figures that the method needs to go on from here; `ended` says why it ends the chain by a rule of
    its own; `anew` says that all that stood before is dropped, so that what is kept of this turn is the whole chain.
    """

    problem: str
    sample: int
    turn: int
    draft: Piece | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    scored: Usage = Usage()
    scoring: Span | None = None
    decision: Decision | None = None
    takeover: Piece | None = None
    replaced: bool = False
    more: tuple[Piece, ...] = ()
    dropped: tuple[Piece, ...] = ()
    notes: Mapping[str, float] = field(default_factory=dict)
    ended: str = ""
    anew: bool = False

    @property
    def kept(self) -> tuple[Piece, ...]:
        """The pieces that stand in the chain, in reading order."""
        pieces = (None if self.replaced else self.draft, self.takeover, *self.more)
        return tuple(piece for piece in pieces if piece is not None)

    @property
    def written(self) -> tuple[Piece, ...]:
        """All pieces that were written, kept or not."""
        return tuple(piece for piece in (self.draft, self.takeover, *self.more, *self.dropped) if piece is not None)


class Status(StrEnum):
    """How a chain ended."""

    DONE = "done"  # finished its text, gave an answer, or used up its turns
    ERROR = "error"  # an engine failed it; the reason says how
    CANCELLED = "cancelled"  # stopped from outside, e.g. because the vote was decided


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that has ended. `text` is everything that stands; `answer` is None where none was found."""

    problem: str
    sample: int
    status: Status
    reason: str
    turns: int
    text: str
    answer: str | None
    start: float
    end: float
