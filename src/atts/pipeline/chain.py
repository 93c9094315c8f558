"""One chain: what stands so far, and whether it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from atts.pipeline.context import Context
from atts.pipeline.group import Group
from atts.pipeline.settings import ChainSettings
from atts.types import Finish, Message, Piece, Turn

AnswerRule = Callable[[str], str | None]
"""The finished answer in a text, or None. Cheap, and never a call to a model: it runs once a turn."""

FULL = "context"
"""Why a chain is over that fills the context of a model."""

_MORE = "0"  # goes on with any word or number

AnswerRules = Callable[[bool], AnswerRule]
"""The rule for chains whose text begins inside a thinking part, which the prompt has opened, or (False) does not."""


class ChainState:
    """A chain in the making: its context, its text and its turns so far.

    `order` is the place of its problem in the run: earlier problems are served first. `group` holds the samples of the
    same problem, `messages` the chat that the chain answers; `thinking` says that the prompt has opened a thinking
    part. `tokens` counts what stands, `notes` are those of the last turn.
    """

    def __init__(
        self, problem: str, sample: int, order: int, context: Context, settings: ChainSettings, answer: AnswerRule
    ) -> None:
        self.problem = problem
        self.sample = sample
        self.order = order
        self.context = context
        self.settings = settings
        self.group = Group({sample: 0})
        self.messages: Sequence[Message] = ()
        self.thinking = False
        self.turn = 0
        self.tokens = 0
        self.notes: Mapping[str, float] = {}
        self.started = 0.0
        self._answer = answer
        self._texts: list[str] = []
        self._complete = 0
        self._finished = ""

    @property
    def key(self) -> tuple[str, int]:
        """What tells this chain from every other of the run."""
        return self.problem, self.sample

    @property
    def text(self) -> str:
        """Everything that stands."""
        return "".join(self._texts)

    @property
    def standing(self) -> str:
        """What stands of the turns that are complete: all of the text, unless the chain is in the midst of a turn."""
        return "".join(self._texts[: self._complete])

    @property
    def last(self) -> str:
        """The piece that was appended last, or nothing."""
        return self._texts[-1] if self._texts else ""

    @property
    def finished(self) -> str:
        """Why the chain is over: `end`, `answer`, `turns` or a method's own reason; empty while it goes on."""
        return self._finished or ("turns" if self.turn >= self.settings.turns else "")

    def answer(self) -> str | None:
        """The answer in what stands of complete turns, if there is one, taking it for the end of the text."""
        return self._answer(self.standing)

    def finishes(self, piece: Piece) -> bool:
        """Whether the chain would be over if the piece stood: end of text, or a complete answer outside thinking."""
        return piece.finish is Finish.END or self._settled(self.text + piece.text)

    def _settled(self, text: str) -> bool:
        """Whether a text gives an answer that stays the same whatever follows: a chunk may end in mid-word."""
        answer = self._answer(text)
        return answer is not None and self._answer(text + _MORE) == answer

    async def append(self, piece: Piece) -> None:
        """The piece stands, in both contexts and in the text."""
        self._texts.append(await self.context.append(piece))
        self.tokens += len(piece.ids)

    def restart(self) -> None:
        """Nothing stands any more, as behind the prompt; the turns count on."""
        self.context.restart()
        self._texts.clear()
        self._complete = 0
        self.tokens = 0

    def complete(self, turn: Turn) -> None:
        """The turn, whose kept pieces stand already, is over."""
        self.turn += 1
        self._complete = len(self._texts)
        self.notes = turn.notes
        if turn.ended:
            self._finished = turn.ended
        elif turn.kept and turn.kept[-1].finish is Finish.END:
            self._finished = "end"
        elif self._settled(self.text):
            self._finished = "answer"

    async def restore(self, turns: list[Turn]) -> None:
        """Go on behind turns that were made earlier."""
        for turn in turns:
            if turn.anew:
                self.restart()
            for piece in turn.kept:
                await self.append(piece)
            self.complete(turn)
