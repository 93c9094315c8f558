"""Chunks may end anywhere, inside a character too: the text of a chain is that of all its ids."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from atts import bundled
from atts.engines.scripted import ScriptedEngine
from atts.grading.extract import extractor
from atts.pipeline.chain import ChainState
from atts.pipeline.context import Context
from atts.pipeline.detokenizer import Detokenizer
from atts.pipeline.recipe import Recipe
from atts.pipeline.settings import ChainSettings
from atts.pipeline.strategies import strategy_named
from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.types import EngineInfo, Finish, Generation, Piece, Role, Span, TokenIds, Turn, Usage

from .conftest import Bench, jobs

TEXT = "So é = e\u0301, 漢字 and 👩‍🔬 or 🏳️‍🌈, a\u0308\u0323 नमस्ते: \\boxed{3π}."
CORPUS = ["The quick brown fox and 42 naïve cafés.\n\nSo the answer is 7.", "hello world, hello 世界"] * 8
TURN = TypeAdapter(Turn)


@cache
def tokenizer(kind: str) -> Any:
    """Tokenizers as models have them: bytes in a BPE, and words with a blank before them over bytes."""
    tokenizers = pytest.importorskip("tokenizers")
    if kind == "bundled":
        return tokenizers.Tokenizer.from_file(str(bundled.TARGET / "tokenizer.json"))
    decoders, normalizers = tokenizers.decoders, tokenizers.normalizers
    if kind == "bytes":
        made = tokenizers.Tokenizer(tokenizers.models.BPE())
        made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        special = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        texts = [*CORPUS, *[TEXT] * 8]  # so that tokens begin and end inside characters
    else:
        made = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        blank = [normalizers.Prepend("▁")] if kind == "blank" else []
        made.normalizer = normalizers.Sequence([*blank, normalizers.Replace(" ", "▁")])
        parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        made.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if kind == "blank" else parts)
        special = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
        texts = CORPUS
    settings = {"initial_alphabet": special} if kind == "bytes" else {"special_tokens": special}
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=290 if kind == "bytes" else 420, show_progress=False, **settings
    )
    made.train_from_iterator(texts, trainer)
    return made


def encode(kind: str, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(kind).encode(text).ids)


def decoder(kind: str) -> Callable[[TokenIds], Any]:
    async def decode(ids: TokenIds) -> str:
        return str(tokenizer(kind).decode(list(ids), skip_special_tokens=False))

    return decode


async def said(decode: Callable[[TokenIds], Any], ids: Sequence[int], cuts: Sequence[int]) -> list[str]:
    """What each piece says if the ids are cut there."""
    text, pieces = Detokenizer(), []
    for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        reading = await text.read(decode, tuple(ids[start:end]), last=end == len(ids))
        text.take(reading)
        pieces.append(reading.text)
    return pieces


KINDS = ["bundled", "bytes", "blank", "plain"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cut_at_every_position(kind: str) -> None:
    ids, decode = encode(kind, TEXT), decoder(kind)
    whole = await decode(ids)
    assert whole == TEXT and len(ids) > 30
    for cut in range(1, len(ids)):
        first, second = await said(decode, ids, [cut])
        assert first + second == TEXT and "\ufffd" not in first
        assert first.startswith((await decode(ids[:cut])).rstrip("\ufffd")[:-2])  # no more is held back than it has to
    assert "".join(await said(decode, ids, range(1, len(ids)))) == TEXT


ALPHABET = "ab é漢字😀\u200d\ufe0f\u0301👩🔬\n.π"


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(alphabet=ALPHABET, min_size=1, max_size=30), data=st.data())
async def test_pieces_add_up_to_the_text(kind: str, text: str, data: st.DataObject) -> None:
    ids, decode = encode(kind, text), decoder(kind)
    cuts = data.draw(st.lists(st.integers(0, len(ids)), max_size=8).map(sorted))
    pieces = await said(decode, ids, cuts)
    assert "".join(pieces) == await decode(ids)
    assert not any("\ufffd" in piece for piece in pieces)


@given(st.binary(max_size=24), st.lists(st.integers(0, 24), max_size=8))
async def test_bytes_that_are_no_text_are_said_once_and_keep_nothing_back(data: bytes, cuts: list[int]) -> None:
    async def decode(ids: TokenIds) -> str:
        return bytes(ids).decode(errors="replace")

    pieces = await said(decode, list(data), sorted(min(cut, len(data)) for cut in cuts))
    assert "".join(pieces) == data.decode(errors="replace")


async def test_a_turn_costs_as_much_as_its_piece_whatever_stands() -> None:
    decoded = 0

    async def decode(ids: TokenIds) -> str:
        nonlocal decoded
        decoded += len(ids)
        return bytes(ids).decode(errors="replace")

    text, costs = Detokenizer(), []
    for _ in range(200):
        text.take(await text.read(decode, tuple("漢字 and so on".encode()[1:12])))
        costs.append(decoded)
        decoded = 0
    assert max(costs[100:]) <= max(costs[:100]) <= 150


class Writer(ScriptedEngine):
    """Writes `TEXT` from wherever its ids have come to, in units of one byte or of two."""

    def __init__(self, codec: str = "utf-8", width: int = 1) -> None:
        super().__init__(name=codec)
        self.codec, self.width = codec, width

    async def info(self) -> EngineInfo:
        return EngineInfo("scripted", self.name, self.codec)

    async def render(self, messages: Any) -> list[int]:
        return await self.tokenize(">")

    async def tokenize(self, text: str) -> list[int]:
        data = text.encode(self.codec, errors="replace")
        return [int.from_bytes(data[at : at + self.width], "little") for at in range(0, len(data), self.width)]

    async def detokenize(self, ids: TokenIds) -> str:
        return self.data(ids).decode(self.codec, errors="replace")

    def data(self, ids: TokenIds) -> bytes:
        return b"".join(unit.to_bytes(self.width, "little") for unit in ids)

    async def generate(self, prefix: TokenIds, **wanted: Any) -> Generation:
        reader = codecs.getincrementaldecoder(self.codec)("ignore")
        done = reader.decode(self.data(prefix[1:])).replace("\ufffd", "")
        begun = len(reader.getstate()[0])  # bytes of a character
        rest = await self.tokenize(TEXT[len(done) :])
        rest = rest[begun // self.width :]
        ids = tuple(rest[: wanted["max_tokens"]])
        finish = Finish.LENGTH if len(ids) < len(rest) else Finish.END
        return Generation(ids, await self.detokenize(ids), finish, Usage(len(prefix), 0, len(ids)), None)


def pairs() -> list[tuple[Writer, Writer]]:
    return [(Writer(), Writer()), (Writer(), Writer("utf-16-le", 2)), (Writer("utf-16-le", 2), Writer())]


def settings_of(tokens: int, on_reject: Any) -> ChainSettings:
    return ChainSettings(turns=1000, draft_tokens=tokens, target_tokens=tokens + 1, on_reject=on_reject)


@pytest.mark.parametrize("tokens", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("on_reject", ["continue", "replace"])
async def test_chains_say_what_their_models_wrote(tokens: int, on_reject: Any) -> None:
    for draft, target in pairs():
        bench = Bench(draft, target, settings=settings_of(tokens, on_reject), rate=0.4)
        await bench.run(jobs(2, 3))
        for chain in bench.chains:
            own = [turn for turn in bench.turns if (turn.problem, turn.sample) == (chain.problem, chain.sample)]
            assert chain.text == "".join(piece.text for turn in own for piece in turn.kept)
            assert chain.text.replace("\ufffd", "") == TEXT[: len(chain.text.replace("\ufffd", ""))]
            assert "\ufffd" not in chain.text or draft.codec != target.codec
            assert (chain.answer or "").replace("\ufffd", "") == "3π"


@pytest.mark.parametrize("on_reject", ["continue", "replace"])
async def test_a_chain_goes_on_from_every_turn_as_if_it_had_not_stopped(on_reject: Any) -> None:
    for draft, target in pairs():
        bench = Bench(draft, target, settings=settings_of(3, on_reject), rate=0.4)
        chain, turns, states = await new_chain(bench), [], []
        while not chain.finished:
            turn = await strategy_named("atts").turn(chain, bench.stages)
            assert turn is not None
            chain.complete(turn)
            turns.append(TURN.validate_json(TURN.dump_json(turn)))
            states.append(state(chain))
        assert any(turn.takeover for turn in turns) and any(not turn.takeover for turn in turns)
        for made, expected in enumerate(states, start=1):
            resumed = await new_chain(bench)
            await resumed.restore(turns[:made])
            assert state(resumed) == expected
            more = await resumed.context.text(piece(Role.DRAFT, b"ab", Finish.LENGTH))
            assert more.endswith("ab") or draft.width == 2


def state(chain: ChainState) -> tuple[Any, ...]:
    return chain.text, [chain.context.ids(role).copy() for role in Role], chain.answer(), chain.finished


async def new_chain(bench: Bench) -> ChainState:
    engines = {Role.DRAFT: bench.draft, Role.TARGET: bench.target}
    prompts = {role: await engine.render([]) for role, engine in engines.items()}
    context = Context(engines, prompts, shared=bench.draft.name == bench.target.name)
    return ChainState("p0", 0, 0, context, bench.recipe, extractor("boxed", thinking=False))


def piece(author: Role, ids: Sequence[int], finish: Finish) -> Piece:
    return Piece(author, "", tuple(ids), finish, Usage(), Span(0, 0, 0))


async def test_bytes_whose_author_is_interrupted_are_broken_once_that_is_final() -> None:
    engines = {Role.DRAFT: Writer(), Role.TARGET: Writer("utf-16-le", 2)}
    context = Context(engines, {Role.DRAFT: [], Role.TARGET: []}, shared=False)
    rule = extractor("boxed", thinking=False)
    recipe = Recipe(make_calibrator(CalibratorSettings()), lambda thinking: rule)
    chain = ChainState("p", 0, 0, context, recipe, rule)
    await chain.append(piece(Role.DRAFT, "3π".encode()[:2], Finish.LENGTH))
    assert chain.text == "3"
    await chain.append(piece(Role.TARGET, await engines[Role.TARGET].tokenize("π"), Finish.LENGTH))
    await chain.append(piece(Role.DRAFT, b"!", Finish.END))
    assert chain.text == "3\ufffdπ!"
    assert await engines[Role.DRAFT].detokenize(context.ids(Role.DRAFT)) == "3\ufffdπ!"
    assert await engines[Role.TARGET].detokenize(context.ids(Role.TARGET)) == "3π!"


async def test_what_a_model_ends_its_text_with_is_said_though_broken() -> None:
    engines = {Role.DRAFT: Writer()}
    for finish, text in ((Finish.END, "3\ufffd"), (Finish.LENGTH, "3")):
        context = Context(engines, {Role.DRAFT: []}, shared=True)
        assert await context.append(piece(Role.DRAFT, "3π".encode()[:2], finish)) == text
