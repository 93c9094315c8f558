"""The pair's shared vocabulary: byte-level BPE in which each digit and the blank line is a token of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
"""The special tokens; their places are their ids."""
PAD, END, SYSTEM, USER, ASSISTANT = range(len(SPECIAL))

_PIECES = r"\n\n|\n|\d| ?\\?[A-Za-z]+| ?[^\sA-Za-z\d]| "
_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}"
    "{{- raise_exception('the roles are system, user and assistant, not ' + message['role']) -}}"
    "{%- endif -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Train the tokenizer on texts; `vocabulary` is the number of its tokens, bytes and special tokens included."""
    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context_length: int) -> None:
    """Write the tokenizer files in the form that transformers 4 and 5 and the model servers all read."""
    tokenizer.save(str(folder / "tokenizer.json"))
    special: dict[str, Any] = {"eos_token": SPECIAL[END], "pad_token": SPECIAL[PAD]}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        "padding_side": "left",
        "added_tokens_decoder": {str(id_): _special(text) for id_, text in enumerate(SPECIAL)},
        **special,
        "chat_template": _TEMPLATE,
    }
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", special)
    (folder / "chat_template.jinja").write_text(_TEMPLATE, encoding="utf-8")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file with indentation and a last newline."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _special(text: str) -> dict[str, Any]:
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    return {"content": text, **flags, "special": True}
