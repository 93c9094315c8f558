"""A family of short problems with exact answers: running totals in two-digit numbers.

A problem tells how many things somebody has and what happens to them, one sentence an operation::

    Leo has 63 coins. He donates 48. He buys 37. He halves them. How many coins does Leo have?

Its solution says each step on a line of its own, with a blank line between (5 to 10 lines for 3 to 8 operations)::

    Leo has 63.

    He donates 48: 63-48=15.

    He buys 37: 15+37=52.

    He halves them: 52/2=26.

    So the answer is \\boxed{26}.

Every number, the totals included, has two digits, and no verb occurs twice in a problem, so that each sentence occurs
once and "which one comes next" is well defined. The supply is unlimited: more than 10^12 problems of 4 operations.

**Splits.** The split of a problem is a function of its text alone: SHA-256 of the question, modulo ten, 0 for `test`,
1 for `calibration`, anything else for `train` (:func:`split_of`). So no question can be in two splits, whatever the
seed, the number of operations or the order in which the problems are drawn.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from atts.errors import InputError
from atts.registry import unknown
from atts.types import Problem

Split = Literal["train", "calibration", "test"]

BLANK_LINE = "\n\n"
"""What stands between two steps of a solution."""
EXAMPLE = "Leo has 63 coins. He donates 48. He buys 37. How many coins does Leo have?"
"""A question of the family, for whoever has to be told what its questions are like."""

LEAST, MOST = 10, 99
"""Smallest and largest number of the family, running totals included."""
MOST_OPERATIONS = 8

_SUBJECTS = {
    **dict.fromkeys(("Leo", "Sam", "Max", "Tom", "Ben"), "He"),
    **dict.fromkeys(("Ana", "Mia", "Eva", "Zoe", "Ida"), "She"),
}
_THINGS = ("coins", "cards", "books", "pens", "stamps", "shells", "beads", "apples")
_ADDING = ("buys", "finds", "wins", "gets", "earns", "makes", "borrows", "collects")
_TAKING = ("sells", "loses", "lends", "drops", "donates", "returns", "trades", "discards")
_SIGNS = {**dict.fromkeys(_ADDING, "+"), **dict.fromkeys(_TAKING, "-"), "doubles": "*", "halves": "/"}

_QUESTION = re.compile(r"(\w+) has (\d+) (\w+)\. (.*) ?How many \3 does \1 have\?")
_SENTENCE = re.compile(r"(?:He|She) (\w+) (\d+|them)\.")


@dataclass(frozen=True, slots=True)
class Operation:
    """One sentence of a story: the verb and the number that it works with (2 for doubling and halving)."""

    verb: str
    number: int

    @property
    def sign(self) -> str:
        """One of `+`, `-`, `*` and `/`."""
        return _SIGNS[self.verb]

    @property
    def phrase(self) -> str:
        """The sentence without its subject and full stop: `donates 48`, `halves them`."""
        return f"{self.verb} {'them' if self.sign in '*/' else self.number}"

    def apply(self, total: int) -> int:
        """Return the total after this operation on `total`."""
        match self.sign:
            case "+":
                return total + self.number
            case "-":
                return total - self.number
            case "*":
                return total * self.number
            case _:
                return total // self.number


@dataclass(frozen=True, slots=True)
class Story:
    """A problem in parts: who has how many of what, and what happens to them."""

    name: str
    thing: str
    start: int
    operations: tuple[Operation, ...]

    @property
    def pronoun(self) -> str:
        """`He` or `She`."""
        return _SUBJECTS[self.name]

    @property
    def question(self) -> str:
        """The text of the problem."""
        sentences = "".join(f"{self.pronoun} {operation.phrase}. " for operation in self.operations)
        return f"{self.name} has {self.start} {self.thing}. {sentences}How many {self.thing} does {self.name} have?"

    @property
    def totals(self) -> tuple[int, ...]:
        """The running total: at the start, then after each operation."""
        totals = [self.start]
        for operation in self.operations:
            totals.append(operation.apply(totals[-1]))
        return tuple(totals)

    @property
    def answer(self) -> str:
        """The last total, as it stands in the box."""
        return str(self.totals[-1])

    def opening(self) -> str:
        """Return the first line of the solution."""
        return f"{self.name} has {self.start}."

    def step(self, index: int, total: int) -> str:
        """Return the line of operation `index` on `total`, which need not be the right total."""
        operation = self.operations[index]
        sum_ = f"{total}{operation.sign}{operation.number}={operation.apply(total)}"
        return f"{self.pronoun} {operation.phrase}: {sum_}."

    def lines(self) -> list[str]:
        """Return the lines of the solution, without the blank lines between them."""
        steps = [self.step(index, total) for index, total in enumerate(self.totals[:-1])]
        return [self.opening(), *steps, closing(self.answer)]


def closing(answer: str) -> str:
    """Return the last line of a solution that ends with `answer`."""
    return f"So the answer is \\boxed{{{answer}}}."


def split_of(question: str) -> Split:
    """Return the split to which a question belongs: a function of its text alone (SHA-256 modulo ten)."""
    place = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big") % 10
    return "test" if place == 0 else "calibration" if place == 1 else "train"


def parse(question: str) -> Story:
    """Read a question of the family back into its parts.

    Raises:
        InputError: the text is not a question of this family.
    """
    whole = _QUESTION.fullmatch(question)
    if whole is not None and whole[1] in _SUBJECTS:
        parts = _SENTENCE.findall(whole[4])
        if all(verb in _SIGNS for verb, _ in parts):
            operations = tuple(Operation(verb, 2 if number == "them" else int(number)) for verb, number in parts)
            story = Story(whole[1], whole[3], int(whole[2]), operations)
            if story.question == question:
                return story
    raise InputError(f"not a question of the bundled family: {question[:80]!r}")


def of_family(question: str) -> bool:
    """Whether the question is one of this family."""
    try:
        parse(question)
    except InputError:
        return False
    return True


def draw(rng: random.Random, operations: int) -> Story:
    """Draw a story with exactly this many operations, of any split."""
    start = total = rng.randint(LEAST, MOST)
    drawn: list[Operation] = []
    for _ in range(operations):
        drawn.append(_draw_operation(rng, total, {operation.verb for operation in drawn}))
        total = drawn[-1].apply(total)
    return Story(rng.choice(tuple(_SUBJECTS)), rng.choice(_THINGS), start, tuple(drawn))


def draw_in(rng: random.Random, split: Split, operations: Sequence[int]) -> Story:
    """Draw a story of a split, the number of its operations being one of `operations`."""
    while True:
        story = draw(rng, rng.choice(operations))
        if split_of(story.question) == split:
            return story


def problems(split: Split, n: int, *, seed: int = 0, operations: tuple[int, int] = (4, 6)) -> list[Problem]:
    """Return `n` different problems of a split.

    The same arguments give the same problems, and fewer of them are the first of more.

    Args:
        split: `train`, `calibration` or `test`; no question is in two of them.
        n: how many problems.
        seed: another seed, other problems of the same split.
        operations: the difficulty: least and largest number of operations, both included, 1 to 8.

    Raises:
        InputError: unknown split, `n` below one, or a range of operations that is empty or outside 1 to 8.
    """
    if split not in get_args(Split):
        raise unknown("split", split, get_args(Split), of="bundled")
    if n < 1:
        raise InputError(f"problems: {n} asked for; ask for at least 1")
    low, high = operations
    if not 1 <= low <= high <= MOST_OPERATIONS:
        raise InputError(f"operations: {low} to {high} is no range within 1 to {MOST_OPERATIONS}")
    rng = random.Random(f"{split}:{seed}:{low}:{high}")
    stories: dict[str, Story] = {}
    while len(stories) < n:
        story = draw_in(rng, split, range(low, high + 1))
        stories.setdefault(story.question, story)
    return [_problem(story, f"{split}-{seed}-{index:04d}") for index, story in enumerate(stories.values())]


def solution(problem: Problem) -> str:
    """Return the reference solution of a problem: its lines with a blank line between them.

    Raises:
        InputError: the question is not of this family, or its stated answer is not the right one.
    """
    story = parse(problem.question)
    if story.answer != problem.answer:
        raise InputError(f"problem {problem.id}: the answer is {story.answer}, not {problem.answer}")
    return BLANK_LINE.join(story.lines())


def _problem(story: Story, id_: str) -> Problem:
    meta = {"split": split_of(story.question), "operations": len(story.operations)}
    return Problem(id=id_, question=story.question, answer=story.answer, meta=meta)


def _draw_operation(rng: random.Random, total: int, used: set[str]) -> Operation:
    signs = "+" * 4 * (total <= MOST - LEAST) + "-" * 4 * (total >= 2 * LEAST)
    signs += "*" * (total <= MOST // 2 and "doubles" not in used)
    signs += "/" * (total % 2 == 0 and total >= 2 * LEAST and "halves" not in used)
    match rng.choice(signs):
        case "+":
            return Operation(_unused(rng, _ADDING, used), rng.randint(LEAST, MOST - total))
        case "-":
            return Operation(_unused(rng, _TAKING, used), rng.randint(LEAST, total - LEAST))
        case "*":
            return Operation("doubles", 2)
        case _:
            return Operation("halves", 2)


def _unused(rng: random.Random, verbs: Sequence[str], used: set[str]) -> str:
    return rng.choice([verb for verb in verbs if verb not in used])
