"""Problems by the name of their data set, or from a file.

`load` gives the problems; `describe` says what a name stands for and which prompt, answer rule and grader suit it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

from atts.errors import InputError
from atts.own import is_own
from atts.problems import hub
from atts.problems.files import Columns, read
from atts.problems.sources import BUNDLED, DIFFICULTIES, LOCAL, SOURCES, Source, Subset
from atts.problems.tables import SUFFIXES
from atts.registry import unknown
from atts.types import Problem

__all__ = ["LOCAL", "SOURCES", "Columns", "Source", "describe", "label", "load"]


def describe(name: str) -> Source:
    """What a data set's name, or a file's path, stands for. Raises InputError where it stands for nothing."""
    file = Path(name).suffix.lower() in SUFFIXES or is_own(name)
    return LOCAL if file and name not in SOURCES else SOURCES[name]


def load(
    name: str,
    *,
    n: int | None = None,
    split: str | None = None,
    subset: str | None = None,
    seed: int = 0,
    revision: str | None = None,
    columns: Columns | None = None,
    skip_bad: bool = False,
    operations: tuple[int, int] = (4, 6),
    told: Callable[[str], None] = lambda line: None,
) -> list[Problem]:
    """The first `n` problems (all by default; of the bundled family 20) of a data set or file, in a fixed order.

    `subset="reference"` is the selection of the paper's implementation; of the bundled family there are easy and hard
    problems. `seed` orders the options of multiple-choice
    questions and draws the bundled family. `columns` maps the columns of a file, whose bad rows raise unless
    `skip_bad`; `told` hears how many were skipped. `operations` is the bundled family's length of a problem.
    `revision` replaces the pinned one of the hub.

    Raises InputError for an unknown name, split or subset, unreadable rows, or no problems at all.
    """
    if n is not None and n < 1:
        raise InputError(f"number of problems must be at least 1, not {n}")
    source = describe(name)
    split = _split(name, source, split)
    if source is BUNDLED:
        problems = _bundled(split, n or 20, seed, operations if subset is None else _difficulty(subset))
    elif source is LOCAL and is_own(name):
        raise InputError(f"{name}: these problems were given from Python; give the same ones again from there to go on")
    elif source is LOCAL:
        problems = read(Path(name), columns or Columns(), skip_bad=skip_bad, told=told)
    elif source.given is not None:
        problems = _given(name, source.given)
    else:
        problems = hub.problems(name, split, source.parts[split], revision=revision, seed=seed)
    if subset and source is not BUNDLED:
        problems = [problems[index] for index in _subset(name, split, subset).pick(len(problems))]
    if not problems:
        raise InputError(f"{name} holds no problems")
    return problems[:n]


def label(name: str, *, split: str | None = None, subset: str | None = None) -> str:
    """How to call what was loaded wherever its results are shown: a subset is never shown as the whole."""
    source = describe(name)
    chosen = _split(name, source, split)
    notes = [chosen] if split and chosen != source.splits[0] else []
    if subset and source is BUNDLED:
        notes.append("{}: {} to {} operations".format(subset, *_difficulty(subset)))
    elif subset:
        notes.append(_subset(name, chosen, subset).describe)
    return f"{name} ({', '.join(notes)})" if notes else name


def _split(name: str, source: Source, split: str | None) -> str:
    if split is not None and split not in source.splits:
        raise unknown("split", split, source.splits, of=name)
    return split or source.splits[0]


def _subset(name: str, split: str, subset: str) -> Subset:
    source = describe(name)
    known = source.parts[split].subsets if source.parts else {}
    if subset not in known:
        raise unknown("subset", subset, known, of=name)
    return known[subset]


def _difficulty(subset: str) -> tuple[int, int]:
    if subset not in DIFFICULTIES:
        raise unknown("subset", subset, DIFFICULTIES, of="bundled")
    return DIFFICULTIES[subset]


def _bundled(split: str, n: int, seed: int, operations: tuple[int, int]) -> list[Problem]:
    from atts.bundled import family

    return family.problems(cast(family.Split, split), n, seed=seed, operations=operations)


def _given(name: str, function: Callable[[], Iterable[Problem]]) -> list[Problem]:
    """The problems that a function gives. Raises InputError where they are none, or two have one id."""
    with SOURCES.blaming(name):
        problems = list(function())
    for place, problem in enumerate(problems):
        if not isinstance(problem, Problem):
            raise InputError(f"data set {name}: item {place} is {problem!r:.80}, no atts.types.Problem")
        if not all(isinstance(part, str) for part in (problem.id, problem.question, problem.answer, *problem.choices)):
            raise InputError(f"data set {name}: item {place}: id, question, answer and choices have to be texts")
    if twice := [id_ for id_, count in Counter(problem.id for problem in problems).items() if count > 1]:
        raise InputError(f"data set {name}: {len(twice)} ids stand for more than one problem, such as {twice[0]!r}")
    return problems
