"""In which order the chains of a batch are opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from atts.errors import InputError


class Place(NamedTuple):
    """A chain in the order: which problem, which sample, and its rank in every queue (lower ones are served first)."""

    problem: int
    sample: int
    rank: int


@dataclass(frozen=True, slots=True)
class Order:
    """Problems in blocks of so many; within a block sample 0 of every problem, then sample 1, and so on.

    None is one block of all problems, sample by sample. One problem a block is problem by problem; there all samples of
    a problem have the same rank, so that whoever has made fewer turns is served first.
    """

    block: int | None = None

    def places(self, problems: int, samples: int) -> Iterator[Place]:
        """Every chain of the run, in the order in which they are opened."""
        size = self.block or problems or 1
        for first in range(0, problems, size):
            block = range(first, min(first + size, problems))
            for sample in range(samples):
                for problem in block:
                    rank = first * samples + sample * len(block) + problem - first
                    yield Place(problem, sample, problem if size == 1 else rank)


def parse_order(text: str) -> Order:
    """`samples`, `problems` or `blocks:N`. Raises `InputError` on anything else."""
    name, colon, number = text.partition(":")
    if name == "blocks" and number.isdecimal() and int(number) >= 1:
        return Order(int(number))
    if colon or name not in ("samples", "problems"):
        raise InputError(f"order = {text}: write samples, problems or blocks:N (blocks:8)")
    return Order(None if name == "samples" else 1)
