"""Slips: wrong lines that the draft writes itself, from which the target learns to take a step back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from atts.bundled.family import BLANK_LINE, Story, draw_in
from tools.train.corpus import chat
from tools.train.tokenizer import END, PAD

LONGEST_LINE = 32
"""Most tokens of a line; no line of the family needs as many."""
_ROWS = 512


def collect(
    model: LlamaForCausalLM, tokenizer: Tokenizer, problems: int, seed: int, report: Callable[[str], None]
) -> dict[str, dict[int, list[str]]]:
    """Let a model write every line of `problems` training problems, each after the right lines; keep the wrong ones.

    Returns question → number of the line → wrong lines. Questions without any are left out. Sampled at temperature 1.
    """
    rng = random.Random(f"slips:{seed}")
    stories = [draw_in(rng, "train", range(2, 9)) for _ in range(problems)]
    places = [(story, index) for story in stories for index in range(len(story.lines()))]
    places.sort(key=lambda place: (len(place[0].operations), place[1]))
    torch.manual_seed(seed)
    slips: dict[str, dict[int, list[str]]] = {}
    for start in range(0, len(places), _ROWS):
        part = places[start : start + _ROWS]
        written = write_lines(model, tokenizer, [_before(tokenizer, *place) for place in part], temperature=1.0)
        for story, index, line in _wrong(tokenizer, part, written):
            slips.setdefault(story.question, {}).setdefault(index, []).append(line)
        if start // _ROWS % 10 == 0:
            report(f"slips  {start + len(part):,} of {len(places):,} lines")
    return slips


def write_lines(
    model: LlamaForCausalLM, tokenizer: Tokenizer, contexts: Sequence[Sequence[int]], temperature: float
) -> list[list[int]]:
    """Sample one line after each context; the blank line or the end of the text, if reached, is its last token."""
    longest = max(map(len, contexts))
    ids = torch.tensor([[PAD] * (longest - len(context)) + list(context) for context in contexts])
    mask = torch.tensor([[0] * (longest - len(context)) + [1] * len(context) for context in contexts])
    ends = [END, *tokenizer.encode(BLANK_LINE).ids]
    with torch.inference_mode():
        out = model.generate(
            ids,
            attention_mask=mask,
            do_sample=temperature > 0,
            temperature=temperature or None,
            top_k=0,
            max_new_tokens=LONGEST_LINE,
            eos_token_id=ends,
            pad_token_id=PAD,
        )
    return [_until(row, ends) for row in out[:, longest:].tolist()]


def _before(tokenizer: Tokenizer, story: Story, index: int) -> list[int]:
    done = "".join(line + BLANK_LINE for line in story.lines()[:index])
    return chat(tokenizer, story.question) + list(tokenizer.encode(done).ids)


def _wrong(
    tokenizer: Tokenizer, places: Sequence[tuple[Story, int]], written: Sequence[list[int]]
) -> Iterator[tuple[Story, int, str]]:
    for (story, index), ids in zip(places, written, strict=True):
        line = tokenizer.decode(ids).removesuffix(BLANK_LINE)
        whole = len(ids) < LONGEST_LINE and line and not line.startswith("Wait") and "\n" not in line
        if whole and line != story.lines()[index]:
            yield story, index, line


def _until(ids: list[int], ends: Sequence[int]) -> list[int]:
    places = [place for place, id_ in enumerate(ids) if id_ in ends]
    return ids[: places[0] + 1] if places else ids
