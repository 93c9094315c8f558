"""Grading recorded chains again, by other rules or by a judge, without generating anything.

Every grading is a file of its own, `gradings/NAME.jsonl`: a first line that says how it was done, then one line a
chain. None is ever overwritten.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from atts import atomic
from atts.errors import InputError
from atts.grading import extract as answers
from atts.grading.judge import Judge
from atts.grading.rules import Grader
from atts.grading.thinking import closes_unopened, spoken
from atts.registry import unknown
from atts.stats.estimate import Bootstrap, Estimate, Outcomes, accuracy, alike, classes, passes
from atts.types import Chain, Key, Problem, Status, Turn

_BATCH = 256  # chains held in memory with their texts


class Recorded(Protocol):
    """A folder of results: a run's or the reference's."""

    path: Path

    def problems(self) -> list[Problem]:
        """The problems, in order."""
        ...

    def chains(self) -> Iterator[Chain]:
        """The chains that ended, one at a time."""
        ...

    def histories(self) -> Iterator[tuple[Chain, list[Turn]]]:
        """The same, each with its turns."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a grading says of one chain. `correct` None has a `reason`.

    `raw` is what a judge said of the answer, `extraction` what a model said when asked for it; both word for word.
    """

    problem: str
    sample: int
    answer: str | None
    correct: bool | None
    reason: str = ""
    raw: str | None = None
    extraction: str | None = None


@dataclass(frozen=True, slots=True)
class Grading:
    """How chains were graded, and the verdicts by (problem, sample)."""

    name: str
    how: Mapping[str, Any]
    verdicts: Mapping[Key, Verdict]
    turns: Mapping[Key, int] = field(default_factory=dict)


Pair = tuple[Chain, Problem]


class Method(Protocol):
    """A way of finding and judging answers."""

    async def verdicts(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """The verdicts on chains that ended in good order, in the same order."""
        ...


class ByRule:
    """Answers by a rule, or as the run recorded them; verdicts by a grader. Works in a few threads of its own.

    A thread takes a share of the chains, not one at a time: many short hand-overs would starve the event loop.
    """

    def __init__(self, grader: Grader, extract: answers.Extract | None = None, *, threads: int = 4) -> None:
        self._grader, self._extract, self._threads = grader, extract, threads

    async def verdicts(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """Never blocks the event loop."""
        found: list[Verdict | None] = [None] * len(pairs)

        def share(start: int) -> None:
            for place in range(start, len(pairs), self._threads):
                found[place] = self._verdict(*pairs[place])

        await asyncio.gather(*(asyncio.to_thread(share, start) for start in range(min(self._threads, len(pairs)))))
        return [verdict for verdict in found if verdict is not None]

    def _verdict(self, chain: Chain, problem: Problem) -> Verdict:
        answer = (chain.answer if self._extract is None else self._extract(chain.text)) or None
        if not problem.answer:
            return Verdict(chain.problem, chain.sample, answer, None, "no known answer")
        correct = self._grader.grade(answer, problem)
        reason = "" if correct is not None else self._grader.why(answer, problem) or "the grader cannot tell"
        return Verdict(chain.problem, chain.sample, answer, correct, reason)


class ByJudge:
    """Verdicts, answers or both by a language model; whatever it is not asked for is done by rule."""

    def __init__(
        self,
        judge: Judge,
        *,
        thinking: bool = False,
        extract: answers.Extract | None = None,
        extracts: bool = False,
        grader: Grader | None = None,
    ) -> None:
        """`extracts` has the model find the answers; a `grader` gives the verdicts in the model's place."""
        self._judge, self._extract, self._extracts, self._thinking = judge, extract, extracts, thinking
        self._rules = ByRule(grader) if grader is not None else None

    async def verdicts(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """A chain without an answer is wrong and nobody is asked; a failure of the model is no verdict."""
        return list(await asyncio.gather(*(self._verdict(chain, problem) for chain, problem in pairs)))

    async def _verdict(self, chain: Chain, problem: Problem) -> Verdict:
        answer, failed, extraction = await self._answer(chain, problem)
        said = await self._judged(answer, failed, chain, problem)
        return replace(said, extraction=extraction)

    async def _judged(self, answer: str | None, failed: str, chain: Chain, problem: Problem) -> Verdict:
        if failed or not problem.answer:
            return Verdict(chain.problem, chain.sample, None, None, failed or "no known answer")
        if self._rules is not None:
            [found] = await self._rules.verdicts([(replace(chain, answer=answer), problem)])
            return found
        if answer is None:
            return Verdict(chain.problem, chain.sample, None, False)
        said = await self._judge.judge(answer, problem)
        return Verdict(chain.problem, chain.sample, answer, said.correct, said.reason, said.raw)

    async def _answer(self, chain: Chain, problem: Problem) -> tuple[str | None, str, str | None]:
        if not self._extracts:
            return (chain.answer if self._extract is None else self._extract(chain.text)) or None, "", None
        text = spoken(chain.text, thinking=self._thinking)
        if text is None or not text.strip():
            return None, "", None
        found = await self._judge.extract(text, problem)
        return found.answer or None, found.failed, found.raw


def begins_in_thinking(chains: Iterable[Chain]) -> bool:
    """Whether texts begin inside thinking: some chain closes a thinking part that it did not open."""
    return any(closes_unopened(chain.text) for chain in chains)


async def grade(
    folder: Recorded,
    method: Method,
    *,
    name: str,
    how: Mapping[str, Any],
    progress: Callable[[int], None] = lambda done: None,
) -> Grading:
    """Grade every chain that ended; one that failed or was cancelled has no verdict.

    Memory holds the texts of a few hundred chains at most; reading and rules run in threads. `progress` is told the
    number of chains graded so far. Raises InputError where a chain belongs to no problem of the folder.
    """
    problems = {problem.id: problem for problem in await asyncio.to_thread(folder.problems)}
    verdicts: dict[Key, Verdict] = {}
    turns: dict[Key, int] = {}
    async for batch in _batches(folder.chains()):
        if strange := next((chain for chain in batch if chain.problem not in problems), None):
            raise InputError(f"{folder.path}: a chain of problem {strange.problem!r}, which is not among its problems")
        ended = [(chain, problems[chain.problem]) for chain in batch if chain.status is Status.DONE]
        unfinished = [_unfinished(chain) for chain in batch if chain.status is not Status.DONE]
        for verdict in unfinished + await method.verdicts(ended):
            verdicts[verdict.problem, verdict.sample] = verdict
        turns |= {(chain.problem, chain.sample): chain.turns for chain in batch}
        progress(len(verdicts))
    return Grading(name, how, verdicts, turns)


async def _batches(chains: Iterator[Chain]) -> AsyncIterator[list[Chain]]:
    while batch := await asyncio.to_thread(lambda: list(islice(chains, _BATCH))):
        yield batch


def _unfinished(chain: Chain) -> Verdict:
    return Verdict(chain.problem, chain.sample, chain.answer, None, f"the chain ended with {chain.status}")


def outcomes(problems: Sequence[Problem], grading: Grading, key: Callable[[str], str]) -> Outcomes:
    """The verdicts as arrays [question, sample]; `key` makes answers that mean the same vote together."""
    samples = 1 + max((sample for _, sample in grading.verdicts), default=0)
    rows = [[grading.verdicts.get((problem.id, sample)) for sample in range(samples)] for problem in problems]
    correct = [[np.nan if v is None or v.correct is None else float(v.correct) for v in row] for row in rows]
    texts = [[None if v is None or v.answer is None else key(v.answer) for v in row] for row in rows]
    turns = [[grading.turns.get((problem.id, sample), 0) for sample in range(samples)] for problem in problems]
    return Outcomes.of(np.array(correct).reshape(len(rows), samples), classes(texts), turns)


@dataclass(frozen=True, slots=True)
class Change:
    """A chain of which two gradings say different things."""

    before: Verdict
    after: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two gradings of the same chains: what differs, and the difference of pass@1, paired by question. `alike` says
    that it is zero on every one."""

    changes: tuple[Change, ...]
    disagreements: int
    difference: Estimate
    alike: bool


def compare(problems: Sequence[Problem], before: Grading, after: Grading, key: Callable[[str], str]) -> Comparison:
    """What changed; disagreements are the changes from right to wrong or back."""
    shared = [key for key in after.verdicts if key in before.verdicts]
    pairs = [Change(before.verdicts[key], after.verdicts[key]) for key in shared]
    changes = tuple(p for p in pairs if (p.before.correct, p.before.answer) != (p.after.correct, p.after.answer))
    opposed = sum({change.before.correct, change.after.correct} == {True, False} for change in changes)
    columns = [passes(outcomes(problems, grading, key))[:, 0] for grading in (after, before)]
    return Comparison(changes, opposed, Bootstrap(len(problems)).difference(*columns), alike(*columns))


def figures(problems: Sequence[Problem], grading: Grading, key: Callable[[str], str]) -> dict[str, Any]:
    """Counts, accuracy with intervals, and why verdicts are missing; as data for JSON."""
    verdicts = grading.verdicts.values()
    table = outcomes(problems, grading, key)
    found = accuracy(table) if verdicts else {}
    return {
        "chains": len(verdicts),
        "answered": sum(verdict.answer is not None for verdict in verdicts),
        "correct": sum(verdict.correct is True for verdict in verdicts),
        "ungraded": sum(verdict.correct is None for verdict in verdicts),
        "reasons": dict(Counter(v.reason for v in verdicts if v.correct is None).most_common()),
        "samples": table.correct.shape[1],
        "accuracy": {
            metric: found[metric].plain() for metric in ("pass@1", "pass@k", "maj@k", "any") if metric in found
        },
    }


def path_of(folder: Path, name: str) -> Path:
    """Where a grading of that name stands. Raises InputError for a name that is no plain file name."""
    if not name or name.startswith(".") or not all(c.isalnum() or c in "-_.+" for c in name):
        raise InputError(f"grading name {name!r}: letters, digits, - _ . + only")
    return folder / "gradings" / f"{name}.jsonl"


def free_name(folder: Path, wanted: str) -> str:
    """The wanted name, or the first of name-2, name-3, … that no grading has."""
    names = (wanted if number == 1 else f"{wanted}-{number}" for number in range(1, 10_000))
    return next(name for name in names if not path_of(folder, name).exists())


def save(folder: Path, grading: Grading) -> Path:
    """Write a grading, whole or not at all. Raises InputError where one of that name stands already."""
    path = path_of(folder, grading.name)
    head = {"kind": "grading", "schema": 1, "name": grading.name, **grading.how}
    rows = ({"kind": "verdict", **asdict(verdict)} for verdict in grading.verdicts.values())
    content = "".join(json.dumps(row) + "\n" for row in [head, *rows])
    try:
        path.parent.mkdir(exist_ok=True)
        atomic.write(path, content.encode(), new=True)
    except FileExistsError as error:
        raise InputError(f"{path} stands already and is never overwritten; choose another --name") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def read(folder: Path, name: str) -> Grading:
    """A grading that was saved. Raises InputError where there is none or a line is damaged."""
    path = path_of(folder, name)
    try:
        rows = [json.loads(line) for line in path.read_bytes().removesuffix(b"\n").split(b"\n")]
        head, verdicts = rows[0], [Verdict(**{k: v for k, v in row.items() if k != "kind"}) for row in rows[1:]]
    except FileNotFoundError as error:
        known = sorted(file.stem for file in path.parent.glob("*.jsonl")) if path.parent.is_dir() else []
        raise unknown("grading", name, known, of=str(folder)) from error
    except (OSError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path}: damaged: {error}") from error
    how = {key: value for key, value in head.items() if key not in ("kind", "schema", "name")}
    return Grading(name, how, {(verdict.problem, verdict.sample): verdict for verdict in verdicts})
