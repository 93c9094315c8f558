"""What a person sees while a run goes on: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from atts.events import (
    ChainEnded,
    ChainStarted,
    Event,
    RunStarted,
    Sink,
    StageEnded,
    StageQueued,
    StageStarted,
    TurnEnded,
    Warned,
    fan_out,
)
from atts.stats.estimate import Bootstrap, Estimate
from atts.types import Chain, Stage, Status, Turn

_REFRESH = 1  # times a second; a refresh costs milliseconds, see benchmarks/live.py
_LINE_EVERY = 5.0  # seconds between plain lines
_INTERVAL_EVERY = 2.0  # seconds between two computations of the accuracy's interval
_DRAWS = 400  # of the bootstrap behind it
_RECENT = 10.0  # seconds over which speed is taken
_MOST_TURNS = 16  # rates by turn that are shown


@dataclass(slots=True)
class Progress:
    """A run in numbers, kept up by its events; cheap enough to be told everything."""

    wanted: int = 0
    ended_before: int = 0
    kept: int = 0
    """Turns of earlier sessions."""
    rate: float | None = None
    open: int = 0
    ended: int = 0
    failed: int = 0
    verdicts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    """By problem: chains with a verdict, and right ones."""
    decisions: int = 0
    taken_over: int = 0
    queued: dict[Stage, int] = field(default_factory=lambda: dict.fromkeys(Stage, 0))
    running: dict[Stage, int] = field(default_factory=lambda: dict.fromkeys(Stage, 0))
    tokens: dict[Stage, int] = field(default_factory=lambda: dict.fromkeys(Stage, 0))
    turns: int = 0
    """Turns that were completed in this session."""
    reached: dict[tuple[str, int], int] = field(default_factory=dict)
    """By open chain: turns that it has."""
    whole: list[int] = field(default_factory=lambda: [0, 0])
    """Chains that came to their end, and their turns."""
    by_turn: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    warning: str = ""
    started: float | None = None
    """When the first stage of this session began, in seconds of the run; models load before that."""
    now: float = 0.0

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        self.now = event.time
        match event:  # the commonest first
            case StageQueued():
                self.queued[event.stage] += 1
                self.started = event.time if self.started is None else self.started
            case StageStarted():
                self.queued[event.stage] -= 1
                self.running[event.stage] += 1
            case StageEnded():
                (self.running if event.held else self.queued)[event.stage] -= 1
                self.tokens[event.stage] += event.tokens
            case TurnEnded():
                self._turn(event)
            case ChainStarted():
                self.open += 1
                self.reached[event.problem, event.sample] = event.turn
            case ChainEnded():
                self._chain(event)
            case RunStarted():
                self.wanted, self.ended_before, self.rate = event.chains, event.ended, event.takeover_rate
                self._earlier(event)
            case Warned():
                self.warning = event.message

    def _earlier(self, event: RunStarted) -> None:
        """Count what earlier sessions did, as the folder does."""
        self.kept = len(event.turns)
        for turn in event.turns:
            self._decision(turn)
        for chain, correct in event.earlier:
            self._verdict(chain, correct)

    def _turn(self, event: TurnEnded) -> None:
        self.turns += 1
        self.reached[event.turn.problem, event.turn.sample] = event.turn.turn + 1
        self._decision(event.turn)

    def _decision(self, turn: Turn) -> None:
        if (decision := turn.decision) is not None:
            self.decisions += 1
            self.taken_over += decision.rejected
            row = self.by_turn[turn.turn]
            row[0] += 1
            row[1] += decision.rejected

    def _chain(self, event: ChainEnded) -> None:
        self.open -= 1
        self.ended += 1
        self.reached.pop((event.chain.problem, event.chain.sample), None)
        self.failed += event.chain.status is Status.ERROR
        self._verdict(event.chain, event.correct)

    def _verdict(self, chain: Chain, correct: bool | None) -> None:
        if chain.status is not Status.DONE:
            return
        self.whole[0] += 1
        self.whole[1] += chain.turns
        if correct is not None or chain.answer is None:
            row = self.verdicts[chain.problem]
            row[0] += 1
            row[1] += bool(correct)

    @property
    def elapsed(self) -> float:
        """Seconds since the first request of this session."""
        return 0.0 if self.started is None else self.now - self.started

    @property
    def time_left(self) -> float | None:
        """Seconds until the last chain ends, at the pace of turns so far; None before a chain has come to its end.

        A chain is taken to have as many turns as those that did, and one more where it has these already.
        """
        chains, turns = self.whole
        if not chains or not self.turns:
            return None
        left = self.wanted - self.ended_before - self.ended
        usual = turns / chains
        ahead = sum(min(reached, usual - 1) for reached in self.reached.values())
        return self.elapsed * max(0.0, left * usual - ahead) / self.turns


@dataclass(slots=True)
class Meters:
    """What is computed from progress now and then: speed of late, and accuracy with its interval over problems."""

    progress: Progress
    _marks: deque[tuple[float, dict[Stage, int]]] = field(default_factory=deque)
    _accuracy: Estimate | None = None
    _computed: float = -math.inf

    def speed(self) -> dict[Stage, float]:
        """Tokens a second by stage over the last seconds."""
        progress = self.progress
        self._marks.append((progress.now, dict(progress.tokens)))
        while len(self._marks) > 2 and self._marks[1][0] <= progress.now - _RECENT:
            self._marks.popleft()
        then, tokens = self._marks[0]
        seconds = progress.now - then
        if seconds <= 0:
            then, tokens, seconds = 0.0, dict.fromkeys(Stage, 0), max(progress.elapsed, 1e-9)
        return {stage: (progress.tokens[stage] - tokens[stage]) / seconds for stage in Stage}

    def accuracy(self) -> Estimate | None:
        """The share of right chains; the interval's unit is the problem. None before the first verdict."""
        counts = list(self.progress.verdicts.values())
        if counts and time.monotonic() - self._computed >= _INTERVAL_EVERY:
            self._computed = time.monotonic()
            graded, right = zip(*counts, strict=True)
            self._accuracy = Bootstrap(len(counts), draws=_DRAWS).ratio(right, graded)
        return self._accuracy


@contextmanager
def watch(console: Console, *, quiet: bool = False) -> Iterator[Sink]:
    """A sink that shows a run on the console for as long as the block lasts."""
    progress = Progress()
    meters = Meters(progress)
    if quiet:
        yield progress
    elif console.is_terminal and not console.is_dumb_terminal:
        with Live(
            get_renderable=lambda: view(meters), console=console, refresh_per_second=_REFRESH, transient=True
        ) as live:
            yield fan_out(progress, _opening(lambda line: live.console.print(line, style="dim")))
    else:
        yield plain_lines(meters, lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))


def _opening(write: Callable[[str], None]) -> Sink:
    """A sink that says once where a run begins that is not new."""

    def sink(event: Event) -> None:
        if isinstance(event, RunStarted) and (said := _opening_of(event)):
            write(said)

    return sink


def _opening_of(event: RunStarted) -> str:
    """What is to be done of a run that was begun before; nothing for a new one."""
    if event.chains and event.ended == event.chains:
        return "nothing left to do"
    kept = len(event.turns)
    return f"going on: {kept:,} turn{'' if kept == 1 else 's'} kept" if kept or event.ended else ""


def plain_lines(meters: Meters, write: Callable[[str], None]) -> Sink:
    """A sink that writes a line every few seconds, and every warning at once."""
    last = time.monotonic()
    progress = meters.progress

    def sink(event: Event) -> None:
        nonlocal last
        progress(event)
        if isinstance(event, Warned):
            write(f"warning: {event.message}")
        elif isinstance(event, RunStarted):
            write(f"{event.chains} chains wanted, {event.ended} ended before; {_opening_of(event) or 'loading models'}")
        elif time.monotonic() - last >= _LINE_EVERY and progress.started is not None:
            last = time.monotonic()
            write(", ".join(part for part in (_chains(progress), *_figures(meters)) if part))

    return sink


def view(meters: Meters) -> RenderableType:
    """The live view: a bar, then the figures of this moment."""
    progress = meters.progress
    if progress.started is None:
        return Text("loading models …", style="dim")
    done = progress.ended_before + progress.ended
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=max(1, progress.wanted), completed=done, width=40),
        f"{done}/{progress.wanted}",
        _left(progress),
    )
    figures = Table.grid(padding=(0, 2))
    figures.add_column(style="dim", no_wrap=True)
    figures.add_column()
    failed = f", {progress.failed} failed" if progress.failed else ""
    figures.add_row("chains", f"{progress.open} open, {done} ended{failed}")
    figures.add_row("stages", _stages(meters))
    if progress.decisions:
        figures.add_row("takeover", _takeover(progress))
        figures.add_row("by turn", _by_turn(progress))
    if (accuracy := meters.accuracy()) is not None:
        figures.add_row("accuracy", _accuracy(accuracy, progress))
    if progress.warning:
        figures.add_row("warning", Text(progress.warning, style="yellow"))
    return Group(bar, figures)


def _stages(meters: Meters) -> Table:
    """Queues and speed of the three stages."""
    progress, speed = meters.progress, meters.speed()
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True)
    table.add_row("", "running", "waiting", "tokens/s", style="dim")
    for stage in Stage:
        counts = (progress.running[stage], progress.queued[stage])
        table.add_row(stage.value, *map(str, counts), f"{speed[stage]:,.0f}")
    return table


def _chains(progress: Progress) -> str:
    done = progress.ended_before + progress.ended
    parts = [f"{done}/{progress.wanted} chains"]
    parts += [f"{progress.open} open"] if progress.open else []
    parts += [f"{progress.failed} failed"] if progress.failed else []
    turns = progress.kept + progress.turns
    parts += [f"{turns:,} turn" + ("" if turns == 1 else "s")]
    return ", ".join(filter(None, [*parts, _left(progress)]))


def _left(progress: Progress) -> str:
    left = progress.time_left
    return "" if left is None else f"{left:.0f} s left" if left < 100 else f"{left / 60:.0f} min left"


def _figures(meters: Meters) -> Iterator[str]:
    progress, speed = meters.progress, meters.speed()
    if progress.decisions:
        yield f"takeover {_takeover(progress)}"
    if (accuracy := meters.accuracy()) is not None:
        yield f"right {_accuracy(accuracy, progress)}"
    words = {Stage.DRAFT: "draft", Stage.SCORE: "scored", Stage.TAKEOVER: "target"}
    yield "tokens/s: " + ", ".join(f"{words[stage]} {speed[stage]:,.0f}" for stage in Stage)


def _takeover(progress: Progress) -> str:
    promised = "" if progress.rate is None else f", promised {progress.rate:.1%}"
    return f"{progress.taken_over / progress.decisions:.1%} of {progress.decisions:,}{promised}"


def _accuracy(accuracy: Estimate, progress: Progress) -> str:
    chains = sum(graded for graded, _ in progress.verdicts.values())
    share = 100 * accuracy.value, 100 * accuracy.low, 100 * accuracy.high
    return f"{share[0]:.1f}% ({share[1]:.0f} to {share[2]:.0f}) of {chains:,} chains"


def _by_turn(progress: Progress) -> Text:
    """The rate of each turn; bright where it is further from the promise than a coin's would be."""
    text = Text()
    rows = sorted(progress.by_turn.items())
    for turn, (n, taken) in rows[:_MOST_TURNS]:
        rate, promised = taken / n, progress.rate
        far = promised is not None and abs(rate - promised) > 2 * math.sqrt(promised * (1 - promised) / n)
        text.append(f"{turn}:", style="dim")
        text.append(f"{100 * rate:.0f}% ", style="bold yellow" if far else "")
    if len(rows) > _MOST_TURNS:
        text.append(f"and {len(rows) - _MOST_TURNS} more", style="dim")
    return text
