"""A Hugging Face model that generates by continuous batching and scores with key-value reuse.

Generation runs in the manager's own thread; scoring runs in the caller's thread on a second module that shares the
same weights, because the manager changes how its module attends.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM, DynamicCache, GenerationConfig
from transformers.generation import ContinuousBatchingConfig

from atts.engines.local.prefix_cache import PrefixCache
from atts.engines.local.sampler import SeededSampler
from atts.engines.local.tokenizer import Tokenizer
from atts.types import TokenIds

_PAGE = 32
_CACHE_BYTES = 1 << 30  # key-value memory on a CPU, for writing and for scoring each, or a quarter of what is free
_SCORED_AT_ONCE = 64  # rows of logits whose distribution is worked out at a time: vocabularies are large

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
        longest: int | None = None,
        writers: int = 32,
    ) -> None:
        """`longest` is the most tokens of a text, by default those of the context; `writers` are written at once."""
        self._path = path
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._tokenizer = Tokenizer(path, template)
        self._model = _loaded(path, self._device)
        self._longest = min(longest or self.context_length, self.context_length)
        self._writers = writers
        self._scorer = _share_weights(self._model)
        self._end_ids = _end_ids(self._model.generation_config, self._tokenizer.tokenizer)
        self._require_known(end_tokens)
        self._end_ids += [token for token in end_tokens if token not in self._end_ids]
        self._stop_ids: dict[str, list[int]] = {}
        self._sampler = SeededSampler()
        self._manager = self._start_manager()
        self._prefixes = PrefixCache(self._cached_tokens())

    @property
    def context_length(self) -> int:
        """How many tokens the model was made for."""
        length: int = self._model.config.get_text_config().max_position_embeddings
        return length

    @property
    def _room(self) -> int:
        """How many tokens a text may have that is being written."""
        on_cpu = self._device == "cpu"  # on a GPU the manager measures what is free
        return min(self.context_length, self._blocks() * _PAGE) if on_cpu else self.context_length

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
                "room": self._room,
                "memory": self.memory(),
                "torch": torch.__version__,
            },
        }

    def memory(self) -> dict[str, int]:
        """Bytes that the model takes at most: weights, and keys and values of writing and of scoring."""
        token = self._token_bytes()
        weights = sum(p.numel() * p.element_size() for p in self._model.parameters())
        return {"weights": weights, "writing": self._blocks() * _PAGE * token, "scoring": self._cached_tokens() * token}

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
            max_new_tokens=min(max_tokens, self._room - len(prefix)),
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
        chosen = torch.tensor(continuation, device=self._device).unsqueeze(1)
        parts = [slice(start, start + _SCORED_AT_ONCE) for start in range(0, len(continuation), _SCORED_AT_ONCE)]
        values = [logits[:-1][part].float().log_softmax(-1).gather(1, chosen[part]).squeeze(1) for part in parts]
        return torch.cat(values).tolist(), cached

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
        """Blocks of key-value memory: for all requests at once, within the memory allowed, and for one in any case."""
        one = -(-self._longest // _PAGE) + 1
        return max(one, min(self._writers * one, self._allowed // (self._token_bytes() * _PAGE)))

    def _cached_tokens(self) -> int:
        """Tokens whose keys and values are kept between scores."""
        return min(self._writers * self._longest, self._allowed // self._token_bytes())

    @cached_property
    def _allowed(self) -> int:
        return min(_CACHE_BYTES, int(psutil.virtual_memory().available) // 4)

    def _token_bytes(self) -> int:
        """What the keys and values of a token take."""
        config = self._model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(2 * config.num_hidden_layers * heads * width * self._model.dtype.itemsize)


def _loaded(path: str, device: str) -> Any:
    """The model with its weights as they are, or in float32 where this processor has no arithmetic for them."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype="auto").eval()
    able = {
        torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported,
        torch.float16: torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    if device == "cpu" and model.dtype in able and not able[model.dtype]():
        return model.float()
    return model.to(device)


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
