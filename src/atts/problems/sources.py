"""The data sets that are known by name: where they come from, how their rows read, and what suits them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Any, NamedTuple

from atts.grading.boxes import boxed
from atts.origins import module_of
from atts.problems.rows import BadRowError, text
from atts.problems.tables import SUFFIXES
from atts.registry import Registry, first_line, takes
from atts.seeds import derive
from atts.types import Problem

Row = Mapping[str, Any]
NOT_STATED = "not stated"


class Asked(NamedTuple):
    """What a row holds: the question, the known answer, and the options of a multiple choice, the right one first."""

    question: str
    answer: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subset:
    """A selection by position among the `n` problems of a split, and how to call it wherever results are shown."""

    describe: str
    pick: Callable[[int], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Part:
    """A split, as the hub has it. `revision` is the commit that is read unless another is asked for.

    `size` counts its problems, None where it is not known before it is read. `wanted` says which rows belong.
    """

    repository: str
    split: str
    read: Callable[[Row], Asked]
    config: str | None = None
    revision: str = "main"
    size: int | None = None
    wanted: Callable[[Row], bool] = lambda row: True
    subsets: Mapping[str, Subset] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """What a name stands for: its splits (the first is the default), its licence, and what suits its questions.

    `origin` and `parts` agree where the problems come from the hub; the bundled family and files have no parts. `given`
    gives the problems of a data set that is a function.
    """

    describe: str
    origin: str
    licence: str
    splits: tuple[str, ...]
    parts: Mapping[str, Part] = field(default_factory=dict)
    prompt: str = "plain"
    rule: str = "boxed"
    grader: str = "math"
    given: Callable[[], Iterable[Problem]] | None = None

    @property
    def size(self) -> int | None:
        """Problems of the default split; None where there is no end of them or they were not counted before."""
        return self.parts[self.splits[0]].size if self.parts else None

    @property
    def line(self) -> str:
        """Description, size, source and licence, for lists."""
        unlimited = not self.parts and self.given is None
        size = f"{self.size:,} problems" if self.size else "unlimited" if unlimited else "counted when read"
        return f"{self.describe}; {size}; {self.origin}; licence {self.licence}"


def math(row: Row) -> Asked:
    """Columns `problem` and `answer`, as MATH and the AIME sets have them."""
    return Asked(text(row, "problem"), text(row, "answer"))


def olympiad(row: Row) -> Asked:
    """OlympiadBench: a question with an optional context, and a list that holds the one answer."""
    context = row.get("context")
    before = f"{context.strip()}\n\n" if isinstance(context, str) and context.strip() else ""
    return Asked(before + text(row, "question"), text(row, "final_answer"))


def gpqa(row: Row) -> Asked:
    """GPQA: four options in columns of their own."""
    right = text(row, "Correct Answer")
    return Asked(text(row, "Question"), right, (right, *(text(row, f"Incorrect Answer {i}") for i in (1, 2, 3))))


def gsm8k(row: Row) -> Asked:
    """GSM8K: the answer is what follows `####` in the solution."""
    _, marked, answer = text(row, "answer").rpartition("####")
    if not marked or not answer.strip():
        raise BadRowError("answer has no ####")
    return Asked(text(row, "question"), answer.strip().replace(",", ""))


def s1(row: Row) -> Asked:
    """s1K: the answer is what the solution boxes, or else the solution itself."""
    solution = text(row, "solution")
    return Asked(text(row, "question"), boxed(solution) or solution)


def shuffled(asked: Asked, seed: int, name: str) -> Asked:
    """With the options in an order that the seed and the problem's name decide, and the right one's letter."""
    if not asked.choices:
        return asked
    choices = list(asked.choices)
    random.Random(derive(seed, "choices", name)).shuffle(choices)
    return Asked(asked.question, ascii_uppercase[choices.index(asked.answer)], tuple(choices))


def _first(n: int) -> Mapping[str, Subset]:
    return {"reference": Subset(f"reference subset: the first {n}", lambda size: range(min(n, size)))}


def _drawn(n: int, seed: int) -> Mapping[str, Subset]:
    """Python's generator of that seed, as the paper's implementation draws them."""
    return {
        "reference": Subset(
            f"reference subset: {n} drawn with seed {seed}",
            lambda size: random.Random(seed).sample(range(size), min(n, size)),
        )
    }


def _aime(year: int) -> Source:
    repository = f"simplescaling/aime{year}_nofigures"
    part = Part(repository, "train", math, size=30, subsets=_first(15))
    return Source(f"AIME 20{year}", repository, NOT_STATED, ("test",), {"test": part}, grader="numeric")


BUNDLED = Source(
    "running totals, made for the bundled pair",
    "generated",
    "MIT",
    ("test", "calibration", "train"),
    prompt="bundled",
    grader="numeric",
)
DIFFICULTIES: Mapping[str, tuple[int, int]] = {"easy": (3, 4), "hard": (7, 8)}
"""Subsets of the bundled family, by the fewest and the most operations of a problem; 4 to 6 are the default."""
LOCAL = Source("a file of your own", "file", "yours", ("all",), rule="auto", grader="suited")


def as_source(
    name: str, thing: Any, *, describe: str = "", prompt: str = "plain", rule: str = "boxed", grader: str = LOCAL.grader
) -> Source:
    """A `Source`, or a function () -> Iterable[Problem] made one, with the names of what suits it."""
    if isinstance(thing, Source):
        return thing
    takes(thing)
    described = (describe or first_line(thing), module_of(thing), NOT_STATED, ("all",))
    return Source(*described, prompt=prompt, rule=rule, grader=grader, given=thing)


SOURCES: Registry[Source] = Registry(
    "data set",
    "atts.datasets",
    {
        "bundled": BUNDLED,
        "math500": Source(
            "500 problems of MATH; calibration: MATH's other 12,000",
            "HuggingFaceH4/MATH-500",
            "MIT",
            ("test", "calibration"),
            {
                "test": Part(
                    "HuggingFaceH4/MATH-500",
                    "test",
                    math,
                    revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
                    size=500,
                    subsets=_drawn(100, 42),
                ),
                "calibration": Part("ricdomolm/MATH-500", "train", math, size=12_000, subsets=_drawn(200, 43)),
            },
        ),
        "aime24": _aime(24),
        "aime25": _aime(25),
        "amc23": Source(
            "AMC 12 of 2022 and 2023, integer answers",
            "AI-MO/aimo-validation-amc",
            "Apache-2.0",
            ("test",),
            {
                "test": Part(
                    "AI-MO/aimo-validation-amc",
                    "train",
                    math,
                    revision="69d78a4a2c840e82d69af6bc742bda09005f6316",
                    size=83,
                    subsets=_first(50),
                )
            },
            grader="numeric",
        ),
        "olympiad": Source(
            "OlympiadBench: English, text only, one numerical answer",
            "Hothan/OlympiadBench",
            "Apache-2.0",
            ("test",),
            {
                "test": Part(
                    "Hothan/OlympiadBench",
                    "train",
                    olympiad,
                    config="OE_TO_maths_en_COMP",
                    revision="91184b52131e7fc9455fef848035173aea8cc01a",
                    wanted=lambda row: row["is_multiple_answer"] is False and row["answer_type"] == "Numerical",
                    subsets=_first(50),
                )
            },
        ),
        "gpqa": Source(
            "GPQA diamond: four options, shuffled by seed (gated: needs a login)",
            "Idavidrein/gpqa",
            "CC-BY-4.0",
            ("test",),
            {"test": Part("Idavidrein/gpqa", "train", gpqa, config="gpqa_diamond", size=198, subsets=_first(60))},
            rule="choice",
            grader="choice",
        ),
        "gsm8k": Source(
            "grade-school word problems",
            "openai/gsm8k",
            "MIT",
            ("test", "train"),
            {
                split: Part(
                    "openai/gsm8k",
                    split,
                    gsm8k,
                    config="main",
                    revision="740312add88f781978c0658806c59bc2815b9866",
                    size=size,
                )
                for split, size in (("test", 1319), ("train", 7473))
            },
            grader="numeric",
        ),
        "s1": Source(
            "s1K-1.1: hard questions, answers of every kind (a judge suits them)",
            "simplescaling/s1K-1.1",
            "MIT",
            ("train",),
            {"train": Part("simplescaling/s1K-1.1", "train", s1, size=1000, subsets=_drawn(200, 43))},
        ),
    },
    shape=as_source,
    line=lambda source: source.line,
    instead=f"a file ({', '.join(SUFFIXES)}) or module:name",
)


def dataset(
    name: Any, *, describe: str = "", prompt: str = "plain", rule: str = "boxed", grader: str = LOCAL.grader
) -> Any:
    """Decorates a function () -> Iterable[Problem], to be had as a data set, with the names of what suits it."""
    return SOURCES.register(name, describe=describe, prompt=prompt, rule=rule, grader=grader)
