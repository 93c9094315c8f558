"""SpecReason (arXiv 2504.07891): the target grades each step of the draft with a digit and rewrites the poor ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from atts.errors import NoRoomError
from atts.pipeline.chain import ChainState
from atts.pipeline.settings import STEP_END
from atts.pipeline.stages import Stages
from atts.pipeline.stop import FULL
from atts.pipeline.strategies.base import BY_PARAGRAPH, Strategy, options
from atts.types import Finish, Message, Piece, Role, Turn

_FINISH_MARKS = ("boxed", "Answer:", "ANSWER:")  # what ends a chain in the published code, wherever it stands
_THINK, _UNTHINK = "<think>", "</think>"
_TOP = 10  # tokens among which the grade is looked for
_QUESTION = (
    "Grade the last step of the reasoning above, and only that one, with a single digit from 0 (wrong) to 9 (certainly "
    "right). What counts is whether it is factually correct and follows logically, not its style or whether it helps."
)
_REPLY = "The grade of the last step is \\boxed{"  # a digit follows directly, however the tokenizer treats blanks


@options
class SpecReason(Strategy):
    """Step by step: the draft writes one, the target grades it 0 to 9, and below the threshold writes it anew.

    With `score_method` `greedy` the grade is the likeliest token, with `average` the mean digit of the ten likeliest;
    where there is no digit there is no grade, and the step is rewritten. A chain also ends when it holds more than
    `token_budget` tokens, and when it repeats a step. With `compat="reference"` steps are glued and ended as in the
    published code: "boxed" or "Answer:" anywhere ends a chain and the end of the text does not, a closed thinking part
    is opened again (but for steps that the target writes alone), a cut step is closed by a blank line, and a digit
    with a blank before it is none.
    """

    name = "specreason"
    description = "the target grades each step of the draft with a digit and rewrites those below a threshold"
    roles = (Role.DRAFT, Role.TARGET)
    turns = BY_PARAGRAPH
    budget = "token_budget"
    asks = True

    score_threshold: Annotated[float, Field(ge=0, le=9)] = 7.0
    score_method: Literal["greedy", "average"] = "greedy"
    first_n_steps_base_model: Annotated[int, Field(ge=0)] = 0
    token_budget: Annotated[int, Field(ge=1)] = 8192
    compat: Literal["none", "reference"] = "none"

    async def turn(self, chain: ChainState, stages: Stages) -> Turn:
        """One step, graded unless it is one of the first that the target writes alone."""
        problem, sample = chain.key
        if chain.turn < self.first_n_steps_base_model:
            step = await self._step(chain, stages, Role.TARGET)
            return await self._stand(chain, step, Turn(problem, sample, chain.turn, takeover=step))
        draft = await self._step(chain, stages, Role.DRAFT)
        if not draft.ids:  # nothing to grade: the draft has ended its text
            return await self._stand(chain, draft, Turn(problem, sample, chain.turn, draft))
        try:
            asked = await stages.ask(chain, self._chat(chain, draft), _TOP)
        except NoRoomError:  # the target can read no further: the step is the last of the chain
            return await self._stand(chain, draft, Turn(problem, sample, chain.turn, draft, ended=FULL))
        score = self._grade(asked.likeliest)
        accepted = score is not None and score >= self.score_threshold
        turn = Turn(
            problem,
            sample,
            chain.turn,
            draft,
            scores={} if score is None else {"grade": score},
            scored=asked.usage,
            scoring=asked.span,
            takeover=None if accepted else await self._step(chain, stages, Role.TARGET),
            replaced=not accepted,
        )
        return await self._stand(chain, turn.kept[0], turn)

    async def _step(self, chain: ChainState, stages: Stages, role: Role) -> Piece:
        step = await stages.write(chain, role, stop=(STEP_END,))
        return await self._as_published(step, chain, stages) if self.compat == "reference" else step

    async def _stand(self, chain: ChainState, step: Piece, turn: Turn) -> Turn:
        before = chain.last
        await chain.append(step)
        return replace(turn, ended=turn.ended or self._over(chain, before, step))

    def _over(self, chain: ChainState, before: str, step: Piece) -> str:
        if chain.tokens >= self.token_budget:
            return "budget"
        published = self.compat == "reference"
        if published and any(mark in step.text for mark in _FINISH_MARKS):
            return "answer"
        # Two blank steps in a row end the published code too, though the next one may well say something.
        if chain.turn >= 2 and step.text == before and (published or step.text.strip()):
            return "repeat"
        return ""

    def _chat(self, chain: ChainState, draft: Piece) -> list[Message]:
        """The problem, the reasoning with the step to be graded, the question, and the reply up to the digit."""
        opening = _THINK + "\n" if chain.thinking else ""
        # Templates of reasoning models drop whatever stands before a closed thinking part.
        said = (chain.text + draft.text).replace(_UNTHINK, "")
        return [
            *chain.messages,
            Message("assistant", opening + said),
            Message("user", _QUESTION),
            Message("assistant", _REPLY),
        ]

    def _grade(self, likeliest: Sequence[tuple[str, float]]) -> float | None:
        """The grade in a distribution of next tokens, or None if there is none."""
        digits = [(int(digit), math.exp(value)) for text, value in likeliest if (digit := self._digit(text))]
        if self.score_method == "average":
            total = sum(weight for _, weight in digits)
            return sum(digit * weight for digit, weight in digits) / total if total else None
        first = self._digit(likeliest[0][0]) if likeliest else ""
        return float(first) if first else None

    def _digit(self, token: str) -> str:
        """The digit that a token is; in the published code a token with a blank before it is none."""
        text = token if self.compat == "reference" else token.strip()
        return text if len(text) == 1 and text in "0123456789" else ""

    async def _as_published(self, step: Piece, chain: ChainState, stages: Stages) -> Piece:
        """The step as the published code keeps it: closed by a blank line, thinking never closed, no end of text."""
        text = step.text
        first = chain.turn < self.first_n_steps_base_model  # those are kept as they are
        if not first and not any(mark in text for mark in _FINISH_MARKS):
            text = text.replace(_UNTHINK, "")
        text = text.removesuffix(STEP_END) + STEP_END
        ids = step.ids if text == step.text else await stages.tokenize(step.author, text)
        return await stages.spelled(chain, replace(step, text=text, ids=ids, finish=Finish.STOP))
