"""Results as tables that fit a screen, and the screen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO, Any, cast

from rich.console import Console
from rich.table import Table

from atts.cli.streams import Forgiving
from atts.results.outline import outline

_WIDEST = 1000  # characters of a line


def screen(*, stderr: bool = False) -> Console:
    """Where results are printed. Nothing in them is markup: models, servers and file names say much of it."""
    file = Forgiving(sys.stderr) if stderr and sys.stderr is not None else None
    return Console(file=cast(IO[str] | None, file), stderr=stderr, markup=False, emoji=False, highlight=False)


def summary_table(summary: Mapping[str, Any], folder: str) -> Table:
    """What a run came to, in one table of two columns."""
    table = Table(title=f"{summary['strategy']}: {summary['status']}", title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, said in outline(summary):
        table.add_row(name, said)
    table.add_row("folder", folder)
    return table


def show(table: Table) -> None:
    """Print a table of figures as wide as it has to be: a terminal may break its lines, but no figure is cut short."""
    console = screen()
    needed = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    console.width = max(console.width, needed)
    console.print(table)
