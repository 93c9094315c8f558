"""A run read back from its folder: typed turns and chains, verdicts, figures, and tables for pandas."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from atts import problems as datasets
from atts.config.run import RunConfig
from atts.errors import InputError
from atts.grading import graders
from atts.grading.remembered import FILE, Remembered
from atts.grading.rules import Grader
from atts.results.export import chain_row, turn_row
from atts.results.outline import html_table, interval, outline
from atts.runs.answered import Answered
from atts.runs.record import Record
from atts.runs.setup import answer_rules, are_numbers
from atts.stats.arrays import Floats
from atts.stats.calibrators import CALIBRATORS, RateCalibrator
from atts.stats.estimate import Outcomes, classes, majority, vote
from atts.stats.settings import CalibratorSettings
from atts.store.folder import RunFolder
from atts.store.journal import Journal
from atts.types import Chain, EngineInfo, Key, Problem, Role, Status, Turn

if TYPE_CHECKING:
    import pandas

_LONGEST_LINE = 300  # characters that a run says of itself in one line


@dataclass(frozen=True, repr=False)
class LoadedRun:
    """A run as it stands in its folder, finished or not.

    `turns` holds the turns of every chain in order, also of chains that have not ended. `verdicts` has an entry for
    every chain that ended: True, False, or None where nothing could be graded (failed, cancelled, undecidable).
    `summary` has the keys of `summary.json`, computed from the journal, so that a killed run has figures too.
    `damaged` numbers the journal lines that could not be read, `unused` counts the turns of a chain that could not be
    used because one before them is missing. `sessions` has an entry for the run's beginning and each time that it was
    resumed. `ungraded` says of each chain whose answer has no verdict why that is.
    """

    path: Path
    config: RunConfig
    description: Mapping[str, Any]
    problems: tuple[Problem, ...]
    turns: Mapping[Key, list[Turn]]
    chains: Mapping[Key, Chain]
    verdicts: Mapping[Key, bool | None]
    votes: Mapping[Key, str]
    summary: Mapping[str, Any]
    damaged: tuple[int, ...]
    sessions: tuple[Mapping[str, Any], ...] = ()
    unused: Mapping[Key, int] = field(default_factory=dict)
    ungraded: Mapping[Key, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the run is called where several are shown: its folder's name."""
        return self.path.resolve().name

    def __repr__(self) -> str:
        """One line, however long the run."""
        votes = self.summary["accuracy"]["maj@k"]
        counts = f"{len(self.chains)} of {len(self.problems)} × {self.config.samples} chains"
        what = f"{self.summary['strategy']} on {self.summary['data']}, {self.summary['status']}, {counts}"
        line = f"{what}, maj@{self.config.samples} {interval(votes)}"
        return f"<LoadedRun {str(self.path)!r}: {' '.join(line.split())[:_LONGEST_LINE]}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the figures in a small table. Everything in it is escaped."""
        return html_table(self.name, [*outline(self.summary), ("folder", str(self.path))])

    @cached_property
    def outcomes(self) -> Outcomes:
        """What became of every sample, for the estimates of `atts.stats.estimate`; shape [problem, sample]."""
        shape = (len(self.problems), self.config.samples)
        correct, turns = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
        answers: list[list[str | None]] = [[None] * shape[1] for _ in self.problems]
        for row, problem in enumerate(self.problems):
            for sample in range(shape[1]):
                chain = self.chains.get((problem.id, sample))
                if chain is None or chain.status is not Status.DONE:
                    continue
                verdict = self.verdicts[problem.id, sample]
                turns[row, sample] = chain.turns
                answers[row][sample] = self.votes.get((problem.id, sample))
                correct[row, sample] = np.nan if verdict is None else float(verdict)
        return Outcomes.of(correct, classes(answers), turns)

    @cached_property
    def majority(self) -> Floats:
        """maj@k of each problem; where a decided vote has ended it early, that vote. NaN where samples are missing."""
        column = majority(self.outcomes)[:, -1]
        if not self.config.vote_rule().early:
            return column
        samples = range(self.config.samples)
        whole = [all((problem.id, sample) in self.chains for sample in samples) for problem in self.problems]
        return np.where(np.isnan(column) & whole, vote(self.outcomes), column)

    def frame(self) -> pandas.DataFrame:
        """One row a chain that ended: the columns of `atts export`, and `text`.

        Raises InputError where pandas is not installed.
        """
        rows = [
            chain_row(chain, self.turns.get(key, []), self.verdicts[key]) | {"text": chain.text}
            for key, chain in self.chains.items()
        ]
        return _pandas().DataFrame(rows)

    def turn_frame(self) -> pandas.DataFrame:
        """One row a turn, also of chains that have not ended: the columns of `atts export --table turns`.

        Raises InputError where pandas is not installed.
        """
        return _pandas().DataFrame([turn_row(turn) for turns in self.turns.values() for turn in turns])


def load_run(path: str | os.PathLike[str]) -> LoadedRun:
    """Read a run folder. Damaged lines of the journal are numbered and left out; the rest is read.

    Raises InputError where there is no run, or its problems cannot be read.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"{path!r:.80} is no run folder: a path is needed")
    folder = RunFolder.open(Path(path))
    problems = tuple(folder.problems())
    journal = folder.journal()
    journal.only(problems, folder.config.samples)
    verdicts, votes, ungraded = graded(folder, problems, journal.chains.values())
    return LoadedRun(
        path=folder.path,
        config=folder.config,
        description=folder.run,
        problems=problems,
        turns=journal.turns,
        chains=journal.chains,
        verdicts=verdicts,
        votes=votes,
        summary=_summary(folder, problems, journal, verdicts, votes),
        damaged=tuple(journal.damaged),
        sessions=tuple(folder.sessions()),
        unused=journal.unused,
        ungraded=ungraded,
    )


class Graded(NamedTuple):
    """What a run's grader says of its chains: verdicts, what answers vote for, and why some have no verdict."""

    verdicts: dict[Key, bool | None]
    votes: dict[Key, str]
    ungraded: dict[Key, str]


def graded(folder: RunFolder, problems: Sequence[Problem], chains: Iterable[Chain]) -> Graded:
    """The run's own verdict on every chain of its problems, and its vote; equal answers to a problem are graded once.

    Raises InputError where the grader's extra is not installed, or it is neither here nor are its verdicts.
    """
    by_id = {problem.id: problem for problem in problems}
    known: dict[tuple[str, str], tuple[bool | None, str, str]] = {}
    found = Graded({}, {}, {})
    with closing(_grader(folder)) as grader:
        for chain in chains:
            if chain.problem not in by_id:
                continue
            key, problem = (chain.problem, chain.sample), by_id[chain.problem]
            found.verdicts[key] = False if chain.status is Status.DONE and chain.answer is None else None
            if chain.status is Status.DONE and chain.answer is not None:
                asked = (chain.problem, chain.answer)
                if asked not in known:
                    verdict = grader.grade(chain.answer, problem)
                    known[asked] = (verdict, grader.key(chain.answer), grader.why(chain.answer, problem))
                found.verdicts[key], found.votes[key], reason = known[asked]
                if found.verdicts[key] is None:
                    found.ungraded[key] = reason or "the grader cannot tell"
    return found


def _grader(folder: RunFolder) -> Grader:
    """The grader of a run; of one that is not this package's, first of all what it said during the run."""
    config = folder.config
    name = config.grader or datasets.describe(config.problems).grader
    kept = folder.path / FILE
    if graders.GRADERS.is_builtin(name) or not kept.exists():
        return graders.named(name)
    try:
        return Remembered(kept, graders.named(name))
    except InputError:
        return Remembered(kept, None)


def _summary(
    folder: RunFolder,
    problems: tuple[Problem, ...],
    journal: Journal,
    verdicts: Mapping[Key, bool | None],
    votes: Mapping[Key, str],
) -> dict[str, Any]:
    """The figures of what the journal holds; wall time, engines and warnings are those of the last summary."""
    written = _written(folder)
    by_answer = {journal.chains[key].answer: vote for key, vote in votes.items()}
    calibrator = _counter(folder.config)
    answered = _answered(folder.config, problems)
    record = Record(folder.config, problems, calibrator, lambda answer: by_answer.get(answer, answer), answered)
    record.take_up(journal, folder.sessions(), lambda chain: verdicts[chain.problem, chain.sample])
    record.warnings.extend(written.get("warnings", []))
    times = written.get("time", {})
    record.loaded(max(0.0, (times.get("loading_s") or 0.0) - record.loading))  # of a session that ended while it loaded
    return record.summary(
        wall=max(times.get("wall_s") or 0.0, journal.last_time),
        engines={role: info for role in Role if (info := _engine(written, role)) is not None},
    )


def _counter(config: RunConfig) -> RateCalibrator:
    """The run's calibrator, or any where that is not here: it only counts, and has no recorded scores."""
    try:
        settings = config.calibrator_settings()
        return CALIBRATORS[settings.name](settings)
    except InputError:
        settings = CalibratorSettings(config.calibrator, config.rate, config.samples, hard_budget=config.hard_budget)
        return RateCalibrator(settings)


def _answered(config: RunConfig, problems: Sequence[Problem]) -> Answered:
    """The count of answers; without the ways of finding them where the rule is another package's, and not there."""
    try:
        rule = config.answer or datasets.describe(config.problems).rule
        return Answered(rule, answer_rules(rule, numeric=are_numbers(problems))(False))
    except InputError:
        return Answered(config.answer or "?", lambda text: None)


def _written(folder: RunFolder) -> dict[str, Any]:
    """The last summary; nothing where there is none, or none that can be read: the journal is the truth."""
    try:
        return folder.summary_if_any() or {}
    except InputError:
        return {}


def _engine(summary: Mapping[str, Any], role: Role) -> EngineInfo | None:
    found = dict(summary.get("engines", {}).get(role.value, {}))
    if not found:
        return None
    return EngineInfo(found.pop("engine", "?"), found.pop("model", "?"), vocabulary="", details=found)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise InputError("data frames need pandas: pip install pandas") from error
    return pandas
