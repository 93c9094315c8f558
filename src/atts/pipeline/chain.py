"""One chain: what stands so far, and whether it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atts.pipeline.barrier import Barrier
from atts.pipeline.context import Context
from atts.pipeline.recipe import Recipe
from atts.pipeline.stop import AnswerRule, Standing, why_over
from atts.types import Finish, Key, Message, Piece, Turn


class ChainState:
    """A chain in the making: its context, its text and its turns so far.

    `order` is its place in the queue for engines: lower ones are served first. `siblings` are the open chains of the
    same problem by sample, itself among them, `barrier` is where they wait for each other. `messages` is the chat that
    the chain answers; `thinking` says that the prompt has opened a thinking part. `tokens` counts what stands, `notes`
    are those of the last turn. `finished` is why the chain is over: `end`, `answer`, `turns`, `context`, another rule's
    word or a method's own; empty while it goes on.
    """

    def __init__(
        self, problem: str, sample: int, order: float, context: Context, recipe: Recipe, answer: AnswerRule
    ) -> None:
        self.problem = problem
        self.sample = sample
        self.order = order
        self.context = context
        self.recipe = recipe
        self.siblings: Mapping[int, ChainState] = {sample: self}
        self.barrier = Barrier({sample: 0})
        self.messages: Sequence[Message] = ()
        self.thinking = False
        self.turn = 0
        self.tokens = 0
        self.notes: Mapping[str, float] = {}
        self.started = 0.0
        self.finished = ""
        self._rules = recipe.rules
        self._answer = answer
        self._texts: list[str] = []
        self._complete = 0

    @property
    def key(self) -> Key:
        """What tells this chain from every other that is open."""
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

    def answer(self) -> str | None:
        """The answer in what stands of complete turns, if there is one, taking it for the end of the text."""
        return self._answer(self.standing)

    def finishes(self, piece: Piece) -> bool:
        """Whether the chain would be over if the piece stood: end of text, a complete answer, no more tokens wanted."""
        tokens = self.tokens + len(piece.ids)
        return bool(why_over(self._rules, self._as_standing(self.text + piece.text, tokens, piece.finish)))

    async def append(self, piece: Piece) -> None:
        """The piece stands, in both contexts and in the text."""
        self._texts.append(await self.context.append(piece))
        self.tokens += len(piece.ids)

    def restart(self) -> None:
        """Nothing stands any more but the prompt; the turns count on."""
        self.context.restart()
        self._texts.clear()
        self._complete = 0
        self.tokens = 0

    def complete(self, turn: Turn) -> None:
        """The turn, whose kept pieces stand already, is over."""
        self._count(turn)
        self._look(turn)

    def fill(self) -> None:
        """A model has no room for what should come next: the turns that are complete are all."""
        self.finished = why_over(self._rules, self._as_standing(self.standing, self.tokens, None, full=True))

    async def restore(self, turns: Sequence[Turn]) -> None:
        """Go on after turns that were made earlier."""
        for turn in turns:
            if turn.anew:
                self.restart()
            for piece in turn.kept:
                await self.append(piece)
            self._count(turn)
        if turns:
            self._look(turns[-1])

    def _count(self, turn: Turn) -> None:
        self.turn += 1
        self._complete = len(self._texts)
        self.notes = turn.notes

    def _look(self, turn: Turn) -> None:
        """Ask the rules whether the chain is over after this turn, its last one."""
        finish = turn.kept[-1].finish if turn.kept else None
        self.finished = why_over(self._rules, self._as_standing(self.text, self.tokens, finish, turn.ended))

    def _as_standing(
        self, text: str, tokens: int, finish: Finish | None, ended: str = "", *, full: bool = False
    ) -> Standing:
        return Standing(text, self.turn, tokens, finish, self._answer, ended, full)
