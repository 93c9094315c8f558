"""Named sets of values that stand between the defaults and the run file, and the model servers that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """`run` are keys of a run; `servers` are keys of the model servers, none where the preset has no models."""

    describe: str
    run: Mapping[str, Any] = field(default_factory=dict)
    servers: Mapping[str, Any] = field(default_factory=dict)


# How the paper decides. It needs a calibration file; `online`, which ranks by turn, is its rule without one.
_PAPER_POLICY: Mapping[str, Any] = {
    "takeover_rate": 0.4,
    "calibrator": "online",
    "on_reject": "continue",
    "last_chunk": "accept",
    "order": "problems",
}

# How the paper's experiments sample (arXiv 2509.15148 and its code's defaults): 16 chains a problem, 16 requests to the
# draft and 4 to the target at once. That code counts both kinds of target requests together; here each kind has 4.
_PAPER: Mapping[str, Any] = {
    **_PAPER_POLICY,
    "problems": "aime24",
    "samples": 16,
    "draft_tokens": 500,
    "target_tokens": 500,
    "draft_temperature": 0.8,
    "target_temperature": 0.8,
    "draft_slots": 16,
    "score_slots": 4,
    "takeover_slots": 4,
    "draft": "sglang:http://127.0.0.1:30000",
    "target": "sglang:http://127.0.0.1:30001",
}

_R1_1B = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
_R1_8B = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
_R1_70B = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
_QWQ = "Qwen/QwQ-32B"


def _pair(describe: str, draft: str, target: str, target_devices: str) -> Preset:
    """A pair with the draft on device 0 and the target beside it."""
    models = {"draft_model": draft, "target_model": target}
    return Preset(describe, _PAPER, {**models, "draft_devices": "0", "target_devices": target_devices})


PRESETS: Mapping[str, Preset] = {
    "paper": Preset("how the paper decides: continue, rate 0.4, ranks online, problem by problem", _PAPER_POLICY),
    "bundled": Preset(
        "what suits the bundled pair: 20 of its problems, steps as chunks",
        {
            "limit": 20,
            "samples": 8,
            "turns": 12,
            "chunk": "step",
            "draft_tokens": 64,
            "target_tokens": 64,
        },
    ),
    "r1-1.5b+qwq-32b": _pair("DeepSeek-R1-Distill-Qwen-1.5B with QwQ-32B", _R1_1B, _QWQ, "1,2"),
    "r1-8b+qwq-32b": _pair("DeepSeek-R1-Distill-Llama-8B with QwQ-32B", _R1_8B, _QWQ, "1,2"),
    "qwen2.5-7b+qwq-32b": _pair("Qwen2.5-7B-Instruct with QwQ-32B", "Qwen/Qwen2.5-7B-Instruct", _QWQ, "1,2"),
    "llama-3.1-8b+s1.1-32b": _pair(
        "Llama-3.1-8B-Instruct with s1.1-32B", "meta-llama/Llama-3.1-8B-Instruct", "simplescaling/s1.1-32B", "1,2"
    ),
    "r1-1.5b+r1-70b": _pair(
        "DeepSeek-R1-Distill-Qwen-1.5B with DeepSeek-R1-Distill-Llama-70B", _R1_1B, _R1_70B, "1,2,3,4"
    ),
}
"""Presets by name. A 32 B model in 16 bits takes two devices of 80 GB, a 70 B model four."""
