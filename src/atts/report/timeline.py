"""A run as Chrome trace JSON, which Perfetto and chrome://tracing open.

Lanes of the engines: first the time in which it was busy at all (the sums are `draft_busy` and `target_busy` of the
summary), then one lane for each request that was open beside others. Lanes of the chains: chain ⊃ turn ⊃ waiting
for a slot, draft, score, takeover; `held back` is the time in which a chain had no request anywhere. Counters for
queues and the takeover rate. Flow arrows lead along a chain through the engines.

Format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (complete events `X`, counters
`C`, flow events `s` `t` `f`, metadata `M`); times in microseconds.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import count
from pathlib import Path
from typing import Any

from atts import atomic
from atts.errors import InputError
from atts.report.numbers import finite
from atts.results.loaded import LoadedRun
from atts.types import Key, Role, Span, Stage, Turn

Trace = dict[str, Any]

_ENGINE = {Role.DRAFT: 1, Role.TARGET: 2}
_CHAINS, _COUNTERS = 3, 4
_ROLE = {Stage.DRAFT: Role.DRAFT, Stage.SCORE: Role.TARGET, Stage.TAKEOVER: Role.TARGET}
_BUSY = 0  # the first lane of an engine; requests have the ones below


@dataclass(frozen=True, slots=True)
class Work:
    """A stage of a turn: what an engine did for a chain."""

    stage: Stage
    turn: Turn
    span: Span
    tokens: int

    @property
    def role(self) -> Role:
        """The engine that did it."""
        return _ROLE[self.stage]


def write_timeline(run: LoadedRun, path: Path) -> int:
    """Write the trace of a run; returns the number of events. Raises InputError where it cannot be written."""
    written = 0
    try:
        with atomic.whole(path) as out, TextIOWrapper(out, encoding="utf-8") as file:
            file.write('{"displayTimeUnit":"ms","traceEvents":[')
            for event in events(run):
                file.write(",\n" if written else "\n")
                file.write(json.dumps(event, separators=(",", ":")))
                written += 1
            file.write("\n]}\n")
    except OSError as error:
        raise InputError(f"{path}: cannot write there: {error.strerror or error}") from error
    return written


def events(run: LoadedRun) -> Iterator[Trace]:
    """All events of the trace, lane by lane."""
    works = {key: [work for turn in turns for work in works_of(turn)] for key, turns in run.turns.items()}
    everything = sorted((work for chain in works.values() for work in chain), key=lambda work: work.span.start)
    yield from _names(run)
    lanes: dict[int, int] = {}
    for role in Role:
        own = [work for work in everything if work.role is role]
        yield from _busy(role, own)
        yield from _requests(role, own, lanes)
    for tid, key in enumerate(_keys(run), start=1):
        yield from _chain(run, key, tid)
    yield from _flows(works.values(), lanes)
    yield from _queues(everything)
    yield from _rate(run, everything)


def _keys(run: LoadedRun) -> list[Key]:
    """The chains that have a lane: all that began, also those that failed before their first turn."""
    return list(dict.fromkeys([*run.turns, *run.chains]))


_WRITING = {Role.DRAFT: Stage.DRAFT, Role.TARGET: Stage.TAKEOVER}


def works_of(turn: Turn) -> list[Work]:
    """What the engines did in a turn, in the order in which it was done."""
    found = [Work(_WRITING[piece.author], turn, piece.span, len(piece.ids)) for piece in turn.written]
    if turn.scoring is not None:
        scored = len(turn.draft.ids) if turn.draft is not None else 0
        found.append(Work(Stage.SCORE, turn, turn.scoring, scored))
    return sorted(found, key=lambda work: (work.span.ready, work.span.end))


def _names(run: LoadedRun) -> Iterator[Trace]:
    engines = run.summary["engines"]
    for role, pid in _ENGINE.items():
        model = engines.get(role.value, {}).get("model", "")
        yield _meta("process_name", pid, 0, name=f"{role.value} engine {model}".strip())
        yield _meta("process_sort_index", pid, 0, sort_index=pid)
        yield _meta("thread_name", pid, _BUSY, name="busy")
        yield _meta("thread_sort_index", pid, _BUSY, sort_index=-1)
    for pid, name in ((_CHAINS, "chains"), (_COUNTERS, "queues and rate")):
        yield _meta("process_name", pid, 0, name=name)
        yield _meta("process_sort_index", pid, 0, sort_index=pid)
    for tid, (problem, sample) in enumerate(_keys(run), start=1):
        yield _meta("thread_name", _CHAINS, tid, name=f"{problem} sample {sample}")
        yield _meta("thread_sort_index", _CHAINS, tid, sort_index=tid)


def _busy(role: Role, works: Sequence[Work]) -> Iterator[Trace]:
    """The times in which at least one request was open."""
    start = end = 0.0
    for work in works:
        if work.span.start > end:
            if end > start:
                yield _span("busy", _ENGINE[role], _BUSY, start, end)
            start = work.span.start
        end = max(end, work.span.end)
    if end > start:
        yield _span("busy", _ENGINE[role], _BUSY, start, end)


def _requests(role: Role, works: Sequence[Work], lanes: dict[int, int]) -> Iterator[Trace]:
    """Every request in the first lane that is free; `lanes` learns which one, by the identity of the work."""
    free: list[int] = []
    open_: list[tuple[float, int]] = []
    fresh = count(1)
    for work in works:
        while open_ and open_[0][0] <= work.span.start:
            heapq.heappush(free, heapq.heappop(open_)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane = next(fresh)
            yield _meta("thread_name", _ENGINE[role], lane, name=f"request lane {lane}")
            yield _meta("thread_sort_index", _ENGINE[role], lane, sort_index=lane)
        heapq.heappush(open_, (work.span.end, lane))
        lanes[id(work)] = lane
        yield _span(work.stage.value, _ENGINE[role], lane, work.span.start, work.span.end, _about(work))


def _chain(run: LoadedRun, key: Key, tid: int) -> Iterator[Trace]:
    """One chain: its whole span, its turns, and within them waiting and work."""
    ended = run.chains.get(key)
    spans = [(turn, works_of(turn)) for turn in run.turns.get(key, [])]
    edges = [time for _, works in spans for work in works for time in (work.span.ready, work.span.end)]
    edges += [ended.start, ended.end] if ended is not None else []
    if not edges:
        return
    start, end = min(edges), max(edges)
    verdict = run.verdicts.get(key)
    about = {
        "status": ended.status.value if ended else "open",
        "reason": ended.reason if ended else "",
        "answer": ended.answer if ended else None,
        "correct": verdict,
    }
    yield _span(f"{key[0]} sample {key[1]}", _CHAINS, tid, start, end, about)
    reached = None
    for turn, works in spans:
        if works:
            last = max(work.span.end for work in works)
            yield _span(f"turn {turn.turn}", _CHAINS, tid, works[0].span.ready, last, _decided(turn))
        for work in works:
            if reached is not None and work.span.ready > reached and not _paused(run, reached, work.span.ready):
                yield _span("held back", _CHAINS, tid, reached, work.span.ready, {"for": work.stage.value})
            if work.span.start > work.span.ready:
                yield _span("waiting", _CHAINS, tid, work.span.ready, work.span.start, {"for": work.stage.value})
            yield _span(work.stage.value, _CHAINS, tid, work.span.start, work.span.end, {"tokens": work.tokens})
            reached = work.span.end


def _paused(run: LoadedRun, start: float, end: float) -> bool:
    """Whether the run was interrupted in between."""
    return any(start <= session.get("time", 0.0) <= end for session in run.sessions[1:])


def _flows(chains: Iterable[Sequence[Work]], lanes: Mapping[int, int]) -> Iterator[Trace]:
    """Arrows from each piece of work of a chain to its next one, between the lanes of the engines."""
    for number, works in enumerate(chains, start=1):
        for place, work in enumerate(works if len(works) > 1 else ()):
            phase = "s" if place == 0 else "f" if place == len(works) - 1 else "t"
            event = {"name": "chain", "cat": "chain", "ph": phase, "id": number, "ts": _micro(work.span.start)}
            yield event | {"pid": _ENGINE[work.role], "tid": lanes[id(work)], "bp": "e"}


def _queues(works: Sequence[Work]) -> Iterator[Trace]:
    """Requests of each stage that wait for a slot, and that hold one."""
    for stage in Stage:
        changes: list[tuple[float, int, int]] = []
        for work in works:
            if work.stage is stage:
                span = work.span
                changes += [(span.ready, 1, 0), (span.start, -1, 1), (span.end, 0, -1)]
        waiting = running = 0
        changes.sort(key=lambda change: change[0])
        for place, (time, more_waiting, more_running) in enumerate(changes):
            waiting, running = waiting + more_waiting, running + more_running
            if place + 1 == len(changes) or changes[place + 1][0] > time:
                yield _counter(f"{stage.value} requests", time, {"running": running, "waiting": waiting})


def _rate(run: LoadedRun, works: Sequence[Work]) -> Iterator[Trace]:
    """The takeover rate over the decisions so far, in the order in which they were taken."""
    times = {id(work.turn): work.span.end for work in works if work.stage is Stage.SCORE}
    decided = [turn for turns in run.turns.values() for turn in turns if turn.decision is not None]
    taken, latest = 0, 0.0
    for number, turn in enumerate(sorted(decided, key=_decision_index), start=1):
        assert turn.decision is not None
        taken += turn.decision.rejected
        latest = max(latest, times.get(id(turn), latest))
        yield _counter("takeover rate", latest, {"so far": round(taken / number, 4)})


def _decision_index(turn: Turn) -> int:
    return turn.decision.index if turn.decision is not None else -1


def _decided(turn: Turn) -> dict[str, Any]:
    decision = turn.decision
    if decision is None:
        return {}
    return {
        "score": finite(decision.score),
        "p": finite(decision.p_value),
        "threshold": finite(decision.threshold),
        "decision": "taken over" if decision.rejected else "accepted",
    }


def _about(work: Work) -> dict[str, Any]:
    turn = work.turn
    return {"problem": turn.problem, "sample": turn.sample, "turn": turn.turn, "tokens": work.tokens}


def _span(name: str, pid: int, tid: int, start: float, end: float, args: Mapping[str, Any] | None = None) -> Trace:
    begin = _micro(start)
    event = {"name": name, "cat": "atts", "ph": "X", "pid": pid, "tid": tid, "ts": begin}
    return event | {"dur": round(_micro(end) - begin, 3), "args": dict(args or {})}


def _counter(name: str, time: float, values: Mapping[str, float]) -> Trace:
    return {"name": name, "ph": "C", "pid": _COUNTERS, "tid": 0, "ts": _micro(time), "args": dict(values)}


def _meta(kind: str, pid: int, tid: int, **args: Any) -> Trace:
    return {"name": kind, "ph": "M", "pid": pid, "tid": tid, "ts": 0, "args": args}


def _micro(seconds: float) -> float:
    """Microseconds, to the nanosecond, so that what touches in the journal touches in the trace."""
    return round(seconds * 1e6, 3)
