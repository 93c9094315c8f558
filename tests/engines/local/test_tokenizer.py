"""Tokenizers as models bring them: what is tokenised piece by piece reads as the whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atts import bundled
from atts.engines.local.tokenizer import Tokenizer

tokenizers = pytest.importorskip("tokenizers")

PIECES = ["So we have", " 7 apples", "and", " é", "漢字", "\n\n", "The answer", ": ", "\\boxed{3π}", ".", " ", "x"]


def sentencepiece(folder: Path, *, blank: bool) -> str:
    """A tokenizer like Llama 2's, which puts a blank before every text, or like Gemma's, which does not."""
    from transformers import PreTrainedTokenizerFast

    made = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    normalizers, decoders = tokenizers.normalizers, tokenizers.decoders
    prepend = [normalizers.Prepend("▁")] if blank else []
    made.normalizer = normalizers.Sequence([*prepend, normalizers.Replace(" ", "▁")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if blank else parts)
    special = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    made.train_from_iterator(["So we have 7 apples and the answer is x."] * 8, trainer)
    trained = json.loads(made.to_str())
    trained["added_tokens"] = trained["added_tokens"][:1]  # bytes are tokens like others
    made = tokenizers.Tokenizer.from_str(json.dumps(trained))
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>").save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", ["bytes", "blank", "plain"])
def test_what_is_tokenised_in_pieces_reads_as_the_whole(tmp_path: Path, kind: str) -> None:
    folder = str(bundled.TARGET) if kind == "bytes" else sentencepiece(tmp_path, blank=kind == "blank")
    tokenizer = Tokenizer(folder)
    ids = [token for piece in PIECES for token in tokenizer.tokenize(piece)]
    assert tokenizer.detokenize(ids) == "".join(PIECES)
    assert tokenizer.tokenize("") == []


def test_a_prompt_begins_as_the_tokenizer_begins_a_text(tmp_path: Path) -> None:
    tokenizer = Tokenizer(sentencepiece(tmp_path, blank=True))
    rendered = tokenizer.render([{"role": "user", "content": "So we have"}, {"role": "assistant", "content": "x"}])
    assert rendered == tokenizer.tokenizer.encode("So we have\n\nx", add_special_tokens=False)
