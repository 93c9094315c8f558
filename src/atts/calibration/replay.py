"""Replay: recorded scores, from a table or a finished run, through a calibrator, without any model.

What a chain wrote after a decision stands as it was recorded, so a replay says what another calibrator would have
decided on these chunks, not what the chains would have become.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, log, nan
from pathlib import Path
from typing import Any, TypeVar

from atts.calibration.arrival import Arrival, RecordedChain, RecordedChunk, recorded
from atts.config.run import RunConfig
from atts.errors import InputError
from atts.problems.tables import rows
from atts.seeds import uniform
from atts.stats.audit import Audit, audit, averaged
from atts.stats.calibrator import Calibrator
from atts.stats.calibrators import CalibrationScore, make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.store.folder import RunFolder
from atts.store.journal import Journal
from atts.types import Chunk, Decision, Key

SHORT = 100  # characters: a last chunk with fewer is not comparable with whole ones
PERPLEXITIES = ("ppl", "perplexity")  # columns that hold perplexities, which are logged
LOGGED = "log_perplexity"  # the score that they become

_SHOWN = 3  # reasons named in one message
_MOST = 2**53  # the first whole number that a column of floating point does not tell from its neighbour


@dataclass(frozen=True, slots=True)
class Record:
    """Recorded chunks by chain, chains in order of first appearance; `config` if they come from a run folder.

    `ends` says of a run's chains, in order, at which decision they had ended: also of those without any decision.
    """

    chains: tuple[RecordedChain, ...]
    config: RunConfig | None = None
    ends: tuple[tuple[int, Key], ...] = ()

    @property
    def samples(self) -> int:
        """The most samples that any problem has."""
        counts: dict[str, int] = {}
        for chain in self.chains:
            problem = chain[0].chunk.problem
            counts[problem] = counts.get(problem, 0) + 1
        return max(counts.values())

    @property
    def problems(self) -> int:
        """How many problems there are."""
        return len({chain[0].chunk.problem for chain in self.chains})

    @property
    def taken_over(self) -> dict[Chunk, bool]:
        """What was decided then; empty unless it is known of every chunk."""
        chunks = [chunk for chain in self.chains for chunk in chain]
        known = {chunk.chunk: chunk.taken_over for chunk in chunks if chunk.taken_over is not None}
        return known if len(known) == len(chunks) else {}

    def calibration(self) -> list[CalibrationScore]:
        """The usable scores, to warm a calibrator with."""
        chunks = (chunk for chain in self.chains for chunk in chain)
        return [
            CalibrationScore(c.chunk.problem, c.chunk.turn, c.score, c.chunk.short)
            for c in chunks
            if c.score is not None
        ]


def decide_all(record: Record, arrival: Arrival, calibrator: Calibrator, seed: int) -> list[Decision]:
    """Every decision, in the order in which it was taken. Order and smoothing follow from the seed.

    With the seed, order and calibrator of a run this repeats its decisions.
    """
    decisions: list[Decision] = []
    for chain in record.chains:
        for known in chain:
            calibrator.announce(known.chunk, known.score)
    told = _Ends(record, calibrator, as_they_were=arrival is recorded)

    def decide(known: RecordedChunk) -> bool:
        chunk = known.chunk
        told.before(known)
        u = uniform(seed, chunk.problem, chunk.sample, chunk.turn, "smoothing")
        decision = calibrator.decide(chunk, known.score, u)
        decisions.append(decision)
        told.after(known)
        return decision.rejected

    arrival(record.chains, seed, decide)
    return decisions


class _Ends:
    """Tells the calibrator how many chains there are and which have ended: when they did, or after their last chunk."""

    def __init__(self, record: Record, calibrator: Calibrator, as_they_were: bool) -> None:
        self._calibrator = calibrator
        self._as_they_were = as_they_were and bool(record.ends)
        self._ends = deque(record.ends if self._as_they_were else ())
        self._last = {chain[-1].chunk for chain in record.chains}
        keys = {(chain[0].chunk.problem, chain[0].chunk.sample) for chain in record.chains}
        calibrator.plan(len(keys | {key for _, key in self._ends}))

    def before(self, known: RecordedChunk) -> None:
        while self._ends and self._ends[0][0] <= known.row:
            self._calibrator.ended(*self._ends.popleft()[1])

    def after(self, known: RecordedChunk) -> None:
        if not self._as_they_were and known.chunk in self._last:
            self._calibrator.ended(known.chunk.problem, known.chunk.sample)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One calibrator over several orders: an audit and the decisions of each, and the certificate of the first."""

    settings: CalibratorSettings
    audits: Sequence[Audit]
    decisions: Sequence[Sequence[Decision]]
    certificate: Mapping[str, Mapping[str, float]]

    @property
    def audit(self) -> Audit:
        """The mean over the orders."""
        return averaged(self.audits)


def replay(
    record: Record,
    settings: CalibratorSettings,
    arrival: Arrival,
    seeds: Sequence[int],
    calibration: Sequence[CalibrationScore] = (),
) -> Replayed:
    """A calibrator of these settings, fresh for each seed, over the record. Raises InputError on bad settings."""
    runs = []
    for seed in seeds:
        calibrator = make_calibrator(settings, calibration)
        runs.append((decide_all(record, arrival, calibrator, seed), calibrator.certificate()))
    decisions = [taken for taken, _ in runs]
    audits = [audit(taken, settings.rate, settings.samples, slack=settings.slack) for taken in decisions]
    return Replayed(settings, audits, decisions, runs[0][1])


def read_record(path: Path, score: str | None = None) -> Record:
    """Recorded chunks from a table (CSV, JSONL, Parquet) or a run folder. Raises InputError.

    `score` names the column, or the score of the run (by default the one that the run decided on). A table has the
    columns problem (or question), sample, turn (0 if absent) and that one, and may have chars and taken_over. Columns
    of perplexities are logged; a table that has one has log_perplexity.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    record = _read_run(path, score) if path.is_dir() else _read_table(path, score)
    if not record.chains:
        raise InputError(f"{path}: no scored chunks there")
    return record


def _read_run(path: Path, score: str | None) -> Record:
    folder = RunFolder.open(path)
    name = score or folder.config.score
    chains: list[RecordedChain] = []
    known: set[str] = set()
    journal = folder.journal()
    for turns in journal.turns.values():
        chain: list[RecordedChunk] = []
        for turn in turns:
            known |= turn.scores.keys()
            if turn.decision is not None:
                size = None if turn.draft is None else float(len(turn.draft.text))
                value = usable_score(turn.scores.get(name), name)
                chain.append(
                    RecordedChunk(turn.decision.chunk, value, size, turn.decision.index, turn.decision.rejected)
                )
        if chain:
            chains.append(chain)
    if known and name not in known:
        raise InputError(f"{path}: its chunks have no score {name!r}; they have {', '.join(sorted(known))}")
    return Record(tuple(chains), folder.config, _ends(journal))


def _ends(journal: Journal) -> tuple[tuple[int, Key], ...]:
    """Of every chain that ended, the first decision that was taken after it.

    A decision follows its score without a wait, so that the times of the journal order decisions and ends.
    """
    taken = sorted(
        (turn.scoring.end, turn.decision.index)
        for turns in journal.turns.values()
        for turn in turns
        if turn.decision is not None and turn.scoring is not None
    )
    times = [time for time, _ in taken]
    ended = sorted((chain.end, key) for key, chain in journal.chains.items())
    places = ((bisect_right(times, end), key) for end, key in ended)
    return tuple((taken[place][1] if place < len(taken) else _MOST, key) for place, key in places)


def _read_table(path: Path, score: str | None) -> Record:
    if score is None:
        raise InputError(f"{path}: which column holds the score? Name it with --score (perplexities: --score ppl)")
    chains: dict[tuple[str, int], dict[int, RecordedChunk]] = {}
    bad: dict[str, list[int]] = {}
    for number, (line, row) in enumerate(rows(path)):
        try:
            chunk = _chunk(row, score, number)
            turns = chains.setdefault((chunk.chunk.problem, chunk.chunk.sample), {})
            if chunk.chunk.turn in turns:
                raise ValueError("repeats the problem, sample and turn of an earlier row")
            turns[chunk.chunk.turn] = chunk
        except ValueError as error:
            bad.setdefault(str(error), []).append(line)
    if bad:
        raise InputError(f"{path}: {'; '.join(_places(why, lines) for why, lines in list(bad.items())[:_SHOWN])}")
    return Record(tuple(_chain(turns) for turns in chains.values()))


def _places(why: str, lines: Sequence[int]) -> str:
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    return f"line {lines[0]}{more}: {why}"


def _chain(turns: Mapping[int, RecordedChunk]) -> RecordedChain:
    """The chunks in order; the last one is marked if it is too short to compare with whole ones."""
    chain = [turns[turn] for turn in sorted(turns)]
    last = chain[-1]
    if last.size is not None and last.size < SHORT:
        chain[-1] = replace(last, chunk=replace(last.chunk, short=True))
    return chain


def _chunk(row: Mapping[str, Any] | str, score: str, number: int) -> RecordedChunk:
    """A row as a recorded chunk. Raises ValueError that says what is wrong with it."""
    if isinstance(row, str):
        raise ValueError(row)
    problem = "problem" if "problem" in row or "question" not in row else "question"
    if score == LOGGED and score not in row:
        score = next((column for column in PERPLEXITIES if column in row), score)
    missing = [column for column in (problem, "sample", score) if column not in row]
    if missing:
        raise ValueError(f"no column {missing[0]!r}; it has {', '.join(map(str, row))}")
    return RecordedChunk(
        chunk=Chunk(str(row[problem]), _count(row, "sample"), _count(row, "turn", 0)),
        score=usable_score(_number(row, score, nan), score),
        size=_number(row, "chars", None),
        row=number,
        taken_over=_flag(row, "taken_over"),
    )


def usable_score(value: float | None, name: str) -> float | None:
    """A recorded value as a score: perplexities are logged; what is missing, not finite or no perplexity is None."""
    if value is None or not isfinite(value):
        return None
    if name not in PERPLEXITIES:
        return value
    return log(value) if value > 0 else None


_Absent = TypeVar("_Absent")


def _number(row: Mapping[str, Any], column: str, absent: _Absent) -> float | _Absent:
    value = row.get(column)
    if value is None or value == "":
        return absent
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{column} is {str(value)[:20]!r}, not a number") from None


def _count(row: Mapping[str, Any], column: str, absent: int | None = None) -> int:
    value = _number(row, column, absent)
    if value is None or not 0 <= value < _MOST or value != int(value):
        raise ValueError(f"{column} is {str(row.get(column))[:20]!r}, not a whole number from 0")
    return int(value)


def _flag(row: Mapping[str, Any], column: str) -> bool | None:
    """Whether it is so, as a number or in words; None where nothing stands there."""
    words = {"true": True, "false": False}
    text = str(row.get(column)).strip().lower()
    if text in words:
        return words[text]
    value = _number(row, column, None)
    return None if value is None else bool(value)
