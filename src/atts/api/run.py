"""A run from Python: the same run as that of the command, with the caller's own problems and functions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atts.api.blocking import Blocking
from atts.api.own import configured
from atts.api.progress import Shown, shown
from atts.events import Sink
from atts.results.loaded import LoadedRun, load_run
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.types import Problem

if TYPE_CHECKING:
    from atts.runs.setup import Setup

Problems = str | os.PathLike[str] | Iterable[Problem]


def run(
    problems: Problems | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: bool | Sink | None = None,
    config: str | os.PathLike[str] | None = None,
    **keys: Any,
) -> LoadedRun:
    """Solve problems and grade the answers: `atts run` from Python. Goes on where the same call was interrupted.

    `problems` is a data set's name, a file, or a list of `Problem`. `keys` are those of a run file (`atts run --help`),
    `preset` too; `config` is a run file, over which they win. In place of a name, `score`, `grader`, `answer`,
    `prompt`, `strategy` and `calibrator` may be the function or class itself; what it is called and a digest of it are
    part of the run then, so that the run is never continued with another one. `out` is the run folder; by default one
    below `runs/` that the same call finds again. `progress` shows the run in a terminal or a notebook (default: where
    there is one), or is a function that is called with every event of `atts.events`, on another thread.

    Works in plain code and where an event loop runs already, as in a notebook: the run has a thread and a loop of its
    own, and this call waits. Ctrl-C (or a notebook's interrupt) lets turns under way finish, pressed twice it stops at
    once; everything is saved, `KeyboardInterrupt` is raised, and the same call goes on.

    Returns the run as it stands in its folder, also where chains have failed: look at `summary["status"]`. A function
    of yours that raises ends its chain with that reason (a score, a rule) or leaves an answer ungraded (a grader).
    Raises InputError for what cannot be run, before anything is written; EngineError where a model cannot be reached;
    RunError where servers stay down or the disk fails, with all that was finished saved.
    """
    setup = _prepared(problems, config, out, keys)
    with shown(progress) as shows:
        work = Blocking[LoadedRun](lambda blocking: _execute(setup, out, shows, blocking))
        return work.wait(shows.refresh)


async def run_async(
    problems: Problems | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: bool | Sink | None = None,
    config: str | os.PathLike[str] | None = None,
    **keys: Any,
) -> LoadedRun:
    """`run` on the event loop of the caller: for applications that do other things meanwhile.

    A cancelled call has saved what was finished. Functions of the caller are called on this loop's thread (scores,
    rules) and must not wait there; graders are called in threads.
    """
    setup = await asyncio.to_thread(_prepared, problems, config, out, keys)
    with shown(progress) as shows:
        return await _execute(setup, out, shows)


def _prepared(
    problems: Problems | None,
    config: str | os.PathLike[str] | None,
    out: str | os.PathLike[str] | None,
    keys: dict[str, Any],
) -> Setup:
    return prepare(configured(problems, config, keys, out))


async def _execute(
    setup: Setup,
    out: str | os.PathLike[str] | None,
    shows: Shown,
    blocking: Blocking[LoadedRun] | None = None,
) -> LoadedRun:
    made = Run(setup, None if out is None else Path(out), sinks=[shows.sink])
    if blocking is not None:
        blocking.stop = made.stop
    await made.execute()
    return await asyncio.to_thread(load_run, made.path)
