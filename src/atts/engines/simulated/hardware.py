"""GPUs and models as a few numbers each, with their sources, and what a step costs on them.

GPUs: NVIDIA's data sheets of H100 (SXM5), H200 (SXM5), A100 (SXM4, 80 GB) and L40S; 16-bit tensor throughput is the
dense figure (the sheets' headline figures with sparsity are twice that). Models: the published `config.json` and
parameter counts of DeepSeek-R1-Distill-Qwen-1.5B, Qwen2.5-7B, Llama-3.1-8B, Qwen2.5-14B, QwQ-32B and Llama-3.1-70B,
in 16-bit weights and cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import log2, sqrt

from atts.errors import InputError

_BYTES = 2  # a weight, or a number in the cache: bfloat16


@dataclass(frozen=True, slots=True)
class Gpu:
    """Memory in bytes, its bandwidth in bytes a second, and dense 16-bit operations a second."""

    memory: float
    bandwidth: float
    flops: float


@dataclass(frozen=True, slots=True)
class Model:
    """Parameters, layers, attention heads, those of keys and values among them, and the width of a head."""

    parameters: float
    layers: int
    heads: int
    kv_heads: int
    head_width: int = 128

    @property
    def weight_bytes(self) -> float:
        """All weights."""
        return _BYTES * self.parameters

    @property
    def kv_bytes(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * _BYTES * self.layers * self.kv_heads * self.head_width


GPUS = {
    "h100": Gpu(memory=80e9, bandwidth=3.35e12, flops=989e12),
    "h200": Gpu(memory=141e9, bandwidth=4.8e12, flops=989e12),
    "a100": Gpu(memory=80e9, bandwidth=2.039e12, flops=312e12),
    "l40s": Gpu(memory=48e9, bandwidth=0.864e12, flops=362e12),
}

MODELS = {
    "1.5b": Model(1.78e9, layers=28, heads=12, kv_heads=2),
    "7b": Model(7.62e9, layers=28, heads=28, kv_heads=4),
    "8b": Model(8.03e9, layers=32, heads=32, kv_heads=8),
    "14b": Model(14.8e9, layers=48, heads=40, kv_heads=8),
    "32b": Model(32.8e9, layers=64, heads=40, kv_heads=8),
    "70b": Model(70.6e9, layers=80, heads=64, kv_heads=8),
}


@dataclass(frozen=True, slots=True)
class Serving:
    """How a server uses its GPUs. No data sheet says these: they are assumptions, in the range that servers reach.

    Shares of the peak that are reached: `bandwidth` and `compute`. `doubling` is what tensor parallelism keeps of both
    each time the GPUs double, `memory` the share of memory for weights and cache. `overhead` is seconds a step for
    launching and sampling. `batch` is the most sequences at once, `step_tokens` the most tokens of a step that
    prefills (chunked prefill).
    """

    bandwidth: float = 0.75
    compute: float = 0.55
    doubling: float = 0.93
    memory: float = 0.9
    overhead: float = 0.0005
    batch: int = 256
    step_tokens: int = 2048


class Machine:
    """A model on GPUs: seconds of a step, and tokens that the cache holds.

    A step reads all weights and the cache of every sequence in it, or computes as long as its tokens take, whichever
    of weights and computing is longer (the roofline model); attention of a prefill is computed on top.
    Raises `InputError` if the weights do not fit.
    """

    def __init__(self, gpu: Gpu, model: Model, gpus: int = 1, serving: Serving | None = None, name: str = "") -> None:
        self.name = name
        self.gpus = gpus
        self.serving = serving or Serving()
        self.model = model
        together: float = gpus * self.serving.doubling ** log2(gpus)
        bandwidth = gpu.bandwidth * self.serving.bandwidth * together
        flops = gpu.flops * self.serving.compute * together
        self.weights_s = model.weight_bytes / bandwidth
        self.token_s = 2 * model.parameters / flops
        self.kv_s = model.kv_bytes / bandwidth
        self.attention_s = 4 * model.layers * model.heads * model.head_width / flops
        free = gpu.memory * gpus * self.serving.memory - model.weight_bytes
        self.capacity = int(free / model.kv_bytes)
        if self.capacity < 1:
            raise InputError(
                f"{name}: {model.weight_bytes / 1e9:.0f} GB of weights do not fit into "
                f"{gpu.memory * gpus * self.serving.memory / 1e9:.0f} GB; give it more GPUs, e.g. 32b@2xh100"
            )

    @classmethod
    def named(cls, name: str, serving: Serving | None = None) -> Machine:
        """The machine that `MODEL@GPU` or `MODEL@NxGPU` names, e.g. `8b@h100` or `32b@2xh100`."""
        match = re.fullmatch(r"([\w.]+)@(?:([1-9]\d*)x)?(\w+)", name.lower())
        if match is None or match[1] not in MODELS or match[3] not in GPUS:
            raise InputError(
                f"{name!r}: write a model and its GPUs as 32b@2xh100 "
                f"(models: {', '.join(MODELS)}; GPUs: {', '.join(GPUS)})"
            )
        return cls(GPUS[match[3]], MODELS[match[1]], int(match[2] or 1), serving, name.lower())

    def decode(self, batch: int, held: float, steps: int = 1) -> float:
        """Seconds of so many steps in which each sequence of a batch writes a token; `held` tokens are in the cache."""
        fixed = max(self.weights_s, batch * self.token_s) + self.serving.overhead
        return steps * fixed + self.kv_s * (steps * held + batch * steps * (steps - 1) / 2)

    def steps_after(self, seconds: float, batch: int, held: float) -> float:
        """How many steps of `decode` take so long; not a whole number."""
        curve = self.kv_s * batch / 2
        slope = self.decode(batch, held) - curve
        return 2 * seconds / (slope + sqrt(slope * slope + 4 * curve * seconds))  # the root, without cancellation

    def prefill(self, batch: int, held: float, parts: Iterable[tuple[int, int]]) -> float:
        """Seconds of one step that also reads prompts: of each part so many tokens, behind so many read before."""
        tokens, read, pairs = 0, 0, 0.0
        for count, before in parts:
            tokens += count
            read += before
            pairs += count * (before + count / 2)
        fixed = max(self.weights_s, (batch + tokens) * self.token_s) + self.serving.overhead
        return fixed + self.kv_s * (held + read) + self.attention_s * pairs
