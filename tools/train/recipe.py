"""What is trained, for how long and how: every constant of the pair in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tools.train.corpus import Mixture

VOCABULARY = 512
"""Upper bound of the vocabulary; the texts of the family need about 450 tokens, bytes included."""
TOKENIZER_PROBLEMS = 3000
SLIP_PROBLEMS = 5000
"""Problems of which the draft writes each line once, to collect its wrong ones for the target's training."""
CONTEXT_LENGTH = 2048


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a Llama model with tied embeddings."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    inner: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one model is trained.

    `tokens` counts what the model reads, padding left out. The learning rates rise over `warm` of them, stay until
    `decay` of them and fall linearly to nothing at the end; training ends at `stop` of them, which is sooner for a
    model that is meant to err (all three are shares of `tokens`). `rows` is the number of samples in a step. From
    block `plain` of the samples on, no wrong lines are planted: reading them comes first, being right last.
    """

    name: str
    shape: Shape
    mixture: Mixture
    tokens: int
    rows: int
    matrix_rate: float = 0.02
    other_rate: float = 5e-3
    warm: float = 0.01
    decay: float = 0.5
    stop: float = 1.0
    plain: int | None = None
    seed: int = 0

    @property
    def end(self) -> int:
        """The number of tokens after which training ends."""
        return int(self.tokens * self.stop)

    def mixture_of(self, block: int) -> Mixture:
        """Return what the samples of a block are made of."""
        plain = self.plain is not None and block >= self.plain
        return replace(self.mixture, planted=0.0) if plain else self.mixture

    def factor(self, tokens: int) -> float:
        """Return what the learning rates are multiplied by once `tokens` have been read."""
        share = tokens / self.tokens
        return min(1.0, (share + 1e-3) / self.warm, max(0.0, 1 - share) / (1 - self.decay))

    def scaled(self, factor: float) -> Recipe:
        """Return the same recipe with this share of its tokens, for a trial."""
        return replace(self, tokens=int(self.tokens * factor))


DRAFT = Recipe(
    name="draft",
    shape=Shape(hidden=64, layers=2, heads=2, kv_heads=1, head=64, inner=192),
    mixture=Mixture(planted=0.1, own=0.0, take_back=False),
    tokens=8_000_000,
    rows=16,
    stop=0.896,  # of the stops measured, each 200 steps: 34 % at 0.84, 40 % here, 56 % at 0.95
)
TARGET = Recipe(
    name="target",
    shape=Shape(hidden=128, layers=4, heads=2, kv_heads=2, head=64, inner=256),
    mixture=Mixture(planted=0.25, own=0.5, take_back=True),
    tokens=22_000_000,
    rows=16,
    decay=0.265,
    plain=192,
)
