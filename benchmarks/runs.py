"""Runs for benchmarks: a configuration becomes a folder, once, and the folder figures."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from atts.config.run import RunConfig, resolve
from atts.results.loaded import LoadedRun, load_run
from atts.runs.runner import Run
from atts.runs.setup import prepare

progress = Console(stderr=True, highlight=False)


def screen() -> Console:
    """Where tables go: the terminal, or 100 columns of text."""
    return Console(width=None if sys.stdout.isatty() else 100)


def arguments(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """What benchmarks on a pair of models have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draft", default="bundled:draft", help="draft engine")
    parser.add_argument("--target", default="bundled:target", help="target engine")
    parser.add_argument("--problems", type=int, default=50, help="problems of the bundled test set")
    parser.add_argument("--samples", type=int, default=16, help="chains a problem")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the runs in this folder, and use those that it has")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.set_defaults(**defaults)
    return parser


def configuration(asked: argparse.Namespace, /, **keys: Any) -> RunConfig:
    """The bundled preset with these keys, and more chains at once than it opens: benchmarks have many."""
    common = {"draft": asked.draft, "target": asked.target, "limit": asked.problems, "samples": asked.samples}
    common["chains"] = 64
    return resolve(preset="bundled", options={**common, "seed": asked.seed, **keys})


def made(config: RunConfig, folder: Path) -> LoadedRun:
    """The run of this configuration, made unless the folder has it already."""
    progress.print(f"{folder.name} …")
    asyncio.run(_execute(config, folder))
    return load_run(folder)


async def _execute(config: RunConfig, folder: Path) -> None:
    await Run(prepare(config), folder).execute()


@contextlib.contextmanager
def folder_of(options: argparse.Namespace) -> Iterator[Path]:
    """Where the runs go: the folder that was named, or one that is removed afterwards."""
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        yield options.out
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
