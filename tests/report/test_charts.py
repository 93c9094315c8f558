"""Plots are drawn, or refused before there is anything to draw."""

from __future__ import annotations

from pathlib import Path

import pytest

from atts.errors import InputError
from atts.report.charts import draw_intensity, refuse_if_undrawable


def test_intensity_is_drawn_with_those_who_never_wait(tmp_path: Path) -> None:
    rows = [
        {"strategy": name, "grows": grows, "value": value, "served": served}
        for name, served in (("lockstep", 1.5), ("atts", None))
        for grows in ("samples", "turns")
        for value in (1, 4)
    ]
    draw_intensity(tmp_path / "intensity.svg", rows)
    assert "lockstep" in (tmp_path / "intensity.svg").read_text()


def test_where_nothing_can_be_drawn_is_refused(tmp_path: Path) -> None:
    refuse_if_undrawable(tmp_path / "new.png")
    assert not (tmp_path / "new.png").exists()
    with pytest.raises(InputError, match="give a suffix that is a format"):
        refuse_if_undrawable(tmp_path / "new.xyz")
    with pytest.raises(InputError, match="give a suffix that is a format"):
        refuse_if_undrawable(tmp_path / "new")
    with pytest.raises(InputError, match="no such folder"):
        refuse_if_undrawable(tmp_path / "none" / "new.png")
