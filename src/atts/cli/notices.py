"""What a reader must know before believing what a command prints or writes, on standard error."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click


def warn(run: Path, sentences: Iterable[str]) -> None:
    """Say it, a line each, with the run that it is about."""
    for sentence in sentences:
        click.echo(f"warning: {run}: {sentence}", err=True)
