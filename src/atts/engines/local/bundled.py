"""The bundled pair, opened by role."""

from __future__ import annotations

from atts import bundled
from atts.engines.base import EngineOptions
from atts.engines.local import LocalEngine
from atts.errors import InputError


def open_bundled(role: str, options: EngineOptions | None = None) -> LocalEngine:
    """`bundled:draft` or `bundled:target`; the weights are checked against their sums when they are installed."""
    folders = {"draft": bundled.DRAFT, "target": bundled.TARGET}
    if role not in folders:
        raise InputError(f"bundled:{role}: the bundled pair has a draft and a target")
    return LocalEngine.open(str(folders[role]), options)
