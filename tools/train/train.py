"""Train the tokenizer, the draft and the target: `python -m tools.train.train [--out DIR] [--resume]`.

Seeds and token counts are fixed, time is not, so that two runs on like machines give the same weights. One thread is
used, because the models are too small for more and sums then have one order. It takes about an hour. Killed at any
moment, `--resume` goes on from the last checkpoint and gives what an uninterrupted run gives.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM

from atts.errors import InputError
from tools.train.corpus import UNLEARNT, Batch, Slips, batches, texts
from tools.train.export import export, new_model, parameters
from tools.train.optim import Optimizer
from tools.train.recipe import DRAFT, SLIP_PROBLEMS, TARGET, TOKENIZER_PROBLEMS, VOCABULARY, Recipe
from tools.train.slips import collect
from tools.train.tokenizer import train_tokenizer

Report = Callable[[str], None]

_STEPS_A_CHECKPOINT = 200
_STEPS_A_REPORT = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status (2 after bad input)."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        train_pair(options.out, resume=options.resume, scale=options.scale, checkpoint_steps=options.checkpoint_steps)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def train_pair(
    out: Path,
    *,
    resume: bool = False,
    scale: float = 1.0,
    checkpoint_steps: int = _STEPS_A_CHECKPOINT,
    report: Report | None = None,
) -> None:
    """Train the whole pair into `out/draft` and `out/target`; what is needed to resume stands in `out/checkpoints`.

    Args:
        out: the folder to write to; it is made if it does not exist.
        resume: go on with what `out/checkpoints` holds.
        scale: the share of the tokens to train on, above 0 and up to 1; less than 1 for a trial.
        checkpoint_steps: steps between two checkpoints.
        report: called with each line of progress; prints it by default.

    Raises:
        InputError: `scale` or `checkpoint_steps` out of range, or `out` holds checkpoints and `resume` is false.
    """
    report = report or _print
    checkpoints = _checkpoints(out, resume, scale, checkpoint_steps)
    tokenizer = train_tokenizer(texts(TOKENIZER_PROBLEMS), VOCABULARY)
    report(f"tokenizer  {tokenizer.get_vocab_size()} tokens")
    draft = fit(DRAFT.scaled(scale), tokenizer, {}, checkpoints, checkpoint_steps, report)
    export(draft, tokenizer, DRAFT.scaled(scale), out / "draft")
    slips = _slips(draft, tokenizer, max(20, int(SLIP_PROBLEMS * scale)), checkpoints / "slips.json", report)
    target = fit(TARGET.scaled(scale), tokenizer, slips, checkpoints, checkpoint_steps, report)
    export(target, tokenizer, TARGET.scaled(scale), out / "target")
    report(f"done  {out / 'draft'} and {out / 'target'}")


def fit(
    recipe: Recipe, tokenizer: Tokenizer, slips: Slips, checkpoints: Path, checkpoint_steps: int, report: Report
) -> LlamaForCausalLM:
    """Train one model by its recipe, from its last checkpoint if there is one, and return it."""
    torch.manual_seed(recipe.seed)
    model = new_model(recipe.shape, tokenizer.get_vocab_size())
    optimizer = Optimizer(model, recipe)
    path = checkpoints / f"{recipe.name}.pt"
    block = place = tokens = steps = 0
    if path.exists():
        saved = _load(path, recipe)
        model.load_state_dict(saved["model"])
        optimizer.load(saved["optimizer"])
        block, place, tokens, steps = saved["position"]
    report(f"{recipe.name}  {parameters(model):,} parameters, {tokens:,} of {recipe.end:,} tokens done")
    progress = _Progress(recipe, tokens, report)
    model.train()
    while tokens < recipe.end:
        for batch in batches(
            tokenizer, recipe.mixture_of(block), slips, f"{recipe.name}:{recipe.seed}", recipe.rows, block
        )[place:]:
            loss = _learn(model, optimizer, batch, tokens)
            place, tokens, steps = place + 1, tokens + batch.tokens, steps + 1
            progress.step(steps, tokens, loss)
            done = tokens >= recipe.end
            if done or steps % checkpoint_steps == 0:
                _save(path, recipe, model, optimizer, (block, place, tokens, steps))
            if done:
                break
        else:
            block, place = block + 1, 0
    return model.eval()


class _Progress:
    """Says how far the training is, how fast, and how long it still takes."""

    def __init__(self, recipe: Recipe, tokens: int, report: Report) -> None:
        self._recipe, self._first, self._report = recipe, tokens, report
        self._start = time.monotonic()
        self._losses: list[float] = []

    def step(self, steps: int, tokens: int, loss: float) -> None:
        self._losses.append(loss)
        if steps % _STEPS_A_REPORT and tokens < self._recipe.end:
            return
        speed = (tokens - self._first) / (time.monotonic() - self._start)
        left = max(0, self._recipe.end - tokens) / speed
        mean = sum(self._losses) / len(self._losses)
        self._losses.clear()
        self._report(
            f"{self._recipe.name}  {tokens / self._recipe.end:6.1%}  {tokens:,} tokens  loss {mean:.4f}  "
            f"{speed:,.0f} tokens/s  {left / 60:.1f} min left"
        )


def _learn(model: LlamaForCausalLM, optimizer: Optimizer, batch: Batch, tokens: int) -> float:
    """Take one step on a batch; return its mean loss in nats a token."""
    # No mask: the padding stands on the right, where a causal model does not see it.
    hidden = model.model(batch.ids[:, :-1], use_cache=False).last_hidden_state
    labels = batch.labels[:, 1:]
    learnt = labels != UNLEARNT
    loss = cross_entropy(model.lm_head(hidden[learnt]), labels[learnt])
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step(tokens)
    return loss.item()


def _load(path: Path, recipe: Recipe) -> dict[str, Any]:
    saved: dict[str, Any] = torch.load(path, weights_only=True)
    if saved["recipe"] != repr(recipe):
        raise InputError(f"{path}: begun with another recipe or scale; give the same one, or another --out")
    return saved


def _save(path: Path, recipe: Recipe, model: LlamaForCausalLM, optimizer: Optimizer, position: tuple[int, ...]) -> None:
    """Write a checkpoint in one step, so that a process killed here leaves the last one or this one."""
    state: dict[str, Any] = {"model": model.state_dict(), "optimizer": optimizer.state()}
    state |= {"position": position, "recipe": repr(recipe)}
    fresh = path.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(path)


def _slips(
    draft: LlamaForCausalLM, tokenizer: Tokenizer, problems: int, path: Path, report: Report
) -> dict[str, dict[int, list[str]]]:
    if not path.exists():
        slips = collect(draft, tokenizer, problems, DRAFT.seed, report)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(slips), encoding="utf-8")
        fresh.replace(path)
    loaded = json.loads(path.read_text(encoding="utf-8"))
    return {question: {int(index): lines for index, lines in found.items()} for question, found in loaded.items()}


def _checkpoints(out: Path, resume: bool, scale: float, checkpoint_steps: int) -> Path:
    if not 0 < scale <= 1:
        raise InputError(f"--scale: {scale} is not above 0 and up to 1")
    if checkpoint_steps < 1:
        raise InputError(f"--checkpoint-steps: {checkpoint_steps} is below 1")
    folder = out / "checkpoints"
    if not resume and folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: a training has begun here; add --resume, or give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.train.train", description="Train the bundled pair.")
    parser.add_argument("--out", type=Path, default=Path("tiny-pair"), help="folder to write to (default: tiny-pair)")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the tokens to train on, for a trial")
    parser.add_argument("--checkpoint-steps", type=int, default=_STEPS_A_CHECKPOINT, help="steps between checkpoints")
    return parser


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
