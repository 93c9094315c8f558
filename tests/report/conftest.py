"""Run folders as runs leave them, and a real browser."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atts.config.run import RunConfig, resolve
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.store.folder import RunFolder
from atts.types import Chain, Chunk, Decision, Finish, Piece, Problem, Role, Span, Status, Turn, Usage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


def config(**options: object) -> RunConfig:
    """A small run on scripted engines."""
    small = {"limit": 4, "samples": 3, "draft": "scripted:5", "target": "scripted:5", "takeover_rate": 0.4}
    return resolve(preset="bundled", options=small | options)


def execute(path: Path, **options: object) -> Path:
    """A real run into a folder."""
    # In a thread of its own: where a browser is driven, this one has an event loop already.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _execute(path, config(**options))).result()
    return path


async def _execute(path: Path, config: RunConfig) -> None:
    await Run(prepare(config), path).execute()


def piece(author: Role, text: str, start: float, *, finish: Finish = Finish.STOP) -> Piece:
    return Piece(
        author, text, (1,) * max(1, len(text) // 4), finish, Usage(4, 0, 4), Span(start, start + 0.1, start + 1)
    )


def write_run(path: Path, texts: list[tuple[str, str | None]], *, question: str = "Why?") -> Path:
    """A finished run of one problem and one sample with these drafts and takeovers."""
    own = config(limit=1, samples=1)
    folder = RunFolder.create(path, own, [Problem("p\u202e1<b>", question, "42")])
    writer = folder.append()
    for number, (draft, takeover) in enumerate(texts):
        start, rejected = number * 3.0, takeover is not None
        decision = Decision(number, Chunk("p\u202e1<b>", 0, number), 0.5, 0.125 if rejected else 0.75, 0.25, rejected)
        turn = Turn(
            *("p\u202e1<b>", 0, number),
            draft=piece(Role.DRAFT, draft, start),
            scores={"log_perplexity": 0.5},
            scored=Usage(8, 4, 0),
            scoring=Span(start + 1, start + 1.1, start + 1.5),
            decision=decision,
            takeover=None if takeover is None else piece(Role.TARGET, takeover, start + 1.6),
            replaced=rejected,
        )
        writer.turn(turn)
    end = len(texts) * 3.0
    writer.chain(Chain("p\u202e1<b>", 0, Status.DONE, "answer", len(texts), "", "<img src=x>", 0.0, end))
    writer.close()
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is complete."""
    return execute(tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Without one the test is skipped, or fails where ATTS_BROWSER=required."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        found = None
    if found is None:
        message = "needs a browser: apt-get install chromium; pip install -c constraints.txt '.[browser]'"
        pytest.fail(message) if os.environ.get("ATTS_BROWSER") == "required" else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_FLAGS, timeout=180_000)
        yield browser
        browser.close()
