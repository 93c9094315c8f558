"""The optimizer: Muon for the matrices, AdamW for the embeddings and norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tools.train.recipe import Recipe


class Optimizer:
    """Both optimizers as one, with the learning rates of a recipe.

    Muon (orthogonalised momentum, https://kellerjordan.github.io/posts/muon/) learns these small models several times
    faster than AdamW alone.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
        others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
        self._recipe = recipe
        self._parts: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Muon(matrices, lr=recipe.matrix_rate, weight_decay=0.0), recipe.matrix_rate),
            (torch.optim.AdamW(others, lr=recipe.other_rate, betas=(0.9, 0.98), weight_decay=0.0), recipe.other_rate),
        ]

    def step(self, tokens: int) -> None:
        """Move the weights along their gradients, at the rate that is due after `tokens`, and clear the gradients."""
        for part, rate in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * self._recipe.factor(tokens)
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """Return what is needed to go on later."""
        return [part.state_dict() for part, _ in self._parts]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Go on from a state."""
        for (part, _), saved in zip(self._parts, state, strict=True):
            part.load_state_dict(saved)
