from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from atts.config.run import resolve
from atts.engines.simulated.hardware import Machine
from atts.engines.simulated.work import Typical
from atts.planning.plan import Plan, simulate
from atts.runs.intensity import Intensity
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.types import Finish, Piece, Role, Span, Turn, Usage


def piece(author: Role, *times: float) -> Piece:
    return Piece(author, "x", (1,), Finish.STOP, Usage(), Span(*times))


def turn(number: int, draft: Piece, scoring: Span | None = None, takeover: Piece | None = None, **more: Any) -> Turn:
    return Turn("p", 0, number, draft, scoring=scoring, takeover=takeover, **more)


def test_computing_slots_and_barriers_are_told_apart() -> None:
    intensity = Intensity()
    intensity.turn(turn(0, piece(Role.DRAFT, 0, 1, 3), Span(3, 3.5, 4), piece(Role.TARGET, 6, 6, 7)))
    intensity.turn(turn(1, piece(Role.DRAFT, 7.5, 8, 9)))
    assert intensity.plain() == {
        "draft": {"computing": 3, "slot": 1.5, "barrier": 0.5},  # held back between the turns
        "score": {"computing": 0.5, "slot": 0.5, "barrier": 0},
        "takeover": {"computing": 1, "slot": 0, "barrier": 2},  # held back between score and takeover
    }
    assert intensity.queued == 2
    assert intensity.ratio == 1


def test_nothing_waited_and_interruptions() -> None:
    intensity = Intensity()
    intensity.turn(turn(0, piece(Role.DRAFT, 0, 0, 3)))
    assert intensity.ratio is None
    intensity.pause()
    intensity.turn(turn(1, piece(Role.DRAFT, 100, 100, 101)))
    assert intensity.ratio is None


def test_all_that_was_written_counts() -> None:
    intensity = Intensity()
    dropped = (piece(Role.DRAFT, 1, 1, 3),)
    more = (piece(Role.TARGET, 3, 3, 7),)
    intensity.turn(turn(0, piece(Role.DRAFT, 0, 0, 1), dropped=dropped, more=more))
    assert intensity.plain()["draft"]["computing"] == 3
    assert intensity.plain()["takeover"]["computing"] == 4


def test_barriers_cost_lockstep_and_not_atts() -> None:
    """On a virtual clock, where nobody waits for the machine that the test runs on."""
    shares = {}
    for strategy in ("atts", "lockstep"):
        machines = Machine.named("8b@h100"), Machine.named("32b@2xh100")
        time = simulate(Plan(Typical(count=4, samples=8), *machines, strategy=strategy, rate=0.3)).summary["time"]
        waited = sum(stage["barrier"] for stage in time["stages"].values())
        shares[strategy] = waited / sum(stage["computing"] for stage in time["stages"].values())
    assert shares["lockstep"] > 0.1
    assert shares["atts"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("strategy", ["specreason", "speculative-thinking", "atts-self", "lockstep", "coin"])
async def test_every_method_has_a_whole_summary(tmp_path: Path, strategy: str) -> None:
    options = {"strategy": strategy, "limit": 2, "samples": 4, "draft": "scripted:5", "target": "scripted:5"}
    run = Run(await asyncio.to_thread(prepare, resolve(preset="bundled", options=options)), tmp_path)
    summary = await run.execute()
    assert summary["status"] == "complete"
    tokens = summary["tokens"]
    assert tokens["kept"] == tokens["draft"] + tokens["target"] - tokens["discarded"]
    takeover = summary["takeover"]
    assert takeover is not None and sum(row["n"] for row in takeover["by_turn"]) == takeover["decisions"] > 0
    promised = 0.2 if strategy in ("atts-self", "lockstep", "coin") else None
    assert takeover["target_rate"] == promised


async def test_asking_costs_and_what_is_dropped_was_written(tmp_path: Path) -> None:
    """Steps as published get a blank line that nobody wrote; grades that are none cost as much as others."""
    options = {"strategy": "specreason", "limit": 2, "samples": 2, "draft": "scripted:6", "target": "scripted:6"}
    config = resolve(preset="bundled", options=options | {"options": {"compat": "reference"}})
    run = Run(await asyncio.to_thread(prepare, config), tmp_path)
    tokens = (await run.execute())["tokens"]
    assert 0 < tokens["discarded"] <= tokens["draft"]
    assert tokens["scored"] > 0 and tokens["prefilled"] > 0
