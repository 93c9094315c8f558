from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from atts.engines.scripted import ScriptedEngine
from atts.pipeline.context import Context, render_prompt
from atts.types import Finish, Message, Piece, Role, Span, TokenIds, Usage


class PairsEngine(ScriptedEngine):
    """Another vocabulary: UTF-16 code units of two bytes each, so that ids differ and characters break elsewhere."""

    async def tokenize(self, text: str) -> list[int]:
        data = text.encode("utf-16-le")
        return [1000 + int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]

    async def detokenize(self, ids: TokenIds) -> str:
        return b"".join((i - 1000).to_bytes(2, "little") for i in ids).decode("utf-16-le", errors="replace")

    async def render(self, messages: Sequence[Message]) -> list[int]:
        return await self.tokenize("prompt")


def piece(author: Role, ids: Sequence[int], text: str) -> Piece:
    return Piece(author, text, tuple(ids), Finish.LENGTH, Usage(), Span(0, 0, 0))


async def test_a_shared_vocabulary_shares_ids() -> None:
    engines = {Role.DRAFT: ScriptedEngine(), Role.TARGET: ScriptedEngine()}
    context = Context(engines, {Role.DRAFT: [1, 2], Role.TARGET: [1, 2, 3]}, shared=True)
    await context.append(piece(Role.DRAFT, [7, 8], "ab"))
    await context.append(piece(Role.TARGET, [9], "c"))
    assert context.ids(Role.DRAFT) == [1, 2, 7, 8, 9]
    assert context.ids(Role.TARGET) == [1, 2, 3, 7, 8, 9]


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="aé漢😀 \n", min_size=1, max_size=30),
    st.lists(st.integers(1, 5), min_size=1, max_size=30),
)
async def test_text_is_exchanged_whole_however_chunks_cut_characters(text: str, cuts: list[int]) -> None:
    """The target's ids are those of the text, although the draft's chunks end inside characters."""
    draft, target = ScriptedEngine(), PairsEngine()
    context = Context({Role.DRAFT: draft, Role.TARGET: target}, {Role.DRAFT: [], Role.TARGET: []}, shared=False)
    data, start = list(text.encode()), 0
    for size in [*cuts, len(data)]:
        ids = data[start : start + size]
        if ids:
            await context.append(piece(Role.DRAFT, ids, await draft.detokenize(ids)))
        start += size
    assert context.ids(Role.DRAFT) == data
    assert await target.detokenize(context.ids(Role.TARGET)) == text


async def test_reading_appends_nothing() -> None:
    engines = {Role.DRAFT: ScriptedEngine(), Role.TARGET: PairsEngine()}
    context = Context(engines, {Role.DRAFT: [], Role.TARGET: []}, shared=False)
    chunk = piece(Role.DRAFT, list(b"hello"), "hello")
    read = await context.read_by(Role.TARGET, chunk)
    assert await engines[Role.TARGET].detokenize(read) == "hello"
    assert context.ids(Role.TARGET) == []


async def test_a_prompt_that_opens_thinking_is_recognised() -> None:
    class Thinker(ScriptedEngine):
        tail = "<think>\n"

        async def render(self, messages: Sequence[Message]) -> list[int]:
            return [*await super().render(messages), *self.tail.encode()]

    messages = [Message("user", "2+2?")]
    assert (await render_prompt({Role.DRAFT: Thinker()}, messages)).thinking
    assert not (await render_prompt({Role.DRAFT: ScriptedEngine()}, messages)).thinking
    Thinker.tail = "<think></think>\n"
    assert not (await render_prompt({Role.DRAFT: Thinker()}, messages)).thinking
