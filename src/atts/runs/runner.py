"""A run: problems × samples → chains → graded answers, in a folder that can be resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from atts.calibration.files import model_fingerprint
from atts.engines import in_process
from atts.errors import InputError, RunError
from atts.events import ChainEnded, Decided, Event, RunEnded, RunStarted, Sink, TurnEnded, Warned, fan_out
from atts.grading.foreign import Foreign
from atts.grading.remembered import FILE, Remembered
from atts.runs.answered import Answered
from atts.runs.chains import Chains
from atts.runs.preflight import check
from atts.runs.record import Record
from atts.runs.setup import Setup
from atts.store.folder import RunFolder
from atts.store.journal import Journal, JournalWriter, gaps
from atts.types import EngineInfo, Role, Status

T = TypeVar("T")


class Run:
    """One run of a setup in one folder, new or resumed.

    Making it touches nothing: `execute` makes or opens the folder `path` and runs to the end, or until `stop`.
    """

    def __init__(self, setup: Setup, path: Path | None = None, *, sinks: Sequence[Sink] = ()) -> None:
        self.setup = setup
        self.path = path or setup.default_path
        self._sinks = sinks
        answered = Answered(setup.rule, setup.answer(False))
        self._record = Record(setup.config, setup.problems, setup.calibrator, self._vote, answered)
        self._chains: Chains | None = None
        self._stopping = False
        self._failed = False  # by an error, not by whoever interrupts it
        self._refused = False  # by the models, which are not those of the calibration file

    def _vote(self, answer: str) -> str:
        return self.setup.grader.key(answer)

    def stop(self) -> None:
        """Begin nothing new; turns under way are completed and saved."""
        self._stopping = True
        if self._chains is not None:
            self._chains.stop()

    async def execute(self) -> dict[str, Any]:
        """Run what is still wanted and return the summary, which stands in the folder too.

        Raises `InputError` if the folder holds another run, before anything is written; `EngineError` if an engine
        cannot be reached at all, `RunError` if the disk fails. What was finished is saved in any case, also when the
        task is cancelled; a run that failed before anything was finished leaves no folder. Everything that the setup
        has opened is closed in the end.
        """
        try:
            self._folder = await asyncio.to_thread(self._open)
            writer = await asyncio.to_thread(self._folder.append)
            try:
                return await self._resume(writer)
            except Exception:
                self._failed = True
                raise
            finally:
                await _to_its_end(self._save_journal(writer))
        finally:
            await _to_its_end(self._close())

    def _open(self) -> RunFolder:
        """The folder: a new one, or that of an earlier session of the same run."""
        setup = self.setup
        if not RunFolder.exists(self.path):
            return RunFolder.create(self.path, setup.config, setup.problems, setup.contents, setup.plugins)
        folder = RunFolder.open(self.path)
        folder.refuse_if_different(setup.config)
        folder.refuse_if_changed(setup.problems, setup.contents, setup.plugins)
        return folder

    def _remember_verdicts(self) -> None:
        """What a grader of somebody else's says is kept, since whoever reads the run may not have it."""
        if isinstance(self.setup.grader, Foreign):
            kept = Remembered(self._folder.path / FILE, self.setup.grader, writes=True)
            self.setup = replace(self.setup, grader=kept)

    async def _save_journal(self, writer: JournalWriter) -> None:
        await asyncio.to_thread(writer.close)
        if self._failed and not await asyncio.to_thread(lambda: self._folder.begun):
            await asyncio.to_thread(self._folder.discard)  # nothing came of it, so there is nothing to go on with

    async def _close(self) -> None:
        await asyncio.to_thread(self.setup.grader.close)
        await asyncio.gather(*(engine.close() for engine in self.setup.engines.values()))

    async def _resume(self, writer: JournalWriter) -> dict[str, Any]:
        """Take up what the journal holds and do the rest; a run with nothing left to do has its summary already."""
        await asyncio.to_thread(self._remember_verdicts)
        journal = await asyncio.to_thread(self._take_up)
        wanted = self.setup.config.samples * len(self.setup.problems) - len(journal.chains)
        if not wanted and (summary := await asyncio.to_thread(self._last_summary)) is not None:
            watch, time = fan_out(*self._sinks), journal.last_time
            watch(self._started(journal, time))
            watch(RunEnded(time))
            return summary
        return await self._execute(writer, journal, wanted)

    def _take_up(self) -> Journal:
        journal = self._folder.journal()
        journal.only(self.setup.problems, self.setup.config.samples)
        # A chain that an engine failed is tried again, from the turns that it has.
        journal.chains = {key: chain for key, chain in journal.chains.items() if chain.status is not Status.ERROR}
        self._record.take_up(journal, self._folder.sessions(), self.setup.grade)
        return journal

    def _last_summary(self) -> dict[str, Any] | None:
        """The summary that stands there, unless the run was killed after it and before the next one."""
        summary = self._folder.summary_if_any()
        return summary if summary is not None and self._record.agrees_with(summary) else None

    async def _execute(self, writer: JournalWriter, journal: Journal, wanted: int) -> dict[str, Any]:
        clock = _clock(journal.last_time)
        emit = self._emitter(writer, clock)
        emit(self._started(journal, clock()))
        infos = await asyncio.to_thread(self._folder.engines)
        for message in self._forewarnings(journal):
            emit(Warned(message, clock()))
        try:
            if wanted:
                infos = await self._load(journal, emit, clock)
                self._chains = Chains(self.setup, clock, emit, writer.chain)
                if self._stopping:  # while the models were loading
                    self._chains.stop()
                await self._chains.run(journal)
        finally:
            for message in self._record.unanswered:
                emit(Warned(message, clock()))
            summary = await _to_its_end(self._save(clock(), infos))
            emit(RunEnded(clock()))
        return summary

    def _started(self, journal: Journal, time: float) -> RunStarted:
        config, turns = self.setup.config, [turn for chain in journal.turns.values() for turn in chain]
        chains = config.samples * len(self.setup.problems)
        return RunStarted(chains, len(journal.chains), self._record.promised, time, turns, self._record.earlier)

    async def _load(self, journal: Journal, emit: Sink, clock: Callable[[], float]) -> dict[Role, EngineInfo]:
        """Make the engines ready; the time that this takes is not that of the chains, however it ends."""
        before = clock()
        try:
            infos = await self._engine_infos()
            await self._check(emit, clock)
        finally:
            seconds = clock() - before
            self._record.loaded(seconds)
        ended = len(journal.chains)
        await asyncio.to_thread(self._folder.begin_session, journal.last_time, ended, seconds, infos)
        return infos

    async def _save(self, wall: float, infos: dict[Role, EngineInfo]) -> dict[str, Any]:
        summary = await asyncio.to_thread(self._record.summary, wall, infos)
        if not self._refused:
            await asyncio.to_thread(self._folder.write_summary, summary)
        return summary

    def _forewarnings(self, journal: Journal) -> Iterator[str]:
        """What is known before anything runs: gaps of the journal, notices of the setup, an alarm that rang earlier."""
        yield from gaps(journal.damaged, journal.unused)
        yield from self.setup.notices
        if self._record.drifted:
            yield self._record.drifted

    async def _check(self, emit: Sink, clock: Callable[[], float]) -> None:
        """Look at servers before anything is spent on them; raise `RunError` if the run would fail or be wrong."""
        config = self.setup.config
        names = (getattr(config, role.value) for role in self.setup.strategy.roles)
        if not config.check or all(map(in_process, names)):
            return
        report = await check(self.setup.engines, config)
        for finding in report.warnings:
            emit(Warned(f"{finding.role}: {finding.name}: {finding.detail}", clock()))
        for finding in report.failures:
            raise RunError(
                f"{finding.role}: {finding.name}: {finding.detail} (atts check shows all; --no-check runs all the same)"
            )

    def _emitter(self, writer: JournalWriter, clock: Callable[[], float]) -> Sink:
        """Every event goes to the journal and the record first, then to whoever watches."""
        watch, record = fan_out(*self._sinks), self._record

        def emit(event: Event) -> None:
            if isinstance(event, TurnEnded):
                writer.turn(event.turn)
                record.turn(event.turn)
            elif isinstance(event, Decided):
                if record.decided(event.decision):
                    emit(Warned(record.drifted, clock()))
            elif isinstance(event, ChainEnded):
                record.chain(event.chain, event.correct)
            elif isinstance(event, Warned):
                record.warnings.append(event.message)
            watch(event)

        return emit

    async def _engine_infos(self) -> dict[Role, EngineInfo]:
        """Load both models or reach both servers, side by side; they have to be those of the calibration file."""
        setup = self.setup
        answers = await asyncio.gather(*(engine.info() for engine in setup.engines.values()))
        infos = dict(zip(setup.engines, answers, strict=True))
        try:
            if setup.config.calibration is not None:
                setup.calibration.require(model_fingerprint(infos), setup.config.calibration)
        except InputError:
            self._refused = True
            raise
        return infos


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to; who is cancelled in the meantime is so only after it is done."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _clock(offset: float) -> Callable[[], float]:
    """Seconds since the run first began, by the event loop's time; the time between two sessions does not count."""
    loop = asyncio.get_running_loop()
    start = loop.time() - offset
    return lambda: loop.time() - start
