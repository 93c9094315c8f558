"""Models as Hugging Face folders that transformers 4 and 5, vLLM and SGLang load alike."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from tools.train.recipe import CONTEXT_LENGTH, Recipe, Shape
from tools.train.tokenizer import END, PAD, save_tokenizer, write_json

SUMS = "SHA256SUMS"


def new_model(shape: Shape, vocabulary: int) -> LlamaForCausalLM:
    """Return a model with random weights (from torch's own generator: seed it first)."""
    return LlamaForCausalLM(LlamaConfig(**_config(shape, vocabulary), attn_implementation="sdpa"))


def parameters(model: LlamaForCausalLM) -> int:
    """Return the number of parameters, the tied embeddings counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def export(model: LlamaForCausalLM, tokenizer: Tokenizer, recipe: Recipe, folder: Path) -> None:
    """Write a complete folder: configuration, weights, tokenizer, model card and check sums, all of mode 0644.

    The configuration is written in the older form (`torch_dtype` and `rope_theta` at the top level, special tokens
    as plain strings), which every version reads; what transformers 5 saves, version 4 cannot load.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = _config(recipe.shape, tokenizer.get_vocab_size())
    write_json(folder / "config.json", {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **config})
    ends = {"bos_token_id": None, "eos_token_id": END, "pad_token_id": PAD}
    write_json(folder / "generation_config.json", {"_from_model_config": True, **ends})
    save_tokenizer(tokenizer, folder, CONTEXT_LENGTH)
    (folder / "README.md").write_text(_card(recipe, parameters(model)), encoding="utf-8")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    sums = "".join(f"{digest(path)}  {path.name}\n" for path in files)
    (folder / SUMS).write_text(sums, encoding="utf-8")
    for path in (*files, folder / SUMS):
        path.chmod(0o644)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _config(shape: Shape, vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,  # not hidden_size / heads: loaders must not derive it
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT_LENGTH,
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": END,
        "pad_token_id": PAD,
        "torch_dtype": "float32",
    }


def _card(recipe: Recipe, size: int) -> str:
    shape = recipe.shape
    return f"""---
license: mit
library_name: transformers
---
# atts tiny {recipe.name}

The {recipe.name} of a pair of tiny models that solve short problems of running totals in two-digit numbers, one line a
step. It exists so that asynchronous test-time scaling can be run and tested anywhere; it can do nothing else.

- Llama architecture, {size:,} parameters (tied embeddings): hidden {shape.hidden}, {shape.layers} layers,
  {shape.heads} heads, {shape.kv_heads} key/value heads of {shape.head}, inner {shape.inner}; float32 weights.
- Trained on {recipe.end:,} tokens of generated problems with `python -m tools.train.train`.
- Prompt: the question as the only user message; a system message is not needed. Steps are separated by a blank line,
  which is one token, as is each digit; the last one holds `\\boxed{{…}}`.
- Draft and target share one vocabulary.
"""
