"""Looking without running: are the engines as a run needs them, and how do runs stand beside each other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from atts.api.blocking import Blocking
from atts.api.own import configured
from atts.errors import InputError
from atts.pipeline.strategies import strategy_named
from atts.results import compare as comparing
from atts.results.compare import Compared
from atts.results.loaded import LoadedRun, load_run
from atts.runs import preflight
from atts.runs.preflight import Report
from atts.runs.setup import open_engines

RunLike = LoadedRun | str | os.PathLike[str]

_SHORT = {"timeout": 60.0, "patience": 10.0}  # who looks waits for the answer: the waits of a run would be too long


def check(*, config: str | os.PathLike[str] | None = None, **keys: Any) -> Report:
    """Look at both engines before spending anything on them: `atts check` from Python.

    `keys` are those of a run. Never raises for what an engine does: that is a finding of the report, whose `ok` says
    whether a run would work and be right. Works where an event loop runs already. Raises InputError.
    """
    return Blocking[Report](lambda blocking: check_async(config=config, **keys)).wait()


async def check_async(*, config: str | os.PathLike[str] | None = None, **keys: Any) -> Report:
    """`check` on the event loop of the caller."""
    configuration = await asyncio.to_thread(configured, None, config, _SHORT | keys)
    strategy = strategy_named(configuration.strategy, configuration.options)
    engines = open_engines(configuration, strategy.roles)
    try:
        return await preflight.check(engines, configuration)
    finally:
        await asyncio.gather(*(engine.close() for engine in engines.values()))


def compare(*runs: RunLike | Sequence[RunLike]) -> list[Compared]:
    """Runs beside each other, each as the difference to the first: accuracy against cost, paired by question.

    Each is a `LoadedRun` or a run folder; a list of them will do. Raises InputError where there is no run.
    """
    found: list[LoadedRun] = []
    for given in runs:
        several = isinstance(given, Sequence) and not isinstance(given, str)
        found.extend(map(_loaded, given if several else [given]))  # type: ignore[arg-type]
    if not found:
        raise InputError("compare: name one run at least")
    return comparing.compare(found)


def _loaded(run: RunLike) -> LoadedRun:
    return run if isinstance(run, LoadedRun) else load_run(run)
