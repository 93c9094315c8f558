"""What a chain has said so far, as each engine reads it: token ids that are only ever appended to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atts.engines.base import Engine
from atts.types import EngineInfo, GrowingIds, Message, Piece, Role

_BROKEN = "\ufffd"  # how an incomplete character decodes
_THINK = "<think>"  # what templates of reasoning models open the answer with


class Context:
    """The token ids of one chain, one list an engine.

    The prompt is rendered once. What a model writes is appended to its own list as it was drawn. The other model gets
    the same ids if the two share a vocabulary; otherwise it gets the text, tokenised on its own, once. A character
    that a chunk's end cuts in two is held back until its author completes it.
    """

    def __init__(self, engines: Mapping[Role, Engine], prompts: Mapping[Role, Sequence[int]], shared: bool) -> None:
        self._engines = engines
        self._ids = {role: GrowingIds(ids) for role, ids in prompts.items()}
        self._prompts = prompts
        self._shared = shared
        self._held: dict[Role, tuple[int, ...]] = {}

    def ids(self, role: Role) -> list[int]:
        """All token ids for the engine of that role. Not a copy: read it, do not keep it."""
        return self._ids[role]

    def written(self, role: Role) -> tuple[int, ...]:
        """The token ids behind the prompt."""
        return tuple(self._ids[role][len(self._prompts[role]) :])

    def restart(self) -> None:
        """Only the prompt stands."""
        self._ids = {role: GrowingIds(ids) for role, ids in self._prompts.items()}
        self._held.clear()

    async def read_by(self, role: Role, piece: Piece) -> tuple[int, ...]:
        """The piece as token ids of that role's engine, without appending anything."""
        if role is piece.author or self._shared:
            return piece.ids
        whole, _ = await self._whole_characters(piece)
        return tuple(await self._engines[role].tokenize(whole)) if whole else ()

    async def append(self, piece: Piece) -> None:
        """The piece stands: every engine's list grows by it."""
        read = {role: await self.read_by(role, piece) for role in self._ids}
        if not self._shared and len(self._ids) > 1:
            _, held = await self._whole_characters(piece)
            self._held = {piece.author: held} if held else {}
        for role, ids in read.items():
            self._ids[role].extend(ids)

    async def _whole_characters(self, piece: Piece) -> tuple[str, tuple[int, ...]]:
        """Text of the piece up to its last complete character, and the ids of the incomplete rest."""
        before = self._held.get(piece.author, ())
        if not before and not piece.text.endswith(_BROKEN):
            return piece.text, ()
        ids = before + piece.ids
        engine = self._engines[piece.author]
        for cut in range(len(ids), max(len(ids) - 4, 0) - 1, -1):  # a character has four bytes at most
            text = await engine.detokenize(ids[:cut])
            if not text.endswith(_BROKEN):
                return text, ids[cut:]
        return await engine.detokenize(ids), ()  # not a cut character: the model did write a broken one


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
