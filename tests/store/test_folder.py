from __future__ import annotations

from pathlib import Path

import pytest

from atts import atomic
from atts.config.run import resolve
from atts.errors import InputError
from atts.store.folder import RunFolder
from tests.store.made import PROBLEMS


def test_the_keys_that_differ_are_named(folder: RunFolder) -> None:
    folder.refuse_if_different(resolve())
    folder.refuse_if_different(resolve(options={"chains": 3, "draft_slots": 2}))  # only how fast
    with pytest.raises(InputError, match=r"samples was 8, is 4, takeover_rate was None, is 0\.3") as error:
        folder.refuse_if_different(resolve(options={"samples": 4, "takeover_rate": 0.3}))
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run there"):
        RunFolder.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("name", ["journal.jsonl", "summary.json", "problems.jsonl"])
def test_somebody_elses_files_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"mine": 1}\n')
    with pytest.raises(InputError, match=name):
        RunFolder.create(tmp_path, resolve(), PROBLEMS)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == '{"mine": 1}\n'


def test_killed_before_there_was_a_run_it_begins_again(folder: RunFolder) -> None:
    (folder.path / "run.json").unlink()
    assert RunFolder.create(folder.path, resolve(), PROBLEMS).problems() == PROBLEMS


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({}, "not a run of layout 1"),
        ({"schema": 2, "config": {}}, "not a run of layout 1"),
        ({"schema": 1, "config": "x"}, "not a run of layout 1"),
        ({"schema": 1, "config": {"newer": 1}, "versions": {"atts-llm": "9.1"}}, "written by atts 9.1, .*newer"),
    ],
)
def test_a_folder_of_another_version_says_so(folder: RunFolder, run: dict[str, object], message: str) -> None:
    atomic.write_json(folder.path / "run.json", run)
    with pytest.raises(InputError, match=f"run.json.*{message}") as error:
        RunFolder.open(folder.path)
    assert "\n" not in str(error.value)
