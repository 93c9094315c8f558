"""The command line as a user meets it: real processes where exit status and output matter."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import atts
from atts.cli import COMMANDS, cli
from atts.config.run import RunConfig
from atts.engines.scripted import ScriptedEngine
from atts.errors import EngineError
from tests.polling import until

SCRIPTED = ["--draft", "scripted:5", "--target", "scripted:5", "--limit", "3", "--samples", "2"]


def run_atts(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "atts", *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


def test_version_and_help(tmp_path: Path) -> None:
    assert run_atts("--version", cwd=tmp_path).stdout == f"atts {atts.__version__}\n"
    shown = run_atts("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_command_has_help(name: str) -> None:
    """As in the golden file; `ATTS_GOLDEN=write pytest tests/cli/test_cli.py` writes them anew, to be read."""
    result = CliRunner().invoke(cli, [*filter(None, [name]), "--help"], prog_name="atts", terminal_width=80)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 100
    golden = Path(__file__).parent / "help" / f"{name or 'atts'}.txt"
    if os.environ.get("ATTS_GOLDEN") == "write":
        golden.write_text(result.output, encoding="utf-8")
    assert result.output == golden.read_text(encoding="utf-8")


def test_examples_are_code_on_the_page_of_commands() -> None:
    make = pytest.importorskip("mkdocs_click._docs").make_command_docs
    markdown = pytest.importorskip("markdown").markdown
    page = markdown("\n".join(make("atts", cli)))
    blocks = re.findall(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)
    assert sum(block.startswith("atts ") for block in blocks) >= 9
    assert not re.search(r"<p>atts ", page) and "\\b" not in page


def test_every_key_of_the_configuration_is_an_option_with_its_description() -> None:
    shown = CliRunner().invoke(cli, ["run", "--help"]).output
    for key in RunConfig.model_fields:
        assert key == "problems" or f"--{key.replace('_', '-')}" in shown


def test_a_run_prints_a_table_and_says_where_it_is(tmp_path: Path) -> None:
    done = run_atts("run", *SCRIPTED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "6 of 6 done" in done.stdout and "runs/bundled-atts-" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "6 chains wanted" in done.stderr
    [folder] = (tmp_path / "runs").iterdir()
    assert {p.name for p in folder.iterdir()} == {
        *("run.json", "problems.jsonl", "journal.jsonl", "sessions.jsonl", "summary.json")
    }
    again = run_atts("run", *SCRIPTED, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, done.stdout)


def test_square_brackets_in_paths_and_errors_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = ScriptedEngine.__init__

    def failing(self: ScriptedEngine, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self.script = replace(self.script, fail=lambda call, count: EngineError("[INST] hi [/INST] :x: C:\\"))

    monkeypatch.setattr(ScriptedEngine, "__init__", failing)
    out = str(tmp_path / "r[/b]")
    result = CliRunner().invoke(cli, ["run", *SCRIPTED, "--out", out], env={"COLUMNS": "300"})
    assert result.exception is None, result.output
    assert "6 × [INST] hi [/INST] :x: C:\\" in result.stdout and out in result.stdout


def test_interrupted_in_a_folder_with_square_brackets(tmp_path: Path) -> None:
    slow = ["--draft", "scripted:50,0.2", "--target", "scripted:50,0.2"]
    command = [
        sys.executable,
        "-m",
        "atts",
        "run",
        *SCRIPTED,
        *slow,
        "--turns",
        "50",
        "--chunk",
        "step",
        "--out",
        "r[/b]",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        journal = tmp_path / "r[/b]" / "journal.jsonl"
        asyncio.run(until(lambda: journal.exists() and journal.stat().st_size > 0))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert "the same command goes on (r[/b])" in err and "r[/b]" in out and "Traceback" not in err


def test_json_alone_is_on_standard_output(tmp_path: Path) -> None:
    done = run_atts("run", *SCRIPTED, "--json", "--out", "here", cwd=tmp_path)
    assert json.loads(done.stdout) == json.loads((tmp_path / "here" / "summary.json").read_text())
    assert run_atts("run", *SCRIPTED, "--json", "--quiet", "--out", "there", cwd=tmp_path).stderr == ""


def test_defaults_run_file_options_and_assignments_in_this_order(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'draft = "scripted:5"\ntarget = "scripted:5"\nlimit = 2\nsamples = 3\nturns = 9\n'
    )
    done = run_atts(
        *("run", "--config", "run.toml", "--samples", "2", "--turns", "8"),
        *("--set", "turns=7", "--set", "takeover-rate=0.1", "--quiet", "--out", "out"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "out" / "run.json").read_text())["config"]
    assert [config[k] for k in ("limit", "samples", "turns", "takeover_rate", "chunk")] == [2, 2, 7, 0.1, "tokens"]


def test_a_saved_configuration_can_be_run_again(tmp_path: Path) -> None:
    run_atts("run", *SCRIPTED, "--quiet", "--out", "first", cwd=tmp_path)
    config = json.loads((tmp_path / "first" / "run.json").read_text())["config"]
    lines = [f"{key} = {json.dumps(value)}" for key, value in config.items() if value is not None]
    (tmp_path / "again.toml").write_text("\n".join(lines))
    done = run_atts("run", "--config", "again.toml", "--quiet", "--out", "second", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "second" / "run.json").read_text())["config"] == config


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing/problems.jsonl"], "missing/problems.jsonl"),
        (["--strategy", "nope"], "there is no strategy 'nope'; there are: atts"),
        (["--takeover-rate", "1.5"], "takeover_rate = 1.5"),
        (["--config", "nope.toml"], "run file nope.toml: No such file"),
        (["--config", "bad.toml"], "run file bad.toml"),
        (["--limit", "0"], "limit = 0"),
        (["--budget", "3", "--alpha", "0.5"], "budget and alpha"),
        (["--budget", "9"], "budget = 9"),
        (["--set", "nope=1"], "nope: there is no such key"),
        (["--set", "samples"], "write it as key=value"),
        (["--samples", "1001"], "samples = 1001: Input should be less than or equal to 1000"),
        (["--samples", "many"], "'many' is not a valid integer"),
        (["--draft", "local:./nowhere"], "local:./nowhere: no model there"),
        (["--preset", "nope"], "there is no preset 'nope'"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "bad.toml").write_text("samples = = 3")
    done = run_atts("run", *SCRIPTED, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
    assert done.stdout == ""
    assert {p.name for p in tmp_path.iterdir()} == {"bad.toml"}


def test_a_changed_option_is_refused_by_name(tmp_path: Path) -> None:
    run_atts("run", *SCRIPTED, "--quiet", "--out", "out", cwd=tmp_path)
    before = (tmp_path / "out" / "journal.jsonl").read_bytes()
    done = run_atts("run", *SCRIPTED, "--quiet", "--out", "out", "--turns", "4", "--seed", "3", cwd=tmp_path)
    assert done.returncode == 2
    assert "turns was 15, is 4" in done.stderr and "seed was 0, is 3" in done.stderr
    assert (tmp_path / "out" / "journal.jsonl").read_bytes() == before


def test_ls_lists_every_kind(tmp_path: Path) -> None:
    listed = json.loads(run_atts("ls", "--json", cwd=tmp_path).stdout)
    assert "bundled" in listed["datasets"] and "atts" in listed["strategies"] and "tracked" in listed["calibrators"]
    assert all(description for entries in listed.values() for description in entries.values())
    only = run_atts("ls", "scores", cwd=tmp_path)
    assert "log_perplexity" in only.stdout and "tracked" not in only.stdout


def test_an_unknown_command(tmp_path: Path) -> None:
    done = run_atts("fly", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "no command 'fly'; there are" in done.stderr
    assert "(did you mean 'run'?)" in run_atts("rn", cwd=tmp_path).stderr
