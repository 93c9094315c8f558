"""A Hugging Face model that generates by continuous batching and scores with key-value reuse.

Generation runs in the manager's own thread; scoring runs in the caller's thread on a second module that shares the
same weights, because the manager changes how its module attends.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache, GenerationConfig
from transformers.generation import ContinuousBatchingConfig

from atts.engines.local.prefix_cache import PrefixCache
from atts.engines.local.sampler import SeededSampler
from atts.engines.local.tokenizer import Tokenizer
from atts.types import TokenIds

_PAGE = 32
_CACHE_BYTES = 2 << 30  # key-value memory on a CPU; on a GPU the manager measures what is free
_CACHE_TOKENS = 65_536

Deliver = Callable[[str, dict[str, Any]], None]


class LocalModel:
    """One model in this process. Its methods block; a worker calls them from threads of its own."""

    def __init__(
        self,
        path: str,
        device: str | None = None,
        *,
        template: Mapping[str, Any] | None = None,
        end_tokens: Sequence[int] = (),
    ) -> None:
        self._path = path
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        # On a CPU float32 is faster than bfloat16, and never less exact.
        dtype = torch.float32 if self._device == "cpu" else "auto"
        self._tokenizer = Tokenizer(path, template)
        self._model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype).to(self._device).eval()
        self._scorer = _share_weights(self._model)
        self._end_ids = _end_ids(self._model.generation_config, self._tokenizer.tokenizer)
        self._require_known(end_tokens)
        self._end_ids += [token for token in end_tokens if token not in self._end_ids]
        self._stop_ids: dict[str, list[int]] = {}
        self._sampler = SeededSampler()
        self._manager = self._start_manager()
        self._prefixes = PrefixCache(_CACHE_TOKENS)

    @property
    def context_length(self) -> int:
        """How many tokens the model was made for."""
        length: int = self._model.config.get_text_config().max_position_embeddings
        return length

    @property
    def vocabulary_size(self) -> int:
        """How many ids the model knows."""
        size: int = self._model.get_input_embeddings().num_embeddings
        return size

    def info(self) -> dict[str, Any]:
        """Name, vocabulary fingerprint, context length and how it is run."""
        return {
            "model": Path(self._path).name if Path(self._path).is_dir() else self._path,
            "vocabulary": self._tokenizer.vocabulary(),
            "context_length": self.context_length,
            "front": self._tokenizer.front(),
            "details": {
                "vocabulary_size": self.vocabulary_size,
                "parameters": sum(p.numel() for p in self._model.parameters()),
                "dtype": str(self._model.dtype).removeprefix("torch."),
                "device": self._device,
                "torch": torch.__version__,
            },
        }

    def render(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """The chat by the model's own template."""
        return self._tokenizer.render(messages)

    def tokenize(self, text: str) -> list[int]:
        """The text alone, without special tokens."""
        return self._tokenizer.tokenize(text)

    def detokenize(self, ids: TokenIds) -> str:
        """Text of the ids, special tokens left out."""
        return self._tokenizer.detokenize(ids)

    def submit(
        self, request: str, prefix: list[int], max_tokens: int, stop: list[str], sampling: dict[str, Any]
    ) -> None:
        """Queue a generation; `collect` returns it when it is finished. `sampling` holds the sampler's settings."""
        self._require_known(prefix)
        stop_ids = [token for text in stop for token in self._tokens_with(text)]
        self._manager.add_request(
            prefix,
            request_id=request,
            max_new_tokens=min(max_tokens, self.context_length - len(prefix)),
            eos_token_id=[*self._end_ids, *stop_ids],
            **sampling,
        )

    def collect(self, timeout: float) -> tuple[str, list[int], list[float], str | None] | None:
        """The next finished generation: request, token ids, their log-probabilities, error; None after the timeout."""
        output = self._manager.get_result(timeout=timeout)
        if output is None:
            return None
        log_probabilities = self._sampler.log_probabilities.pop(output.request_id, [])
        return output.request_id, list(output.generated_tokens), log_probabilities, output.error

    def failure(self) -> str | None:
        """Why generation has stopped for good, if it has."""
        error = self._manager.background_thread_status.fatal_error
        return None if error is None else f"{type(error).__name__}: {error}"

    def finish(self, ids: list[int], stop: list[str]) -> tuple[int, str, str]:
        """Cut a generation at its end: how many tokens stand, their text, and why it ended.

        A stop string that is spread over several tokens does not end the request in the manager; what was written
        after it is dropped here.
        """
        ended = bool(ids) and ids[-1] in self._end_ids
        kept = len(ids) - ended
        text = self.detokenize(ids[:kept])
        if any(text.find(string) >= 0 for string in stop):
            kept = next(n for n in range(1, kept + 1) if any(s in self.detokenize(ids[:n]) for s in stop))
            return kept, self.detokenize(ids[:kept]), "stop"
        return kept, text, "end" if ended else "length"

    def cancel(self, request: str) -> None:
        """Drop a queued or running generation."""
        self._manager.cancel_request(request)

    @torch.inference_mode()
    def score(self, prefix: list[int], continuation: list[int]) -> tuple[list[float], int]:
        """Log-probability of each continuation token, and how many tokens came from the cache."""
        ids = prefix + continuation
        logits, cached = self._forward(ids, sure=len(prefix), keep=len(continuation) + 1)
        distribution = logits[:-1].float().log_softmax(-1)
        chosen = torch.tensor(continuation, device=self._device).unsqueeze(1)
        return distribution.gather(1, chosen).squeeze(1).tolist(), cached

    @torch.inference_mode()
    def next_token(self, prefix: list[int], top: int) -> list[tuple[int, float]]:
        """The likeliest next tokens with their log-probabilities."""
        logits, _ = self._forward(prefix, sure=len(prefix), keep=1)
        values, ids = logits[-1].float().log_softmax(-1).topk(min(top, logits.size(-1)))
        return list(zip(ids.tolist(), values.tolist(), strict=True))

    def close(self) -> None:
        """Stop the generation thread."""
        self._manager.stop(block=True, timeout=5, hard_stop=True)

    def _forward(self, ids: list[int], *, sure: int, keep: int) -> tuple[torch.Tensor, int]:
        """Logits of the last `keep` positions of the ids, [keep, vocabulary], and the number of cached tokens."""
        if len(ids) > self.context_length:
            raise ValueError(f"{len(ids)} tokens exceed the context length of {self.context_length}")
        self._require_known(ids)
        cache, cached = self._prefixes.take(ids, at_most=len(ids) - keep)
        cache = DynamicCache() if cache is None else cache
        new = torch.tensor([ids[cached:]], device=self._device)
        output = self._scorer(input_ids=new, past_key_values=cache, use_cache=True, logits_to_keep=keep)
        self._prefixes.put(ids, sure, cache)
        return output.logits[0], cached

    def _require_known(self, ids: Sequence[int]) -> None:
        """Refuse ids beyond the vocabulary: one of them would end the manager, or the whole device's context."""
        for wrong in (min(ids, default=0), max(ids, default=0)):
            if not 0 <= wrong < self.vocabulary_size:
                raise ValueError(f"token id {wrong} is not in the vocabulary, which has {self.vocabulary_size}")

    def _tokens_with(self, stop: str) -> list[int]:
        """Every token whose own text holds the stop string: drawing one ends the request at once."""
        if stop not in self._stop_ids:
            texts = ((token, self.detokenize([token])) for token in range(len(self._tokenizer.tokenizer)))
            self._stop_ids[stop] = [token for token, text in texts if stop in text]
        return self._stop_ids[stop]

    def _start_manager(self) -> Any:
        on_cpu = self._device == "cpu"
        manager = self._model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=self._end_ids, max_new_tokens=1),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=_PAGE,
                num_blocks=self._blocks() if on_cpu else None,
                max_batch_tokens=512 if on_cpu else None,
                use_async_batching=False,  # the sampler reads the batch that it was just prepared for
            ),
        )
        manager.logit_processor = self._sampler.processors()
        manager.start()
        return manager

    def _blocks(self) -> int:
        """Blocks of key-value memory: the context length at least, 64 contexts at most, within the memory allowed."""
        config = self._model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        block_bytes = 2 * config.num_hidden_layers * heads * width * 4 * _PAGE
        whole = -(-self.context_length // _PAGE) + 1
        return max(whole, min(64 * whole, _CACHE_BYTES // int(block_bytes)))


def _share_weights(model: Any) -> Any:
    """A second module over the same tensors, with its own choice of attention."""
    # Its own configuration too: one that is shared lets the twin attend as the manager's module does while it writes.
    attention = "sdpa" if type(model)._supports_sdpa else "eager"
    with torch.device("meta"):
        twin = AutoModelForCausalLM.from_config(copy.deepcopy(model.config), attn_implementation=attention)
    twin.load_state_dict(model.state_dict(), assign=True)
    twin.tie_weights()
    for name, buffer in model.named_buffers():  # rotary frequencies are no part of the state
        module, _, leaf = name.rpartition(".")
        setattr(twin.get_submodule(module), leaf, buffer)
    return twin.eval()


def _end_ids(generation_config: Any, tokenizer: Any) -> list[int]:
    ids = generation_config.eos_token_id
    known = [] if ids is None else [ids] if isinstance(ids, int) else list(ids)
    return known or [tokenizer.eos_token_id]
