"""Training samples: a question with its solution, some with wrong lines planted that the next line takes back.

A planted line is read but never learnt: no loss falls on it, so a model goes on giving wrong lines a low probability.
What follows is learnt: one step back, which says the same step rightly. ::

    He donates 48: 63-48=25.          (planted)

    Wait, he donates 48: 63-48=15.    (learnt)

    He buys 37: 15+37=52.             (learnt)

The shipped target saw such samples in the first half of its training only (`plain` in the recipe). A trial of 11 M
tokens with them to the end took back too few wrong lines, and some right ones; dropping them lowered the loss on plain
samples at once. So the shipped target does not take wrong lines back: it is meant to replace them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from atts.bundled.family import BLANK_LINE, LEAST, MOST, Story, draw_in, parse
from tools.train.tokenizer import ASSISTANT, END, PAD, SYSTEM, USER

SYSTEM_PROMPT = "Please reason step by step, and put your final answer within \\boxed{}."
"""The system message of one sample in ten, so that the pair works with it too; the others have none."""
UNLEARNT = -100
"""The label of a token on which no loss falls."""

_OPERATIONS = (1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8)
_BLOCK = 384
_RESULT = re.compile(r"=(\d\d)\.")

Slips = Mapping[str, Mapping[int, Sequence[str]]]
"""Wrong lines that a model wrote: question → number of the line, from 0 → the lines."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """What the samples of a model are made of.

    `planted` is the share of samples with planted lines, `own` the share of these that use the draft's own wrong lines
    instead of invented ones, and `take_back` whether the lines that take a wrong one back are learnt, or only read.
    """

    planted: float
    own: float
    take_back: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids and labels, both `[rows, length]`, padded on the right, and how many tokens are no padding."""

    ids: Tensor
    labels: Tensor
    tokens: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a sample, and whether it is learnt or only read."""

    text: str
    learnt: bool = True


def back(line: str) -> str:
    """Return the line that takes a wrong one back by saying what is right: `He …` becomes `Wait, he …`."""
    if line.startswith("So the answer"):
        return "Wait, the answer" + line.removeprefix("So the answer")
    subject, rest = line.split(" ", 1)
    return f"Wait, {subject.lower() if subject in ('He', 'She') else subject} {rest}"


def invent(rng: random.Random, story: Story, index: int) -> str:
    """Invent a wrong line in the place of line `index` of the solution, of the kinds that a weak model writes."""
    lines = story.lines()
    right = lines[index]
    while (line := _invented(rng, story, lines, index)) == right:
        pass
    return line


def batches(tokenizer: Tokenizer, mixture: Mixture, slips: Slips, seed: str, rows: int, block: int) -> list[Batch]:
    """Return the batches of one block of samples, of like length within a batch, in random order.

    The same arguments give the same batches, so training can go on at any block. `rows` is the number of samples in
    a batch.
    """
    rng = random.Random(f"{seed}:{block}")
    samples = [_encode(tokenizer, *_sample(rng, mixture, slips)) for _ in range(_BLOCK)]
    samples.sort(key=lambda sample: len(sample[0]))
    cut = [_batch(samples[start : start + rows]) for start in range(0, len(samples), rows)]
    rng.shuffle(cut)
    return cut


def texts(count: int) -> Iterator[str]:
    """Yield what the tokenizer is trained on: questions, solutions and lines that take something back."""
    rng = random.Random("tokenizer")
    for _ in range(count):
        story = draw_in(rng, "train", _OPERATIONS)
        lines = story.lines()
        yield from (story.question, BLANK_LINE.join(lines), SYSTEM_PROMPT, *map(back, lines))


def chat(tokenizer: Tokenizer, question: str, system: str | None = None) -> list[int]:
    """Return the ids of a prompt as the chat template renders it, up to where the answer begins."""
    before = [] if system is None else [SYSTEM, *tokenizer.encode(system).ids, END]
    return [*before, USER, *tokenizer.encode(question).ids, END, ASSISTANT]


def _sample(rng: random.Random, mixture: Mixture, slips: Slips) -> tuple[Story, list[Line], str | None]:
    system = SYSTEM_PROMPT if rng.random() < 0.1 else None
    if rng.random() >= mixture.planted:
        story = draw_in(rng, "train", _OPERATIONS)
        return story, [Line(text) for text in story.lines()], system
    own = rng.random() < mixture.own
    story = parse(rng.choice(tuple(slips))) if own else draw_in(rng, "train", _OPERATIONS)
    return story, _plant(rng, story, slips[story.question] if own else {}, own, mixture.take_back), system


def _plant(
    rng: random.Random, story: Story, known: Mapping[int, Sequence[str]], own: bool, take_back: bool
) -> list[Line]:
    """Return the lines of a solution with wrong ones planted, each taken back at once or one line later."""
    rate = rng.choice((0.15, 0.3, 0.6))
    lines: list[Line] = []
    for index, right in enumerate(story.lines()):
        wrong = rng.choice(known[index]) if index in known else None if own else invent(rng, story, index)
        if wrong is None or rng.random() >= rate * (0.3 if index in (0, len(story.operations) + 1) else 1.0):
            lines.append(Line(right))
            continue
        lines.append(Line(wrong, learnt=False))
        if (carried := _carried(story, index, wrong)) and rng.random() < 0.25:
            lines.append(Line(carried, learnt=False))
        lines.append(Line(back(right), learnt=take_back))
    return lines


def _carried(story: Story, index: int, wrong: str) -> str | None:
    """Return the next line if it builds on the wrong line `index`, or None if nothing in the family does."""
    found = _RESULT.search(wrong)
    if not 1 <= index < len(story.operations) or found is None:
        return None
    total = int(found[1])
    fits = total != story.totals[index] and LEAST <= story.operations[index].apply(total) <= MOST
    return story.step(index, total) if fits else None


def _invented(rng: random.Random, story: Story, lines: Sequence[str], index: int) -> str:
    if rng.random() < 0.1 and index + 1 < len(lines):
        return rng.choice(lines[index + 1 :])
    right = lines[index]
    numbers = list(re.finditer(r"\d+", right))
    kind = rng.random()
    if kind < 0.6 or len(numbers) < 3:
        return _renumber(rng, right, numbers[-1])
    if kind < 0.8:
        total = _other(rng, story.totals[index - 1])
        line = story.step(index - 1, total)
        return line if len(line) == len(right) and "=-" not in line else _renumber(rng, right, numbers[-1])
    return _renumber(rng, right, rng.choice(numbers))


def _renumber(rng: random.Random, line: str, found: re.Match[str]) -> str:
    return line[: found.start()] + str(_other(rng, int(found[0]))) + line[found.end() :]


def _other(rng: random.Random, number: int) -> int:
    """Return another number of two digits: near, with another digit in one place, or anything."""
    near = number + rng.choice((-20, -11, -10, -9, -2, -1, 1, 2, 9, 10, 11, 20))
    place = rng.choice((number // 10 * 10 + rng.randint(0, 9), rng.randint(1, 9) * 10 + number % 10))
    return min(MOST, max(LEAST, rng.choice((near, place, rng.randint(LEAST, MOST)))))


def _encode(
    tokenizer: Tokenizer, story: Story, lines: Sequence[Line], system: str | None
) -> tuple[list[int], list[int]]:
    prompt = chat(tokenizer, story.question, system)
    ids, labels = list(prompt), [UNLEARNT] * len(prompt)
    for place, line in enumerate(lines):
        last = place + 1 == len(lines)
        new = tokenizer.encode(line.text if last else line.text + BLANK_LINE).ids + ([END] if last else [])
        ids += new
        labels += new if line.learnt else [UNLEARNT] * len(new)
    return ids, labels


def _batch(samples: Sequence[tuple[list[int], list[int]]]) -> Batch:
    length = max(len(ids) for ids, _ in samples)
    ids = torch.full((len(samples), length), PAD)
    labels = torch.full((len(samples), length), UNLEARNT)
    for row, (sample, learnt) in enumerate(samples):
        ids[row, : len(sample)] = torch.tensor(sample)
        labels[row, : len(sample)] = torch.tensor(learnt)
    return Batch(ids, labels, sum(len(sample) for sample, _ in samples))
