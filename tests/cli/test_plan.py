"""`atts plan` as a user meets it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from atts.cli import cli
from atts.errors import InputError

SMALL = ["plan", "--problems", "3", "--samples", "4"]


def test_a_table_that_fits() -> None:
    result = CliRunner().invoke(cli, [*SMALL, "--price", "2.5"])
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    for name in ("atts", "lockstep", "draft-only", "target-only", "cost"):
        assert name in result.stdout


def test_json_has_a_row_for_every_strategy_and_rate() -> None:
    arguments = [*SMALL, "--strategies", "atts,draft-only", "--rates", "0.2,0.6", "--json"]
    result = CliRunner().invoke(cli, arguments)
    rows = json.loads(result.stdout)["rows"]
    assert [(row["strategy"], row["rate"]) for row in rows] == [("atts", 0.2), ("atts", 0.6), ("draft-only", None)]
    assert all(row["status"] == "complete" and row["makespan_s"] > 0 for row in rows)
    assert rows == json.loads(CliRunner().invoke(cli, arguments).stdout)["rows"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--draft", "8b"], "32b@2xh100"),
        (["--target", "70b@l40s"], "do not fit"),
        (["--strategies", "specreason"], "cannot be simulated"),
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
