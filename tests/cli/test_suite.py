"""`atts suite` as a process: runs, fails in part, resumes, and brings its own servers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.launch.conftest import free_ports

SCRIPTED = 'draft = "scripted:1"\ntarget = "scripted:1"\nlimit = 3\nsamples = 2\nturns = 4\ndraft_tokens = 12\n'


def suite(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "atts", "suite", "suite.toml", "--quiet", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def results(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {result["name"]: result for result in json.loads(done.stdout)}


def test_runs_calibrates_fails_in_part_and_resumes(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(
        SCRIPTED
        + '[[run]]\nname = "a"\nsweep.takeover_rate = [0.2, 0.6]\n'
        + '[[run]]\nname = "s"\ncalibrator = "static"\ncalibrate = {limit = 4}\n'
        + '[[run]]\nname = "lost"\ntarget = "local:./missing"\n'
    )
    done = suite(tmp_path, "--json")
    assert done.returncode == 1, done.stderr
    found = results(done)
    assert [found[name]["status"] for name in found] == ["complete"] * 3 + ["failed"]
    assert "local:./missing" in found["lost"]["reason"] and "lost: " in done.stderr
    assert len(list((tmp_path / "runs/suite").glob("calibration-*.json"))) == 1
    assert found["s"]["summary"]["chains"]["done"] == 6

    before = (tmp_path / "runs/suite/a-takeover_rate=0.2/journal.jsonl").read_bytes()
    again = suite(tmp_path)
    assert again.returncode == 1
    assert "complete" in again.stdout and "60.0" in again.stdout
    assert (tmp_path / "runs/suite/a-takeover_rate=0.2/journal.jsonl").read_bytes() == before

    listed = suite(tmp_path, "--list")
    assert listed.returncode == 1 and "complete" in listed.stdout


def test_a_changed_calibration_is_recorded_anew_and_not_taken_for_the_old_one(tmp_path: Path) -> None:
    entry = '[[run]]\nname = "{}"\ncalibrator = "static"\nsweep.window = [20, 30]\ncalibrate = {{limit = {}}}\n'
    counts = []
    for name, limit in (("a", 4), ("b", 6)):
        (tmp_path / "suite.toml").write_text(SCRIPTED + entry.format(name, limit))
        done = suite(tmp_path, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads((tmp_path / f"runs/suite/{name}-window=20/run.json").read_text())
        recorded = json.loads((tmp_path / found["config"]["calibration"]).read_text())
        counts.append(len({problem for problem, *_ in recorded["scores"]}))
    assert counts == [4, 6]
    assert len(list((tmp_path / "runs/suite").glob("calibration-*.json"))) == 2  # four runs, two each


def test_another_run_in_the_folder_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SCRIPTED + '[[run]]\nname = "a"\n')
    assert suite(tmp_path).returncode == 0
    (tmp_path / "suite.toml").write_text(SCRIPTED + '[[run]]\nname = "a"\nseed = 5\n')
    refused = suite(tmp_path)
    assert refused.returncode == 2
    assert "seed was 0, is 5" in refused.stderr and refused.stderr.count("\n") == 1


def test_brings_its_own_servers_and_leaves_none(tmp_path: Path) -> None:
    """Test servers speak a real dialect; only the command differs from a real server's."""
    server = f"{sys.executable} -m atts.testing sglang scripted:3 --port {{port}}"
    draft, target = free_ports(2)
    (tmp_path / "suite.toml").write_text(
        f'limit = 2\nsamples = 2\nturns = 3\n[servers]\ncommand = "{server}"\n'
        f'draft_model = "o/a"\ntarget_model = "o/b"\ndraft_port = {draft}\ntarget_port = {target}\n'
        '[[run]]\nname = "a"\n'
    )
    done = suite(tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert results(done)["a"]["summary"]["engines"]["target"]["engine"] == "sglang"
    state = json.loads((tmp_path / "runs/suite/servers/servers.json").read_text())
    assert state["status"] == "stopped"
    assert not any(Path(f"/proc/{server['pid']}").exists() for server in state["servers"])
    assert suite(tmp_path).returncode == 0  # complete: no server is started
