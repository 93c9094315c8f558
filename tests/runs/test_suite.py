"""A suite file becomes configurations: sweeps unfolded, servers from presets, mistakes named with their run."""

from __future__ import annotations

from pathlib import Path

import pytest

from atts.errors import InputError
from atts.runs.suite import Configuration, by_servers, read_suite

HEAD = 'draft = "scripted:1"\ntarget = "scripted:2"\nsamples = 2\n'


def read(tmp_path: Path, text: str) -> list[Configuration]:
    file = tmp_path / "suite.toml"
    file.write_text(text, encoding="utf-8")
    return read_suite(file, tmp_path / "out")


def test_sweeps_are_unfolded_in_order(tmp_path: Path) -> None:
    found = read(
        tmp_path, HEAD + '[[run]]\nname = "a"\nturns = 3\nsweep = {samples = [2, 4], takeover_rate = [0.2, 0.4]}\n'
    )
    assert [one.name for one in found] == [
        "a-samples=2-takeover_rate=0.2",
        "a-samples=2-takeover_rate=0.4",
        "a-samples=4-takeover_rate=0.2",
        "a-samples=4-takeover_rate=0.4",
    ]
    assert [(one.config.samples, one.config.rate, one.config.turns) for one in found][1] == (2, 0.4, 3)
    assert found[0].path == tmp_path / "out" / found[0].name
    assert found[0].servers is None and found[0].calibrate is None


def test_names_of_folders_are_harmless(tmp_path: Path) -> None:
    (one,) = read(tmp_path, HEAD + '[[run]]\nname = "../x y"\nsweep.prompt = ["prompts/mine.toml"]\n')
    assert one.name == ".._x_y-prompt=mine"
    assert one.path.parent == tmp_path / "out"


def test_servers_come_from_the_preset_and_are_started_once(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        '[servers]\nengine = "vllm"\n[[run]]\nname = "a"\npreset = "r1-1.5b+qwq-32b"\nproblems = "bundled"\n'
        'sweep.seed = [1, 2]\n[[run]]\nname = "b"\npreset = "r1-8b+qwq-32b"\nproblems = "bundled"\n'
        '[[run]]\nname = "c"\nservers = false\n',
    )
    groups = by_servers(found)
    assert [[one.name for one in group] for group in groups.values()] == [["a-seed=1", "a-seed=2"], ["b"], ["c"]]
    first = found[0]
    assert first.servers is not None and first.servers.draft_model.endswith("Qwen-1.5B")
    assert first.config.draft == "vllm:http://127.0.0.1:30000"
    assert first.config.turns == 15 and first.config.score_slots == 4


def test_calibration_is_recorded_with_the_keys_that_differ(tmp_path: Path) -> None:
    (one,) = read(
        tmp_path, HEAD + '[[run]]\nname = "s"\ncalibrator = "static"\nlimit = 5\ncalibrate = {turns = 1, limit = 9}\n'
    )
    assert Path(one.config.calibration or "").parent == tmp_path / "out"
    assert one.calibrate is not None
    assert (one.calibrate.turns, one.calibrate.limit, one.calibrate.calibration) == (1, 9, None)
    assert (one.config.turns, one.config.limit) == (15, 5)


def calibrations(tmp_path: Path, entry: str) -> list[str | None]:
    return [one.config.calibration for one in read(tmp_path, f'{HEAD}calibrator = "static"\n[[run]]\n{entry}\n')]


def test_runs_that_would_record_the_same_share_a_calibration(tmp_path: Path) -> None:
    for sweep in ("window = [5, 50]", 'compat = ["none", "reference"]', 'scope = ["run", "question"]'):
        assert len(set(calibrations(tmp_path, f"calibrate = true\nsweep.{sweep}"))) == 1, sweep
    rates = "sweep.takeover_rate = [0.2, 0.6]\ncalibrate"
    assert len(set(calibrations(tmp_path, f"{rates} = {{turns = 1}}"))) == 1
    assert len(set(calibrations(tmp_path, f"{rates} = true"))) == 2  # later turns follow what was taken over


def test_runs_that_would_record_something_else_do_not(tmp_path: Path) -> None:
    for sweep in ("draft_tokens = [5, 50]", "seed = [1, 2]", 'target = ["scripted:3", "scripted:4"]'):
        assert len(set(calibrations(tmp_path, f"calibrate = true\nsweep.{sweep}"))) == 2, sweep
    few, many = (calibrations(tmp_path, f"calibrate = {{limit = {limit}}}") for limit in (4, 9))
    assert few != many
    models = [
        f'[servers]\ndraft_model = "o/a"\ntarget_model = "{model}"\n[[run]]\ncalibrator = "static"\ncalibrate = true\n'
        for model in ("o/b", "o/c")
    ]
    assert len({read(tmp_path, text)[0].config.calibration for text in models}) == 2  # at the same address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("samples = 2\n", "lists its runs as"),
        ("run = 3\n", "lists its runs as"),
        ('[[run]]\nname = "a"\ncolor = 1\n', r"run 1 \(a\): color: there is no such key"),
        ('[[run]]\n[[run]]\nname = "b"\nsamples = 0\n', r"run 2 \(b\): samples = 0"),
        ('[[run]]\nname = "a"\n[[run]]\nname = "a"\n', "name 'a' is taken"),
        ("[[run]]\nsweep.turns = 3\n", "give each key a list"),
        ("[[run]]\nsweep.turns = []\n", "give each key a list"),
        ('[[run]]\ncalibrator = "static"\n', "calibrator static needs recorded scores"),
        ('[[run]]\ncalibrate = "yes"\n', "calibrate: true, or a table"),
        ('[[run]]\nproblems = "nothing"\n', "there is no data set 'nothing'"),
        ("[[run]]\nservers = true\n", "servers: a table, or false"),
        ("[[run]]\nservers = {}\n", "draft_model: say which model"),
        ('[[run]]\npreset = "none"\n', "there is no preset 'none'"),
        (
            '[[run]]\ndraft = "scripted:1"\nservers = {draft_model = "o/a", target_model = "o/b"}\n',
            "draft: the engine is the server",
        ),
        ("[[run]]\nx = ", "suite.toml"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
