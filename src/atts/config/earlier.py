"""Configurations that earlier versions wrote, in today's words, so that their runs go on as they began."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_RATES = ("takeover_rate", "budget", "alpha")


def in_todays_words(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with what version 0.1.0 took for granted: it knew no `order` and no `last_chunk`.

    It opened problems one after the other, decided on the last chunk only where it could be replaced, took 0.4 for the
    rate where none was named, `tracked` held the rate of every turn, and files had the prompt `plain` for any engines.
    """
    values = dict(config)
    if "order" in values:
        return values
    values["order"] = "problems"
    values["last_chunk"] = "check" if values.get("on_reject") == "replace" else "accept"
    if all(values.get(name) is None for name in _RATES):
        values["takeover_rate"] = 0.4
    if values.get("calibrator") == "tracked" and values.get("by_turn") is None:
        values["by_turn"] = True
    if values.get("prompt") is None and Path(str(values.get("problems"))).suffix:
        values["prompt"] = "plain"
    return values
