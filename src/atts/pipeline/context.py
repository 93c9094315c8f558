"""What a chain has said so far, as each engine reads it: token ids that are only ever appended to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atts.engines.base import Engine
from atts.pipeline.detokenizer import Detokenizer, Reading
from atts.types import EngineInfo, GrowingIds, Message, Piece, Role

_THINK = "<think>"  # what templates of reasoning models open the answer with


class Context:
    """The token ids of one chain, one list an engine, and what they say.

    The prompt is rendered once. What a model writes is appended to its own list as it was drawn. The other model gets
    the same ids if the two share a vocabulary; otherwise it gets the text, tokenised on its own, once. A character
    that the end of a piece cuts in two belongs to the piece that completes it. Where the vocabularies differ, only its
    author can: if the other writes on instead, its bytes are broken, and the other has never seen them.
    """

    def __init__(self, engines: Mapping[Role, Engine], prompts: Mapping[Role, Sequence[int]], shared: bool) -> None:
        self._engines = engines
        self._prompts = prompts
        self._shared = shared
        self.restart()

    def ids(self, role: Role) -> list[int]:
        """All token ids for the engine of that role. Not a copy: read it, do not keep it."""
        return self._ids[role]

    def written(self, role: Role) -> tuple[int, ...]:
        """The token ids after the prompt."""
        return tuple(self._ids[role][len(self._prompts[role]) :])

    def restart(self) -> None:
        """Only the prompt stands."""
        self._ids = {role: GrowingIds(ids) for role, ids in self._prompts.items()}
        together = Detokenizer()
        self._texts = {role: together if self._shared else Detokenizer() for role in self._prompts}
        self._readings: dict[tuple[Role, tuple[int, ...], bool], Reading] = {}

    async def text(self, piece: Piece) -> str:
        """What the piece would add to the text of the chain, in whole characters, without appending anything."""
        own = await self._own_text(piece)
        return await self._lost(piece.author) + own if own else ""

    async def read_by(self, role: Role, piece: Piece) -> tuple[int, ...]:
        """The piece as token ids of that role's engine, without appending anything."""
        if role is piece.author or self._shared:
            return piece.ids
        text = await self._own_text(piece)
        return tuple(await self._engines[role].tokenize(text)) if text else ()

    async def append(self, piece: Piece) -> str:
        """The piece stands: every engine's list grows by it. Returns what it adds to the text of the chain."""
        text = await self.text(piece)
        reading = await self._reading(piece)
        read = {role: await self.read_by(role, piece) for role in self._ids}
        self._readings.clear()
        for role, ids in read.items():
            self._ids[role].extend(ids)
            if text and not self._shared and role is not piece.author:
                self._texts[role].follow(ids)
        self._texts[piece.author].take(reading)
        return text

    async def _own_text(self, piece: Piece) -> str:
        """What the ids of the piece say; what its engine said where ids have no text (an engine without a model)."""
        reading = await self._reading(piece)
        return reading.text if reading.text or reading.held else piece.text

    async def _reading(self, piece: Piece) -> Reading:
        key = piece.author, piece.ids, piece.finish.over
        if key not in self._readings:
            decode = self._engines[piece.author].detokenize
            self._readings[key] = await self._texts[piece.author].read(decode, piece.ids, last=key[2])
        return self._readings[key]

    async def _lost(self, author: Role) -> str:
        """The broken characters that the others leave behind once this author has written on."""
        others = {role: text.held for role, text in self._texts.items() if text is not self._texts[author]}
        return "".join([await self._engines[role].detokenize(held) for role, held in others.items() if held])


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as each engine reads it. `thinking` says that it ends inside a thinking part, which it has opened."""

    ids: Mapping[Role, Sequence[int]]
    thinking: bool


async def render_prompt(engines: Mapping[Role, Engine], messages: Sequence[Message]) -> Prompt:
    """Render the chat for each engine; whether thinking has begun is up to the first of them, which writes most."""
    ids = {role: await engine.render(messages) for role, engine in engines.items()}
    first = next(iter(engines))
    opening = await engines[first].tokenize(_THINK)
    return Prompt(ids, thinking=_ends_with(ids[first], opening))


def _ends_with(ids: Sequence[int], opening: Sequence[int]) -> bool:
    """Whether the opening stands at the end, but for one token (a line break)."""
    ends = (len(ids), len(ids) - 1)
    return any(list(ids[end - len(opening) : end]) == list(opening) for end in ends if end >= len(opening) > 0)


def share_vocabulary(infos: Sequence[EngineInfo]) -> bool:
    """Whether the engines may exchange token ids."""
    return len({info.vocabulary for info in infos}) <= 1
