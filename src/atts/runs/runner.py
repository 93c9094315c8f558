"""A run: problems × samples → chains → graded answers, in a folder that can be resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from atts import problems as datasets
from atts.calibration.files import Calibration, digest, model_fingerprint, read_calibration, settings_fingerprint
from atts.config.run import RunConfig
from atts.engines import in_process, open_engine
from atts.errors import InputError, RunError
from atts.events import ChainEnded, Decided, Event, RunEnded, RunStarted, Sink, TurnEnded, Warned, fan_out
from atts.grading import extract as answers
from atts.grading import graders
from atts.pipeline.pool import Job, Pool
from atts.pipeline.stages import Stages
from atts.pipeline.strategies import strategy_named
from atts.pipeline.vote import Vote
from atts.problems import prompts
from atts.runs.preflight import check
from atts.runs.summary import Tally
from atts.stats.calibrators import make_calibrator
from atts.stats.drift import DriftAlarm
from atts.stats.scores import find_score
from atts.store.folder import RunFolder
from atts.store.journal import Journal, JournalWriter, gaps
from atts.types import Chain, Decision, EngineInfo, Key, Problem, Role, Status

T = TypeVar("T")

VOTE_DECIDED = "the vote is decided"
"""Why chains are cancelled whose votes no longer count."""


class Run:
    """One run in one folder, new or resumed.

    Making it checks everything that can be checked without a model and raises `InputError` before anything is
    written. `execute` then runs it to its end, or until `stop`.
    """

    def __init__(self, config: RunConfig, path: Path | None = None, *, sinks: Sequence[Sink] = ()) -> None:
        self.config = config
        self.strategy = strategy_named(config.strategy, config.options)
        self.warnings: list[str] = []
        self.problems = load_problems(config, self.warnings.append)
        self._by_id = {problem.id: problem for problem in self.problems}
        source = datasets.describe(config.problems)
        self._prompt = prompts.load(config.prompt or source.prompt)
        rule = config.answer or source.rule
        extractors = {thinking: answers.extractor(rule, thinking=thinking) for thinking in (False, True)}
        self._answer = extractors.__getitem__
        self._grader = graders.named(config.grader or source.grader)
        find_score(config.score)
        self._unrecorded = 0  # problems that a calibration by question does not know
        self._calibration = self._read_calibration()
        self._calibrator = make_calibrator(config.calibrator_settings(), self._calibration.scores)
        self._engines = {
            role: open_engine(getattr(config, role.value), config.engine_options(role)) for role in self.strategy.roles
        }
        path = path or default_path(config)
        self._new = not RunFolder.exists(path)
        self.folder = self._folder(path)
        self._sinks = sinks
        self._pool: Pool | None = None
        self._stopping = False
        self._refused = False  # by the models, which are not those of the calibration file
        self._alarm = DriftAlarm(config.seed, config.samples)
        self._vote = Vote(config.samples, config.vote_stop, config.vote_error)

    def stop(self) -> None:
        """Begin nothing new; turns under way are completed and saved."""
        self._stopping = True
        if self._pool is not None:
            self._pool.stop()

    async def execute(self) -> dict[str, Any]:
        """Run what is still wanted and return the summary, which stands in the folder too.

        Raises `EngineError` if an engine cannot be reached at all, `RunError` if the disk fails. What was finished is
        saved in any case, also when the task is cancelled.
        """
        writer = await asyncio.to_thread(self.folder.append)
        try:
            journal = await asyncio.to_thread(self.folder.journal)
            self._tally = self._new_tally()
            wanted = await asyncio.to_thread(self._resume, journal)
            if not wanted and (summary := await asyncio.to_thread(self._last_summary)) is not None:
                return summary
            return await self._execute(writer, journal, wanted)
        finally:
            await _to_its_end(self._close(writer))

    async def _close(self, writer: JournalWriter) -> None:
        await asyncio.to_thread(writer.close)
        await asyncio.to_thread(self._grader.close)
        await asyncio.gather(*(engine.close() for engine in self._engines.values()))
        if self._refused and self._new:
            await asyncio.to_thread(self.folder.discard)

    async def _execute(self, writer: JournalWriter, journal: Journal, wanted: int) -> dict[str, Any]:
        clock = _clock(journal.last_time)
        emit = self._emitter(writer, clock)
        ended = self.config.samples * len(self.problems) - wanted
        emit(RunStarted(ended + wanted, ended, self.config.rate if self.strategy.controlled else None, clock()))
        infos = await asyncio.to_thread(self.folder.engines)
        for message in (*gaps(journal.damaged, journal.unused), *self._forewarnings()):
            emit(Warned(message, clock()))
        try:
            if wanted:
                infos = await self._engine_infos()
                await asyncio.to_thread(self.folder.begin_session, journal.last_time, ended, infos)
                await self._check(emit, clock)
                await self._run_chains(writer, emit, clock, journal)
        finally:
            summary = await _to_its_end(self._save(clock(), infos))
            emit(RunEnded(clock()))
        return summary

    async def _save(self, wall: float, infos: dict[Role, EngineInfo]) -> dict[str, Any]:
        summary = await asyncio.to_thread(self._summary, wall, infos)
        if not self._refused:
            await asyncio.to_thread(self.folder.write_summary, summary)
        return summary

    def _forewarnings(self) -> Iterator[str]:
        """What is known before anything runs: problems without recorded scores, and the alarm of an earlier session."""
        if self._unrecorded:
            yield f"{self._unrecorded} of {len(self.problems)} problems have no recorded scores: ranked among all"
        if self._alarm.alarmed_at is not None:
            yield self._drifted()

    async def _check(self, emit: Sink, clock: Callable[[], float]) -> None:
        """Look at servers before anything is spent on them; raise `RunError` if the run would fail or be wrong."""
        names = (getattr(self.config, role.value) for role in self.strategy.roles)
        if not self.config.check or all(map(in_process, names)):
            return
        report = await check(self._engines, self.config)
        for finding in report.warnings:
            emit(Warned(f"{finding.role}: {finding.name}: {finding.detail}", clock()))
        for finding in report.failures:
            raise RunError(
                f"{finding.role}: {finding.name}: {finding.detail} (atts check shows all; --no-check runs all the same)"
            )

    async def _run_chains(
        self, writer: JournalWriter, emit: Sink, clock: Callable[[], float], journal: Journal
    ) -> None:
        config = self.config
        stages = Stages(
            self._engines,
            config.chain_settings(),
            config.slot_settings(),
            self._calibrator,
            config.seed,
            clock,
            emit,
        )

        async def grade(chain: Chain) -> None:
            correct = await asyncio.to_thread(self._grade, chain)
            emit(ChainEnded(chain, correct, clock()))

        def ended(chain: Chain) -> None:
            writer.chain(chain)  # at once; grading may take its time, and can be done again
            grading.create_task(grade(chain))
            self._count_vote(chain, pool)

        pool = Pool(self._engines, self.strategy, stages, config.chains, self._answer, clock, emit, ended)
        self._pool = pool
        for earlier in journal.chains.values():
            self._count_vote(earlier, pool)
        try:
            if self._stopping:  # while the models were loading
                self._pool.stop()
            async with asyncio.TaskGroup() as grading:
                await pool.run(self._jobs(journal))
        except* RunError as group:
            raise _first_leaf(group) from None

    def _count_vote(self, chain: Chain, pool: Pool) -> None:
        """Count the vote of a chain that has ended; once its problem is decided, the other samples are cancelled."""
        if chain.status is not Status.DONE:
            return
        answer = None if chain.answer is None else self._grader.key(chain.answer)
        if self._vote.add(chain.problem, answer):
            for sample in range(self.config.samples):
                if sample != chain.sample:
                    pool.cancel(chain.problem, sample, VOTE_DECIDED)

    def _new_tally(self) -> Tally:
        config = self.config
        problems = [problem.id for problem in self.problems]
        return Tally(problems, config.samples, self._grader.key, stop=config.vote_stop, error=config.vote_error)

    def _resume(self, journal: Journal) -> int:
        """Take up what the journal holds: tallies, calibrator, alarm. Returns how many chains are still wanted."""
        journal.only(self.problems, self.config.samples)
        decisions: list[Decision] = []
        for turns in journal.turns.values():
            for turn in turns:
                self._tally.turn(turn)
                if turn.decision is not None:
                    decisions.append(turn.decision)
        for decision in sorted(decisions, key=lambda decision: decision.index):
            self._calibrator.replay(decision)
            self._alarm.observe(decision.chunk, decision.score)
        # A chain that an engine failed is tried again, from the turns that it has.
        journal.chains = {key: chain for key, chain in journal.chains.items() if chain.status is not Status.ERROR}
        for chain in journal.chains.values():
            self._tally.chain(chain, self._grade(chain))
        self._tally.pause()
        return self.config.samples * len(self.problems) - len(journal.chains)

    def _jobs(self, journal: Journal) -> Iterator[Job]:
        for order, problem in enumerate(self.problems):
            messages = self._prompt.messages(problem)
            for sample in range(self.config.samples):
                key: Key = (problem.id, sample)
                if key not in journal.chains:
                    yield Job(problem.id, sample, order, messages, journal.turns.get(key, []))

    def _emitter(self, writer: JournalWriter, clock: Callable[[], float]) -> Sink:
        """Every event goes to the journal and the tally first, then to whoever watches."""
        watch = fan_out(*self._sinks)

        def warn(message: str) -> None:
            self.warnings.append(message)
            watch(Warned(message, clock()))

        def emit(event: Event) -> None:
            if isinstance(event, TurnEnded):
                writer.turn(event.turn)
                self._tally.turn(event.turn)
            elif isinstance(event, Decided):
                self._listen(event.decision, warn)
            elif isinstance(event, ChainEnded):
                self._tally.chain(event.chain, event.correct)
            elif isinstance(event, Warned):
                self.warnings.append(event.message)
            watch(event)

        return emit

    def _listen(self, decision: Decision, warn: Callable[[str], None]) -> None:
        # When it is taken, not when its turn ends: who ends later depends on the score, and the alarm would hear that.
        if self._alarm.observe(decision.chunk, decision.score):
            warn(self._drifted())

    def _drifted(self) -> str:
        return f"the scores of new problems have drifted (alarm after {self._alarm.alarmed_at} problems)"

    def _grade(self, chain: Chain) -> bool | None:
        return None if chain.answer is None else self._grader.grade(chain.answer, self._by_id[chain.problem])

    async def _engine_infos(self) -> dict[Role, EngineInfo]:
        """Load both models or reach both servers, side by side; they have to be those of the calibration file."""
        answers = await asyncio.gather(*(engine.info() for engine in self._engines.values()))
        infos = dict(zip(self._engines, answers, strict=True))
        try:
            self._require_calibrated_on(infos)
        except InputError:
            self._refused = True
            raise
        return infos

    def _summary(self, wall: float, infos: dict[Role, EngineInfo]) -> dict[str, Any]:
        controlled = self.strategy.controlled
        return self._tally.summary(
            strategy=self.config.strategy,
            data=datasets.label(self.config.problems, split=self.config.split, subset=self.config.subset),
            wall=wall,
            certificate=self._calibrator.certificate() if controlled else None,
            rate=self.config.rate if controlled else None,
            engines=infos,
            warnings=self.warnings,
        )

    def _last_summary(self) -> dict[str, Any] | None:
        """The summary that stands there, unless the run was killed after it and before the next one."""
        summary = self.folder.summary_if_any()
        return summary if summary is not None and self._tally.agrees_with(summary) else None

    def _read_calibration(self) -> Calibration:
        """The scores to begin with, refused if they were recorded otherwise, or on the problems of this run."""
        config = self.config
        if config.calibration is None:
            return Calibration(())
        calibration = read_calibration(Path(config.calibration), config.score)
        calibration.require(settings_fingerprint(config), config.calibration)
        if config.scope == "run":  # what is calibrated by question has to know the question
            calibration.require_disjoint(self._by_id, config.calibration)
        elif config.calibrator == "static":
            self._unrecorded = calibration.unrecorded(self._by_id, config.calibration)
        return calibration

    def _require_calibrated_on(self, infos: dict[Role, EngineInfo]) -> None:
        if self.config.calibration is not None:
            self._calibration.require(model_fingerprint(infos), self.config.calibration)

    def _folder(self, path: Path) -> RunFolder:
        contents = {"prompt": digest(repr(self._prompt)), "calibration": digest(repr(self._calibration.scores))}
        if self._new:
            return RunFolder.create(path, self.config, self.problems, contents)
        folder = RunFolder.open(path)
        folder.refuse_if_different(self.config)
        folder.refuse_if_changed(self.problems, contents)
        return folder


def default_path(config: RunConfig) -> Path:
    """Where a run goes that names no folder: the same command finds the same one, so that it resumes."""
    return Path("runs") / f"{Path(config.problems).stem}-{config.strategy}-{config.fingerprint()[:8]}"


def load_problems(config: RunConfig, told: Callable[[str], None] = lambda line: None) -> list[Problem]:
    """The problems that a run solves, in its order; `told` hears how many rows were skipped. Raises InputError."""
    return datasets.load(
        config.problems,
        n=config.limit,
        split=config.split,
        subset=config.subset,
        seed=config.seed,
        revision=config.revision,
        columns=datasets.Columns.parse(config.columns or ""),
        skip_bad=config.skip_bad_rows,
        told=told,
    )


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to; who is cancelled in the meantime is so only after it is done."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _first_leaf(group: BaseExceptionGroup[RunError]) -> RunError:
    first = group.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first


def _clock(offset: float) -> Callable[[], float]:
    """Seconds since the run first began, by the event loop's time; the time between two sessions does not count."""
    loop = asyncio.get_running_loop()
    start = loop.time() - offset
    return lambda: loop.time() - start
