"""Results as tables that fit a screen, and the screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import IO, Any, cast

from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Column, Table
from rich.text import Text

from atts.cli.streams import Forgiving
from atts.results.outline import outline

_WIDEST = 1000  # characters of a line
_NARROWEST = 14  # characters that a name needs of a line


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
    """Print a table so that no figure is cut: names give way, and where that is not enough its rows are stacked.

    Columns that are set to the right hold figures. What is written to a file is as wide as it has to be.
    """
    console = screen()
    for column in table.columns:
        column.no_wrap = column.no_wrap or column.justify == "right"
        if not column.no_wrap:
            column.overflow = "fold"
    longest = [_longest(column) for column in table.columns]
    widest = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    given_way = sum(
        max(0, width - _NARROWEST) for width, column in zip(longest, table.columns, strict=True) if not column.no_wrap
    )
    needed = widest - given_way
    if needed > console.width and _endless(console):
        console.width = needed
    console.print(table if needed <= console.width else _stacked(table))


def say(text: str) -> None:
    """Print a sentence, as wide as the screen; into a file, in one line."""
    console = screen()
    endless = _endless(console)
    console.print(text, overflow="ignore" if endless else "fold", soft_wrap=endless)


def _endless(console: Console) -> bool:
    """Whether nothing says how wide a line may be."""
    return not console.is_terminal and "COLUMNS" not in os.environ


def _longest(column: Column) -> int:
    """Characters of the longest line in a column."""
    lines = [line for cell in (column.header, *column.cells) for line in str(cell).splitlines()]
    return min(max(map(cell_len, lines), default=0), column.max_width or _WIDEST)


def _stacked(table: Table) -> Group:
    """The rows below each other: what a row is about, then a line a figure."""
    heads = [" ".join(str(column.header).split()) for column in table.columns]
    lines = [Text(str(table.title), style="italic")] if table.title else []
    for name, *cells in zip(*(column.cells for column in table.columns), strict=True):
        lines.append(Text(str(name), style="bold"))
        for head, cell in zip(heads[1:], cells, strict=True):
            lines.append(Text(f"  {head}: " if head else "  ") + Text(" ".join(str(cell).split())))
    for line in lines:
        line.overflow = "fold"
    return Group(*lines)
