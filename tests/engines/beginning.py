"""A small model whose tokenizer puts a special token in front of every text, as those of Gemma and Llama do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from atts import bundled

FRONT = 2  # an id that the bundled tokenizer has as special token


def model_with_front(folder: Path, template: str | None = None) -> Path:
    """The bundled draft with such a tokenizer, and with this chat template or none."""
    shutil.copytree(bundled.DRAFT, folder)
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    special = next(entry["content"] for entry in tokenizer["added_tokens"] if entry["id"] == FRONT)
    single = [{"SpecialToken": {"id": special, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {special: {"id": special, "ids": [FRONT], "tokens": [special]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder
