"""What a person sees of a run that Python code has begun: the live view in a terminal, the same in a notebook."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from atts.errors import InputError
from atts.events import Event, Sink

_FRAME = '<pre style="line-height: 1.2; margin: 0">{code}</pre>'
_WIDTH = 100  # characters of the view in a notebook


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a run's events go. `refresh` is to be called about every second, on the thread that shows something."""

    sink: Sink
    refresh: Callable[[], object] = lambda: None


@contextmanager
def shown(progress: bool | Sink | None) -> Iterator[Shown]:
    """What `progress=` asks for: a function that hears all, a view (True), none (False), or a view where there is a
    screen to show it on. Raises InputError for anything else."""
    if progress is False:
        yield Shown(_nothing)
    elif progress is None or progress is True:
        with _view(progress is True) as shows:
            yield shows
    elif callable(progress):
        yield Shown(progress)
    else:
        raise InputError(f"progress = {progress!r}: True, False, or a function that is called with every event")


@contextmanager
def _view(wanted: bool) -> Iterator[Shown]:
    from atts.cli.live import watch
    from atts.cli.tables import screen

    if (display := _display()) is not None:
        with _notebook(display) as shows:
            yield shows
        return
    console = screen(stderr=True)
    with watch(console, quiet=not (wanted or console.is_terminal)) as sink:
        yield Shown(sink)


def _nothing(event: Event) -> None:
    """Show nothing."""


def _display() -> Any:
    """IPython's `display` where this is a notebook, else None."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython import display

    return display


@contextmanager
def _notebook(display: Any) -> Iterator[Shown]:
    """The view as a piece of the cell's output, which is taken away at the end."""
    from atts.cli.live import Meters, Progress

    meters = Meters(Progress())
    handle = display.display(display.HTML(_html(meters)), display_id=True)
    try:
        yield Shown(meters.progress, lambda: handle.update(display.HTML(_html(meters))))
    finally:
        handle.update(display.HTML(""))


def _html(meters: Any) -> str:
    """The live view as HTML; Rich escapes what is in it."""
    from rich.console import Console

    from atts.cli.live import view

    console = Console(record=True, file=io.StringIO(), width=_WIDTH, force_terminal=True, force_jupyter=False)
    console.print(view(meters))
    return console.export_html(inline_styles=True, code_format=_FRAME)
