"""The work that simulated engines do: how long every piece of every chain is, and how strange the target finds it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import exp, floor, log
from statistics import NormalDist
from typing import NamedTuple

from atts.seeds import uniform
from atts.types import Finish, Role

_KEPT = 4096  # shapes that are remembered
_MOST_STEPS = 4096  # that a mark can tell apart
_RIVALS = 5  # answers of typical chains beside the commonest one


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


class Place(NamedTuple):
    """Where a model is to write: in which turn of which chain, after how many tokens of it, and how many at most.

    `after_chunk` says that the draft's chunk of this turn stands, so that a takeover goes on from there.
    """

    problem: int
    sample: int
    turn: int
    stands: int
    most: int
    after_chunk: bool = False


class Passage(NamedTuple):
    """What a model writes at a place.

    `turn` is the one that it belongs to. `finish` is `STOP` where it is whole and the text goes on, `LENGTH` where it
    is cut. `told` is the shape of that turn if the passage itself tells of it, by its text and its log-probabilities,
    for methods that look at either.
    """

    turn: int
    tokens: int
    finish: Finish
    answer: str | None = None
    told: TurnShape | None = None


class Work(ABC):
    """Chains by problem and sample, both counted from 0.

    `fixed` says that the decisions are those of the record; otherwise a chain ends with the last chunk of its draft.
    `prompt` is the tokens of a prompt. `seed` is what is drawn by lot is drawn from.
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

    @property
    @abstractmethod
    def answers(self) -> bool:
        """Whether chains come to answers."""

    def passage(self, place: Place, author: Role) -> Passage:
        """What the author writes at that place."""
        turns, answer = self.shape(place.problem, place.sample)
        if place.turn >= len(turns):
            return Passage(place.turn, 0, Finish.END)
        shape = turns[place.turn]
        target = author is Role.TARGET
        tokens = shape.takeover if target else shape.draft
        if place.turn == len(turns) - 1 and (target or not (self.fixed and shape.taken)):
            return Passage(place.turn, min(tokens, place.most), Finish.END, answer)
        # What stands alone in its turn tells of it by its last token, so it has one.
        tokens = max(0 if place.after_chunk else 1, tokens)
        finish = Finish.STOP if tokens <= place.most else Finish.LENGTH
        return Passage(place.turn, min(tokens, place.most), finish)


class _Drawn(Work):
    """Chains that are worked out when they are asked for; the latest are remembered."""

    _shapes: dict[tuple[int, int], ChainShape]

    def shape(self, problem: int, sample: int) -> ChainShape:
        """The same whenever it is asked for, and whatever else is."""
        key = problem, sample
        if key not in self._shapes:
            if len(self._shapes) >= _KEPT:
                self._shapes.pop(next(iter(self._shapes)))
            self._shapes[key] = self._draw(problem, sample)
        return self._shapes[key]

    @abstractmethod
    def _draw(self, problem: int, sample: int) -> ChainShape: ...


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

    @property
    def answers(self) -> bool:
        """Whether any chain was recorded with an answer."""
        return any(chain.answer is not None for problem in self.chains for chain in problem)

    def shape(self, problem: int, sample: int) -> ChainShape:
        """As it was recorded; beyond the recorded samples they repeat."""
        recorded = self.chains[problem]
        return recorded[sample % len(recorded)]


@dataclass
class Typical(_Drawn):
    """Chains drawn from a distribution whose defaults resemble the paper's public run on MATH500.

    The number of turns is log-normal with mean `turns` and standard deviation `spread` of its logarithm, 80 % of whose
    variance lies between problems; at most `most`. Every chunk but the last has `chunk` tokens, the last any number up
    to that; a takeover has `takeover` on average. The logarithm of the perplexity is normal. `agreement` is the mean
    share of a problem's chains that come to its commonest answer; problems differ in it.
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
    agreement: float = 0.82
    _shapes: dict[tuple[int, int], ChainShape] = field(default_factory=dict, init=False, repr=False)

    @property
    def problems(self) -> int:
        """As many as are wanted."""
        return self.count

    @property
    def most_turns(self) -> int:
        """`most`."""
        return self.most

    @property
    def answers(self) -> bool:
        """Every chain has an answer."""
        return True

    def _draw(self, problem: int, sample: int) -> ChainShape:
        normal = NormalDist().inv_cdf
        between = normal(uniform(self.seed, "turns", problem)) * 0.8**0.5
        within = normal(uniform(self.seed, "turns", problem, sample)) * 0.2**0.5
        mean = log(self.turns) - self.spread**2 / 2
        count = min(self.most, max(1, round(exp(mean + self.spread * (between + within)))))
        turns = tuple(self._turn(problem, sample, turn, turn == count - 1) for turn in range(count))
        return ChainShape(turns, self._answer(problem, sample))

    def _answer(self, problem: int, sample: int) -> str:
        """0 is the commonest."""
        share = uniform(self.seed, "agreement", problem) ** (1 / self.agreement - 1)
        draw = uniform(self.seed, "answer", problem, sample)
        return "0" if draw < share else str(1 + floor(_RIVALS * (draw - share) / (1 - share)))

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
class Steps(_Drawn):
    """The chains of another work for methods whose target writes no takeover after a chunk.

    As many tokens as would stand in the other's chains, in steps of `chunk` and a last one that is shorter. A step is
    as long whoever writes it, and goes on where somebody began it. Where the other's decisions are fixed, the target is
    called for a step (`taken`) whose middle it wrote in the record; otherwise for a share `rate` of all steps, drawn by
    lot. `continues` says whether takeovers of the other stand after chunks or in their place.
    """

    other: Work
    chunk: int = 500
    rate: float = 0.0
    continues: bool = True
    _shapes: dict[tuple[int, int], ChainShape] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.samples, self.prompt, self.seed = self.other.samples, self.other.prompt, self.other.seed
        self.fixed = self.other.fixed

    @property
    def problems(self) -> int:
        """As many as the other has."""
        return self.other.problems

    @property
    def most_turns(self) -> int:
        """As good as no limit: a chain ends with its last step."""
        return _MOST_STEPS

    @property
    def answers(self) -> bool:
        """As the other's."""
        return self.other.answers

    def passage(self, place: Place, author: Role) -> Passage:
        """Up to the end of the step that the place lies in."""
        turns, answer = self.shape(place.problem, place.sample)
        step = min(place.stands // self.chunk, len(turns) - 1)
        left = sum(turn.draft for turn in turns[: step + 1]) - place.stands
        tokens = max(0, min(left, place.most))
        finish = Finish.LENGTH if tokens < left else Finish.END if step == len(turns) - 1 else Finish.STOP
        return Passage(step, tokens, finish, answer if finish is Finish.END else None, turns[step])

    def _draw(self, problem: int, sample: int) -> ChainShape:
        turns, answer = self.other.shape(problem, sample)
        stretches = list(self._stretches(turns))
        ends = list(accumulate(stretch.draft for stretch in stretches))
        total = max(1, ends[-1])
        steps = []
        for number, start in enumerate(range(0, total, self.chunk)):
            size = min(self.chunk, total - start)
            within = stretches[min(bisect_right(ends, start + size // 2), len(ends) - 1)]
            called = within.taken if self.fixed else uniform(self.seed, "grade", problem, sample, number) < self.rate
            steps.append(TurnShape(size, within.perplexity, size, called))
        return ChainShape(tuple(steps), answer)

    def _stretches(self, turns: Sequence[TurnShape]) -> Iterator[TurnShape]:
        """What stands in the other's chain, one author after the other: tokens, perplexity, and whose."""
        for number, turn in enumerate(turns):
            taken = self.fixed and turn.taken
            if self.continues or not taken:
                yield TurnShape(turn.draft, turn.perplexity, 0)
            if taken:
                yield TurnShape(turn.takeover, turn.perplexity, 0, taken=True)
            elif not self.fixed and self.continues and number < len(turns) - 1:  # nobody takes over after a last chunk
                yield TurnShape(round(self.rate * turn.takeover), turn.perplexity, 0)
