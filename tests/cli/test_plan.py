"""`atts plan` as a user meets it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from atts.cli import cli
from atts.errors import InputError
from atts.pipeline.strategies import STRATEGIES

SMALL = ["plan", "--problems", "3", "--samples", "4"]


def test_a_table_that_fits() -> None:
    result = CliRunner().invoke(cli, [*SMALL, "--price", "2.5"])
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    for name in (*STRATEGIES, "cost", "* assumed"):
        assert name in result.stdout


def test_no_figure_is_cut_short_and_a_failure_has_its_reason() -> None:
    arguments = ["plan", "--problems", "2", "--samples", "4", "--strategies", "atts,draft-only"]
    result = CliRunner().invoke(cli, [*arguments, "--tokens", "100000"], standalone_mode=False)
    assert result.return_value == 1
    assert "…" not in result.stdout
    assert "atts (failed)" in result.stdout
    assert re.search(r"draft-only: \d chains failed, most often \(\d\): .* tokens do not fit", result.stdout)
    nothing = CliRunner().invoke(cli, [*arguments, "--tokens", "1000000", "--json"], standalone_mode=False)
    assert nothing.return_value == 1
    assert [row["chains"]["error"] for row in json.loads(nothing.stdout)["rows"]] == [8, 8]


def test_a_plot_that_cannot_be_is_refused_before_anything_is_simulated(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "no" / "plan.png", "no such folder"), (tmp_path / "plan.xyz", "a format")):
        error = CliRunner().invoke(cli, ["plan", "--plot", str(path), "--draft", "8b"]).exception
        assert isinstance(error, InputError)
        assert says in str(error)
    plot = tmp_path / "plan.svg"
    assert CliRunner().invoke(cli, [*SMALL, "--strategies", "atts", "--plot", str(plot)]).exit_code == 0
    assert plot.exists()


def test_json_has_a_row_for_every_strategy_and_rate() -> None:
    arguments = [*SMALL, "--strategies", "atts,draft-only,specreason", "--rates", "0.2,0.6", "--json"]
    result = CliRunner().invoke(cli, arguments)
    rows = json.loads(result.stdout)["rows"]
    assert [(row["strategy"], row["rate"], row["rate_assumed"]) for row in rows] == [
        ("atts", 0.2, False),
        ("atts", 0.6, False),
        ("draft-only", None, False),
        ("specreason", 0.2, True),
        ("specreason", 0.6, True),
    ]
    assert all(row["status"] == "complete" and row["makespan_s"] > 0 for row in rows)
    assert rows == json.loads(CliRunner().invoke(cli, arguments).stdout)["rows"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--draft", "8b"], "32b@2xh100"),
        (["--target", "70b@l40s"], "do not fit"),
        (["--strategies", "no-such"], "there is no strategy 'no-such'"),
        (["--chains", "3"], "lockstep keeps all samples of a problem open"),
        (["--strategies", ","], "names no strategy"),
        (["--rates", "1.5"], "a rate lies in"),
        (["--rates", "a"], "give numbers"),
        (["--shapes", "no-such-file"], "a run folder or a file"),
    ],
)
def test_a_wrong_option_is_one_clear_line(arguments: list[str], says: str) -> None:
    error = CliRunner().invoke(cli, [*SMALL, *arguments]).exception
    assert isinstance(error, InputError)
    assert says in str(error)


@pytest.mark.parametrize("price", ["nan", "inf", "-1"])
def test_a_price_is_a_finite_number(price: str) -> None:
    result = CliRunner().invoke(cli, [*SMALL, "--price", price])
    assert result.exit_code == 2
    assert "--price" in result.stderr
