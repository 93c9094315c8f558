"""The work that simulated engines do: how long every piece of every chain is, and how strange the target finds it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp, log
from statistics import NormalDist
from typing import NamedTuple

from atts.seeds import derive, uniform
from atts.types import Role, Stage

_KEPT = 4096  # shapes that are remembered


class TurnShape(NamedTuple):
    """A turn: tokens of the draft's chunk, its perplexity, and the tokens of the takeover if there is one.

    `taken` says whether the record has one; `takeover` is how long it is or would be.
    """

    draft: int
    perplexity: float
    takeover: int
    taken: bool = False


class ChainShape(NamedTuple):
    """A chain: its turns, and the answer that it comes to."""

    turns: tuple[TurnShape, ...]
    answer: str | None = None


class Work(ABC):
    """Chains by problem and sample, both counted from 0.

    `fixed` says that the decisions are those of the record; otherwise a chain ends with the last chunk of its draft.
    `prompt` is the tokens of a prompt. `seed` is that of the run, which requests are recognised by.
    """

    samples: int
    prompt: int = 150
    fixed: bool = False
    seed: int = 0

    @property
    @abstractmethod
    def problems(self) -> int:
        """How many there are."""

    @property
    @abstractmethod
    def most_turns(self) -> int:
        """A chain has no more."""

    @abstractmethod
    def shape(self, problem: int, sample: int) -> ChainShape:
        """What that chain is like; the same whenever it is asked."""

    def piece(self, problem: int, sample: int, turn: int, author: Role) -> tuple[int, bool, str | None]:
        """Tokens that the author writes in that turn, whether the text ends there, and the answer that it gives."""
        turns, answer = self.shape(problem, sample)
        if turn >= len(turns):
            return 0, True, None
        shape = turns[turn]
        ends = turn == len(turns) - 1
        if author is Role.TARGET:
            return shape.takeover, ends, answer if ends else None
        ends = ends and not (self.fixed and shape.taken)
        return shape.draft, ends, answer if ends else None

    def sample_of(self, problem: int, seed: int) -> int | None:
        """The sample whose first request has this seed; None if none has."""
        return self._first_seeds(problem).get(seed)

    def is_takeover(self, problem: int, sample: int, turn: int, seed: int) -> bool:
        """Whether the seed is that of the takeover in this turn."""
        return derive(self.seed, str(problem), sample, turn, Stage.TAKEOVER.value) == seed

    def _first_seeds(self, problem: int) -> Mapping[int, int]:
        return _first_seeds(self.seed, problem, self.samples)


@lru_cache(maxsize=256)
def _first_seeds(seed: int, problem: int, samples: int) -> Mapping[int, int]:
    stages = (Stage.DRAFT.value, Stage.TAKEOVER.value)
    return {derive(seed, str(problem), sample, 0, stage): sample for sample in range(samples) for stage in stages}


@dataclass
class Recorded(Work):
    """Chains as they were recorded, by problem; problems may have fewer samples than `samples`."""

    chains: Sequence[Sequence[ChainShape]]
    samples: int
    prompt: int = 150
    fixed: bool = False
    seed: int = 0

    @property
    def problems(self) -> int:
        """As many as were recorded."""
        return len(self.chains)

    @property
    def most_turns(self) -> int:
        """Those of the longest chain."""
        return max(len(chain.turns) for problem in self.chains for chain in problem)

    def shape(self, problem: int, sample: int) -> ChainShape:
        """As it was recorded; beyond the recorded samples they repeat."""
        recorded = self.chains[problem]
        return recorded[sample % len(recorded)]


@dataclass
class Typical(Work):
    """Chains drawn from a distribution whose defaults resemble the paper's public run on MATH500.

    The number of turns is log-normal with mean `turns` and standard deviation `spread` of its logarithm, 80 % of whose
    variance lies between problems; at most `most`. Every chunk but the last has `chunk` tokens, the last any number up
    to that; a takeover has `takeover` on average. The logarithm of the perplexity is normal.
    """

    count: int = 30
    samples: int = 16
    turns: float = 3.8
    spread: float = 0.83
    most: int = 15
    chunk: int = 500
    takeover: int = 440
    prompt: int = 150
    fixed: bool = False
    seed: int = 0
    log_perplexity: tuple[float, float] = (0.47, 0.22)
    _shapes: dict[tuple[int, int], ChainShape] = field(default_factory=dict, repr=False)

    @property
    def problems(self) -> int:
        """As many as are wanted."""
        return self.count

    @property
    def most_turns(self) -> int:
        """`most`."""
        return self.most

    def shape(self, problem: int, sample: int) -> ChainShape:
        """Drawn from seeds of its own, so that it is the same whatever else is drawn."""
        key = problem, sample
        if key not in self._shapes:
            if len(self._shapes) >= _KEPT:
                self._shapes.pop(next(iter(self._shapes)))
            self._shapes[key] = self._draw(problem, sample)
        return self._shapes[key]

    def _draw(self, problem: int, sample: int) -> ChainShape:
        normal = NormalDist().inv_cdf
        between = normal(uniform(self.seed, "turns", problem)) * 0.8**0.5
        within = normal(uniform(self.seed, "turns", problem, sample)) * 0.2**0.5
        mean = log(self.turns) - self.spread**2 / 2
        count = min(self.most, max(1, round(exp(mean + self.spread * (between + within)))))
        return ChainShape(tuple(self._turn(problem, sample, turn, turn == count - 1) for turn in range(count)))

    def _turn(self, problem: int, sample: int, turn: int, last: bool) -> TurnShape:
        length, strange, longer = (
            uniform(self.seed, name, problem, sample, turn) for name in ("length", "perplexity", "takeover")
        )
        mean, deviation = self.log_perplexity
        return TurnShape(
            draft=max(1, round(self.chunk * length)) if last else self.chunk,
            perplexity=exp(max(0.0, NormalDist(mean, deviation).inv_cdf(strange))),
            takeover=max(1, min(self.chunk, round(2 * self.takeover * longer))),
        )


@dataclass
class Alone(Work):
    """The chains of another work as one model writes them: as many tokens as stand there, in chunks of `chunk`.

    Where the other's decisions are not fixed, `rate` is the share of its takeovers that stand in its chains.
    """

    other: Work
    chunk: int = 500
    rate: float = 0.0

    def __post_init__(self) -> None:
        self.samples, self.prompt, self.seed = self.other.samples, self.other.prompt, self.other.seed

    @property
    def problems(self) -> int:
        """As many as the other has."""
        return self.other.problems

    @property
    def most_turns(self) -> int:
        """Chunks of the longest chain there can be: a turn of the other has two pieces."""
        return 2 * self.other.most_turns

    def shape(self, problem: int, sample: int) -> ChainShape:
        """The same length in whole chunks and a last one that is shorter."""
        turns, answer = self.other.shape(problem, sample)
        total = sum(turn.draft for turn in turns)
        if self.other.fixed:
            total += sum(turn.takeover for turn in turns if turn.taken)
        else:  # a last chunk ends the text, so that nobody takes over
            total += round(self.rate * sum(turn.takeover for turn in turns[:-1]))
        sizes = [self.chunk] * (total // self.chunk)
        if total % self.chunk or not sizes:
            sizes.append(total % self.chunk)
        return ChainShape(tuple(TurnShape(size, 1.0, size) for size in sizes), answer)
