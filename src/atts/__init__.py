"""Asynchronous test-time scaling of LLM reasoning with conformal takeover-rate control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atts.results.loaded import LoadedRun, load_run

__version__ = "0.1.0"
__all__ = ["LoadedRun", "__version__", "load_run"]


def __getattr__(name: str) -> Any:
    """What stands in `__all__`, imported at its first use, so that the command line starts at once."""
    if name in ("LoadedRun", "load_run"):
        from atts.results import loaded

        return getattr(loaded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
