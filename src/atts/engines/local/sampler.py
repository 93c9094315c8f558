"""Sampling inside transformers' continuous batching, with a seed for each request.

The library draws from one global generator, so that what a request gets depends on which others share its batch. Here
every token is drawn by inverting its distribution at a number derived from (seed, position). The same request then
gives the same tokens alone, in company, interrupted or preempted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)
from transformers.generation.logits_process import LogitsProcessorList

from atts.seeds import uniform

_PENALTIES = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


class SeededSampler(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]
    """Chooses the next token of every request of a batch, and remembers its log-probability.

    Takes a `seed` and the fields of `Sampling` with each request. The log-probability is that of the model itself,
    whatever the token is drawn by. One finite logit a row is left, so that the manager's greedy choice is the token
    drawn here. Needs synchronous batching.
    """

    supported_kwargs: dict[str, type] = {  # noqa: RUF012
        "seed": int,
        "temperature": float,
        "top_p": float,
        "top_k": int,
        "min_p": float,
        "repetition_penalty": float,
        "presence_penalty": float,
        "frequency_penalty": float,
    }
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.log_probabilities: dict[str, list[float]] = {}
        self._requests: list[str] = []
        self._settings = torch.empty(0, 5)
        self._penalised: dict[int, tuple[list[int], list[int], dict[str, Any]]] = {}

    def processors(self) -> ContinuousBatchingLogitsProcessorList:
        """This sampler as the list of processors that a manager takes."""
        processors = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([self]))
        processors.tensors_required = 1
        return processors

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        """Nothing travels through the manager's own storage."""
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        """Derive the uniform number of each row that gets a token in this step."""
        rows = []
        self._penalised = {}
        for row, request in enumerate(requests_with_new_token):
            state = request.state
            settings = state.logit_processor_kwargs
            # Counted from the start of the text, so that a preempted request goes on with the same numbers.
            position = len(state.initial_tokens) + len(state.generated_tokens)
            u = uniform(settings["seed"], position)
            rows.append(
                (u, settings["temperature"], settings["top_p"], float(settings["top_k"]), settings.get("min_p", 0.0))
            )
            if any(settings.get(name, usual) != usual for name, usual in _PENALTIES.items()):
                self._penalised[row] = (list(state.initial_tokens), list(state.generated_tokens), settings)
        self._requests = [request.state.request_id for request in requests_with_new_token]
        self._settings = torch.tensor(rows, dtype=torch.float64).reshape(-1, 5)
        return torch.zeros(len(rows), dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """Scores [rows, vocabulary] in, the same with one finite entry a row out; further rows are padding."""
        rows = len(self._requests)
        if rows == 0:
            return scores
        penalised = scores[:rows].clone() if self._penalised else scores[:rows]
        for row, (before, written, settings) in self._penalised.items():
            penalised[row] = penalise(penalised[row], before, written, settings)
        chosen = draw(penalised, self._settings.to(scores.device))
        log_probabilities = scores[:rows].log_softmax(-1).gather(1, chosen).squeeze(1).tolist()
        for request, value in zip(self._requests, log_probabilities, strict=True):
            self.log_probabilities.setdefault(request, []).append(value)
        picked = torch.full_like(scores, -torch.inf)
        picked[:rows].scatter_(1, chosen, 0.0)
        return picked


def penalise(
    scores: torch.Tensor, before: list[int], written: list[int], settings: Mapping[str, float]
) -> torch.Tensor:
    """Logits [vocabulary] after the penalties for what stands in the prompt and for what the request has written.

    Formulas: repetition by Keskar et al. 2019 (arXiv 1909.05858), on both; presence and frequency as OpenAI's interface
    describes them, on what is written.
    """
    repetition, presence, frequency = (float(settings.get(name, usual)) for name, usual in _PENALTIES.items())
    seen = torch.tensor(sorted({*before, *written}), dtype=torch.long, device=scores.device)
    penalised = scores.float().clone()
    penalised[seen] = torch.where(penalised[seen] > 0, penalised[seen] / repetition, penalised[seen] * repetition)
    counts = torch.bincount(torch.tensor(written, dtype=torch.long), minlength=scores.size(-1)).to(penalised)
    return (penalised - presence * (counts > 0) - frequency * counts).to(scores.dtype)


def draw(scores: torch.Tensor, settings: torch.Tensor) -> torch.Tensor:
    """Token ids [rows, 1] from scores [rows, vocabulary] and settings [rows, 5]: u, temperature, top_p, top_k, min_p.

    Sorted by probability, cut by top_k, top_p (the token that crosses it is kept) and min_p, inverted at u.
    """
    u, temperature, top_p, top_k, min_p = settings.float().unsqueeze(-1).unbind(1)
    greedy = temperature <= 0
    ordered, ids = (scores / temperature.clamp(min=1e-6)).sort(dim=-1, descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    rank = torch.arange(scores.size(-1), device=scores.device)
    kept = (before < top_p) & ((top_k <= 0) | (rank < top_k)) & (~greedy | (rank < 1))
    kept &= (probabilities >= min_p * probabilities[:, :1]) | (rank < 1)
    cumulative = (probabilities * kept).cumsum(-1)
    place = torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True)
    last_kept = kept.sum(-1, keepdim=True) - 1
    return ids.gather(1, torch.minimum(place, last_kept))
