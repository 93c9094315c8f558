"""Speculative Thinking (arXiv 2504.12329): after each paragraph the draft's next words call the target in, or not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from atts.pipeline.chain import ChainState
from atts.pipeline.stages import Stages
from atts.pipeline.strategies.base import BY_PARAGRAPH, Strategy, options
from atts.types import Finish, Piece, Role, Turn

Count = Annotated[int, Field(ge=1)]
Words = tuple[Annotated[str, Field(min_length=1)], ...]


@options
class SpeculativeThinking(Strategy):
    """The draft writes a paragraph and peeks ahead; if the peek doubts, checks or affirms, the target writes instead.

    Names and defaults of the options are the published ones. A peek without any of the words is dropped, and the draft
    goes on. When the target's passage checks something, it goes on for `original_recap_token_num` tokens; after
    `recap_after_negative_num` doubts it is made to check everything, after the words `help_recap_words`, at growing
    length and in growing distance. `not_reasoning` hands every paragraph to the target; `begin` lets it write the first
    `begin_token_num` tokens; without `choose_large` the peek stands where both agree. A chain also ends when it holds
    more than `max_tokens` tokens. With `compat="reference"` words count wherever their letters stand ("wait" in
    "waiting"), a check goes on after the end of the text, and `help_think_word` stays where nothing follows it.
    """

    name = "speculative-thinking"
    description = "the target writes on after paragraphs where the draft is about to doubt, check or affirm"
    roles = (Role.DRAFT, Role.TARGET)
    turns = BY_PARAGRAPH
    budget = "max_tokens"

    trigger_tokens: Words = ("\n\n",)
    verify: Words = ("verify", "think again", "recap", "check")
    negative: Words = ("wait", "alternatively", "hold on", "another")
    positive: Words = ("yeah", "yes", "final answer", "confident")
    help_think_word: str = ""
    help_recap_words: str = "Let me check whether there are some wrong steps."
    not_reasoning: bool = False
    choose_large: bool = True
    max_target_tokens: Count = 20
    begin: bool = False
    begin_token_num: Count = 100
    original_recap_token_num: Count = 125
    recap_after_negative_num: Count = 15
    add_each_recap: Annotated[int, Field(ge=0)] = 25
    add_each_neg: Annotated[int, Field(ge=0)] = 5
    max_recap_token_num: Count = 200
    max_negative_num: Count = 30
    max_tokens: Count = 32768
    compat: Literal["none", "reference"] = "none"

    async def turn(self, chain: ChainState, stages: Stages) -> Turn:
        """One paragraph of the draft, and what the target makes of its end."""
        turn = await self._turn(chain, stages)
        return replace(turn, ended="budget") if chain.tokens > self.max_tokens else turn

    async def _turn(self, chain: ChainState, stages: Stages) -> Turn:
        problem, sample = chain.key
        notes = chain.notes or self._first_notes()
        if self.begin and chain.turn == 0:
            opening = await self._append(chain, stages, self.begin_token_num)
            return Turn(problem, sample, chain.turn, takeover=opening, notes=notes)
        draft = await stages.write(chain, Role.DRAFT, stop=self.trigger_tokens)
        goes_on = draft.finish is Finish.STOP and not chain.finishes(draft)
        doubtful = notes["doubts"] >= notes["patience"]
        if goes_on and not doubtful and self.compat == "reference" and self.help_think_word:
            draft = await self._with_word(chain, stages, draft)
        await chain.append(draft)
        turn = Turn(problem, sample, chain.turn, draft, notes=notes)
        if not goes_on:
            return turn
        return await (self._recap if doubtful else self._peek)(chain, stages, turn)

    async def _with_word(self, chain: ChainState, stages: Stages, draft: Piece) -> Piece:
        """The paragraph and `help_think_word`, which the published code never takes back, whatever follows."""
        word = self.help_think_word
        ids = draft.ids + await stages.tokenize(Role.DRAFT, word)
        return await stages.spelled(chain, replace(draft, text=draft.text + word, ids=ids))

    async def _recap(self, chain: ChainState, stages: Stages, turn: Turn) -> Turn:
        """Too many doubts: the target checks what was written so far."""
        length = int(turn.notes["recap"])
        takeover = await self._append(chain, stages, length, lead=self.help_recap_words)
        notes = {
            "doubts": 0,
            "recap": min(length + self.add_each_recap, self.max_recap_token_num),
            "patience": min(turn.notes["patience"] + self.add_each_neg, self.max_negative_num),
        }
        return replace(turn, takeover=takeover, notes=notes)

    async def _peek(self, chain: ChainState, stages: Stages, turn: Turn) -> Turn:
        """Look at the draft's next words; where they say something, let the target write."""
        length = self.max_target_tokens
        lead = self.help_think_word if self.compat == "none" else ""
        peek = await stages.write(chain, Role.DRAFT, limit=length, stop=(), lead=lead, purpose="peek")
        before = self._mood(peek.text)
        if before == 0 and not self.not_reasoning:
            return replace(turn, dropped=(peek,))
        passage = await stages.write(chain, Role.TARGET, limit=length, stop=(), lead=lead)
        after = self._mood(passage.text)
        large = self.choose_large or (before < 0 <= after) or (before > 0 > after)
        chosen, dropped = (passage, peek) if large else (peek, passage)
        await chain.append(chosen)
        more: tuple[Piece, ...] = () if large else (peek,)
        if self._checks(chosen):
            more += (await self._append(chain, stages, self.original_recap_token_num, purpose="verify"),)
        doubts = turn.notes["doubts"] + (self._mood(chosen.text) < 0)
        return replace(
            turn,
            takeover=passage if large else None,
            more=more,
            dropped=(dropped,),
            notes={**turn.notes, "doubts": doubts},
        )

    async def _append(
        self, chain: ChainState, stages: Stages, limit: int, *, lead: str = "", purpose: str = ""
    ) -> Piece:
        """A passage of the target, which stands."""
        piece = await stages.write(chain, Role.TARGET, limit=limit, stop=(), lead=lead, purpose=purpose)
        await chain.append(piece)
        return piece

    def _first_notes(self) -> Mapping[str, float]:
        return {"doubts": 0, "recap": self.original_recap_token_num, "patience": self.recap_after_negative_num}

    def _checks(self, piece: Piece) -> bool:
        ended = piece.finish.over and self.compat == "none"
        return not ended and self._count(self.verify, piece.text) > 0

    def _mood(self, text: str) -> int:
        """1 for affirming, −1 for doubting or checking (or both alike), 0 for neither."""
        affirming = self._count(self.positive, text)
        doubting = self._count(self.negative + self.verify, text)
        return 1 if affirming > doubting else -1 if doubting else 0

    def _count(self, words: tuple[str, ...], text: str) -> int:
        """How often the words occur in the text, in any case."""
        if self.compat == "reference":
            return sum(text.lower().count(word.lower()) for word in words)
        return sum(len(re.findall(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)) for word in words)
