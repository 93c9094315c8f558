"""When a chain is over, and when a problem is: rules as values, the same for whoever makes chains or reads them back.

What a rule says is the `reason` that stands in the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from atts.pipeline.vote import Vote, VoteStop
from atts.types import Chain, Finish, Status

AnswerRule = Callable[[str], str | None]
"""The finished answer in a text, or None. Cheap, and never a call to a model: it runs once a turn."""

FULL = "context"
"""Why a chain is over that fills the context of a model."""

VOTE_DECIDED = "the vote is decided"
"""Why chains are cancelled whose votes no longer count."""

_GOES_ON = "0"


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands of a chain, as far as a rule may look at it.

    `turns` counts those that are complete, `tokens` those of the text. `finish` is how the last piece of the text
    ended. `ended` is the method's own reason, `full` says that a model's context has no room. `answer` is the rule that
    finds the chain's answer.
    """

    text: str
    turns: int
    tokens: int
    finish: Finish | None
    answer: AnswerRule
    ended: str = ""
    full: bool = False


class StopRule(Protocol):
    """A way for a chain to be over."""

    def reason(self, chain: Standing) -> str:
        """Why the chain is over, in a word; empty while it goes on."""
        ...


@dataclass(frozen=True, slots=True)
class Own:
    """The method has a reason of its own."""

    def reason(self, chain: Standing) -> str:
        """In the method's word."""
        return chain.ended


@dataclass(frozen=True, slots=True)
class EndOfText:
    """The model that wrote last has ended its text, or its server has."""

    def reason(self, chain: Standing) -> str:
        """`end`, or the server's word."""
        return chain.finish.value if chain.finish is not None and chain.finish.over else ""


@dataclass(frozen=True, slots=True)
class Answered:
    """The text gives an answer that stays the same whatever follows."""

    def reason(self, chain: Standing) -> str:
        """`answer`."""
        return "answer" if settled(chain.answer, chain.text) else ""


@dataclass(frozen=True, slots=True)
class Turns:
    """So many turns are made."""

    most: int

    def reason(self, chain: Standing) -> str:
        """`turns`."""
        return "turns" if chain.turns >= self.most else ""


@dataclass(frozen=True, slots=True)
class FullContext:
    """A model's context has no room for more. A prompt that does not fit says that the settings are wrong."""

    def reason(self, chain: Standing) -> str:
        """`context`, if there is a chain at all."""
        return FULL if chain.full and chain.turns > 0 else ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """So many tokens stand, or more: what stands is whole pieces, cutting them is up to who asked."""

    most: int

    def reason(self, chain: Standing) -> str:
        """`tokens`."""
        return "tokens" if chain.tokens >= self.most else ""


@dataclass(frozen=True, slots=True)
class StopStrings:
    """One of the strings stands in the text, across pieces and authors; the text is not cut there."""

    strings: tuple[str, ...]

    def reason(self, chain: Standing) -> str:
        """`stop`."""
        return "stop" if any(string in chain.text for string in self.strings) else ""


def usual_rules(turns: int) -> tuple[StopRule, ...]:
    """What ends every chain; the first rule that applies names the reason."""
    return Own(), EndOfText(), Answered(), FullContext(), Turns(turns)


def why_over(rules: Iterable[StopRule], chain: Standing) -> str:
    """The first reason that any rule has; empty if none has one."""
    return next((reason for rule in rules if (reason := rule.reason(chain))), "")


def settled(answer: AnswerRule, text: str) -> bool:
    """Whether the text gives an answer that stays the same whatever follows.

    A piece may end in mid-word: `Answer: B` may become `Answer: Both`, `18` may become `180`. A digit goes on with a
    word and with a number alike; an answer that it does not change has ended before. A rule whose `ending` finds fewer
    answers has others that do not end a chain.
    """
    ending: AnswerRule = getattr(answer, "ending", answer)
    found = ending(text)
    return found is not None and ending(text + _GOES_ON) == found


class ProblemRule(Protocol):
    """A way for a problem to need no more of its chains; it counts them as they end."""

    def ended(self, chain: Chain) -> str:
        """A chain of the problem has ended. Why the others are not needed; empty while they are."""
        ...


@dataclass(frozen=True, slots=True)
class VoteRule:
    """A problem of so many samples is over when the majority among them is decided; see `Vote`.

    `key` maps answers that mean the same to the same text.
    """

    samples: int
    stop: VoteStop = "off"
    error: float = 0.05
    key: Callable[[str], str] = str

    @property
    def early(self) -> bool:
        """Whether a problem may be over before all its samples are made."""
        return self.stop != "off"

    def count(self, earlier: Iterable[Chain] = ()) -> VoteCount:
        """The rule for one problem, of which some chains may have ended before."""
        count = VoteCount(self)
        for chain in earlier:
            count.ended(chain)
        return count

    def decided_after(self, answers: Iterable[str | None]) -> int | None:
        """How many of the answers, in the order in which they came, decide a problem; None: it is not decided yet."""
        vote = Vote(self.samples, self.stop, self.error)
        return next((count for count, answer in enumerate(answers, start=1) if vote.add(self.voted(answer))), None)

    def voted(self, answer: str | None) -> str | None:
        """What an answer votes for."""
        return None if answer is None else self.key(answer)


class VoteCount:
    """The vote on one problem as its chains end.

    Samples that failed are not counted: they are tried again when the run is resumed, and may vote then.
    """

    def __init__(self, rule: VoteRule) -> None:
        self._rule = rule
        self._vote = Vote(rule.samples, rule.stop, rule.error)

    @property
    def over(self) -> str:
        """Why no further chain is needed, by what has ended so far."""
        return VOTE_DECIDED if self._vote.decided() else ""

    def ended(self, chain: Chain) -> str:
        """Count the chain's vote; see `ProblemRule`."""
        if chain.status is Status.DONE:
            self._vote.add(self._rule.voted(chain.answer))
        return self.over
