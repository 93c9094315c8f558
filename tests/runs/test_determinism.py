"""Same seed, same clock, same journal, byte for byte: nothing random is left that is not derived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from atts.config.run import resolve
from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.engines.simulated.clock import run_virtually
from atts.pipeline.strategies import STRATEGIES
from atts.runs.runner import Run
from atts.runs.setup import prepare

METHODS: dict[str, dict[str, object]] = {name: {"strategy": name} for name in STRATEGIES} | {
    "atts, vote stop": {"strategy": "atts", "vote_stop": "exact"},
    "atts-self, fork": {"strategy": "atts-self", "options": {"remedy": "fork"}},
}


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[None]:
    """On the virtual clock, work for threads is done in the loop's own, files included."""
    yield


def journal(path: Path, seed: int, **options: object) -> bytes:
    """The journal of a run in which requests take times that differ, and the answers do too."""
    common = {"draft": "scripted:4", "target": "scripted:4", "limit": 4, "samples": 6, "takeover_rate": 0.3}
    slots = {"draft_slots": 5, "score_slots": 3, "takeover_slots": 2}
    script = Script(
        write=lambda text, s: steps(4, answer=str(s % 3))(text, s), delay=lambda call, s: 0.01 + 0.003 * (s % 11)
    )

    async def main() -> None:
        setup = prepare(resolve(preset="bundled", options={**common, **slots, "seed": seed, **options}))
        engines = {role: ScriptedEngine(script) for role in setup.strategy.roles}
        await Run(replace(setup, engines=engines), path).execute()

    run_virtually(main())
    return (path / "journal.jsonl").read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_journal_byte_for_byte(tmp_path: Path, method: str) -> None:
    first = journal(tmp_path / "first", 7, **METHODS[method])
    assert journal(tmp_path / "second", 7, **METHODS[method]) == first
    assert journal(tmp_path / "other", 8, **METHODS[method]) != first
