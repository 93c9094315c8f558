"""SmolLM2-135M-Instruct from its GGUF file to a Hugging Face folder: `convert.py FILE FOLDER`."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import gguf
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.utils import logging

# What the model was taught with, token for token.
CHAT = [
    *(1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182, 2, 198),
    *(1, 4093, 198, 19556, 28, 905, 17, 216, 33, 34, 2, 198, 1, 520, 9531, 198),
]


def main(file: Path, folder: Path) -> None:
    """Convert, and check that the tokenizer is the one that the model was taught with."""
    logging.disable_progress_bar()
    gguf.GGUFReader = functools.cache(gguf.GGUFReader)  # it takes seconds, and is asked for by each part
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    digits = pre_tokenizers.Digits(individual_digits=True)
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, letters])
    chat = [{"role": "user", "content": "Hello, world! 12"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    if (ids := tokenizer.encode(text, add_special_tokens=False)) != CHAT:
        raise SystemExit(f"the tokenizer is another: {ids}")
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype="bfloat16", quantization_config=GgufConfig(dequantize=True)
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
