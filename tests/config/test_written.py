"""A configuration that is written as a run file reads back as the same one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.cli.launch import run_file_of
from atts.config.run import read_run_file, resolve, toml_text
from atts.launch.settings import validated

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)  # TOML has no halves of characters
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=6))
def test_whatever_toml_can_say_reads_back(values: dict[str, object]) -> None:
    assert tomllib.loads(toml_text(values)) == values


@given(problems=TEXTS, strings=st.lists(TEXTS, min_size=1, max_size=3), rate=st.floats(0, 1))
def test_a_configuration_reads_back(problems: str, strings: list[str], rate: float) -> None:
    options = {"trigger_tokens": tuple(strings)}
    config = resolve(
        options={"problems": problems, "strategy": "speculative-thinking", "options": options, "takeover_rate": rate}
    )
    assert resolve(options=tomllib.loads(config.as_toml())) == config


def test_what_has_no_value_is_left_out_and_tables_come_last() -> None:
    written = toml_text({"options": {"a": None, "b": 1}, "limit": None, "seed": 3, "empty": {}})
    assert written == "seed = 3\n\n[options]\nb = 1\n\n[empty]\n"


def test_control_characters_are_escaped() -> None:
    """JSON lets DEL stand as it is, and TOML does not."""
    assert tomllib.loads(toml_text({"prompt": "a\x7fb\x00c"})) == {"prompt": "a\x7fb\x00c"}


@pytest.mark.parametrize("strategy", ["atts", "specreason"])
def test_a_run_file_with_its_servers_reads_back(strategy: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f'strategy = "{strategy}"\nlimit = 7\n')
    servers = validated({"draft_model": "small", "target_model": "large"})
    written = tmp_path / "written.toml"
    written.write_text(run_file_of(None, path, servers))
    again = read_run_file(written)
    assert again["servers"]["draft_model"] == "small"
    config = resolve(run_file=written)
    assert (config.strategy, config.limit) == (strategy, 7)
    assert config.draft == servers.servers[0].address
