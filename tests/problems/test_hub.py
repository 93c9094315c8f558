"""Each named data set, loaded for real by `datasets` from small files of the hub's exact schema."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from atts.errors import InputError
from atts.problems import SOURCES, label, load
from atts.problems.hub import COPIES

datasets = pytest.importorskip("datasets")

Rows = list[dict[str, Any]]
Publish = Callable[[str, str, str, Rows], None]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Writes a repository as the hub lays it out: data files, and a card that names configurations and splits."""
    monkeypatch.setenv(COPIES, str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def write(repository: str, config: str, split: str, rows: Rows) -> None:
        folder = tmp_path / "hub" / repository
        (folder / config).mkdir(parents=True, exist_ok=True)
        file = folder / config / f"{split}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        entry = f"- config_name: {config}\n  data_files:\n  - split: {split}\n    path: {config}/{split}.jsonl\n"
        (folder / "README.md").write_text(f"---\nconfigs:\n{entry}---\n", encoding="utf-8")

    return write


def math_rows(n: int) -> Rows:
    return [
        {
            "problem": f"What is ${i} + {i}$?",
            "solution": f"It is $\\boxed{{{2 * i}}}$.",
            "answer": str(2 * i),
            "subject": "Algebra",
            "level": 1 + i % 5,
            "unique_id": f"test/algebra/{i}.json",
        }
        for i in range(n)
    ]


def test_math500_whole_and_the_reference_draw(publish: Publish) -> None:
    publish("HuggingFaceH4/MATH-500", "default", "test", math_rows(500))
    whole = load("math500")
    assert len(whole) == SOURCES["math500"].size == 500
    assert whole[3].question == "What is $3 + 3$?"
    assert whole[3].answer == "6"
    assert whole[3].id == "math500/test/0003"
    assert whole[3].meta["unique_id"] == "test/algebra/3.json"
    subset = load("math500", subset="reference")
    random.seed(42)  # the reference's own way of drawing, for comparison
    assert [problem.meta["row"] for problem in subset] == random.sample(range(500), 100)
    assert label("math500", subset="reference") == "math500 (reference subset: 100 drawn with seed 42)"


def test_the_calibration_split_comes_from_its_own_repository(publish: Publish) -> None:
    publish("ricdomolm/MATH-500", "default", "train", math_rows(12))
    assert [problem.id for problem in load("math500", split="calibration", n=2)] == [
        "math500/calibration/0000",
        "math500/calibration/0001",
    ]
    assert label("math500", split="calibration") == "math500 (calibration)"


@pytest.mark.parametrize("year", [24, 25])
def test_aime(publish: Publish, year: int) -> None:
    rows: Rows = [
        {"id": i, "problem": f"Problem {i}", "solution": "…", "answer": f"{i:03d}", "url": "https://example.org"}
        for i in range(30)
    ]
    publish(f"simplescaling/aime{year}_nofigures", "default", "train", rows)
    assert len(load(f"aime{year}")) == 30
    subset = load(f"aime{year}", subset="reference")
    assert [problem.answer for problem in subset] == [f"{i:03d}" for i in range(15)]


def test_amc_answers_are_numbers_written_as_a_person_writes_them(publish: Publish) -> None:
    rows: Rows = [{"id": i, "problem": f"P{i}", "answer": float(i), "url": "https://example.org"} for i in range(83)]
    publish("AI-MO/aimo-validation-amc", "default", "train", rows)
    assert [problem.answer for problem in load("amc23")][:3] == ["0", "1", "2"]
    assert len(load("amc23", subset="reference")) == 50


def olympiad_row(i: int, **changes: Any) -> dict[str, Any]:
    row = {
        "id": 1600 + i,
        "question": f"Find $x_{i}$.",
        "solution": ["…"],
        "final_answer": [f"\\frac{{{i}}}{{7}}"],
        "context": None,
        "image_1": None,
        "modality": "Text-only",
        "difficulty": "Competition",
        "is_multiple_answer": False,
        "unit": None,
        "answer_type": "Numerical",
        "error": None,
        "question_type": "Open-ended",
        "subfield": "Algebra",
        "subject": "Math",
        "language": "English",
    }
    return row | changes


def test_olympiad_keeps_single_numerical_answers_only(publish: Publish) -> None:
    rows = [
        olympiad_row(0, context="Let $x_0 > 0$."),
        olympiad_row(1, is_multiple_answer=True, final_answer=["1", "2"]),
        olympiad_row(2, answer_type="Expression"),
        olympiad_row(3),
    ]
    publish("Hothan/OlympiadBench", "OE_TO_maths_en_COMP", "train", rows)
    first, second = load("olympiad")
    assert first.question == "Let $x_0 > 0$.\n\nFind $x_0$."
    assert first.meta["context"] == "Let $x_0 > 0$."
    assert second.answer == "\\frac{3}{7}"
    assert second.meta["row"] == 3


def gpqa_rows(n: int) -> Rows:
    return [
        {
            "Record ID": f"rec{i}",
            "Question": f"Question {i}?\n",
            "Correct Answer": f"right {i} ",
            "Incorrect Answer 1": f"wrong {i}a",
            "Incorrect Answer 2": f"wrong {i}b",
            "Incorrect Answer 3": f"wrong {i}c",
            "Subdomain": "Optics",
        }
        for i in range(n)
    ]


def test_gpqa_options_are_shuffled_by_seed_and_the_letter_follows(publish: Publish) -> None:
    publish("Idavidrein/gpqa", "gpqa_diamond", "train", gpqa_rows(80))
    problems = load("gpqa")
    for i, problem in enumerate(problems):
        assert problem.choices["ABCD".index(problem.answer)] == f"right {i}"
    letters = [problem.answer for problem in problems]
    assert all(8 <= letters.count(letter) <= 32 for letter in "ABCD")
    assert load("gpqa") == problems
    assert [problem.answer for problem in load("gpqa", seed=1)] != letters
    assert [problem.answer for problem in load("gpqa", subset="reference")] == letters[:60]


def test_gsm8k_answer_follows_the_hashes(publish: Publish) -> None:
    rows: Rows = [{"question": "How many?", "answer": "3 times 500 is <<3*500=1500>>1500.\n#### 1,500"}]
    publish("openai/gsm8k", "main", "test", rows)
    assert load("gsm8k")[0].answer == "1500"


def test_s1_answer_is_what_the_solution_boxes(publish: Publish) -> None:
    rows: Rows = [
        {"question": "First?", "solution": "So $\\boxed{\\frac{1}{2}}$.", "source_type": "a", "cot_type": "math"},
        {"question": "Second?", "solution": "A proof.", "source_type": "b", "cot_type": "math"},
    ]
    publish("simplescaling/s1K-1.1", "default", "train", rows)
    assert [problem.answer for problem in load("s1")] == ["\\frac{1}{2}", "A proof."]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"answer": None}, "row 2: answer is empty"), ({"answer": "no mark"}, "row 2: answer has no ####")],
)
def test_a_row_that_does_not_read_is_named(publish: Publish, change: Mapping[str, Any], message: str) -> None:
    good = {"question": "How many?", "answer": "#### 1"}
    publish("openai/gsm8k", "main", "test", [good, good | change])
    with pytest.raises(InputError, match=message):
        load("gsm8k")


def test_a_changed_schema_is_named(publish: Publish) -> None:
    publish("HuggingFaceH4/MATH-500", "default", "test", [{"question": "?", "answer": "1"}])
    with pytest.raises(InputError, match="no column 'problem'; it has question, answer"):
        load("math500")


def test_offline_without_a_copy_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.delenv(COPIES, raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="cannot be reached and the cache has no copy; download it") as caught:
        load("math500")
    assert "\n" not in str(caught.value)


def test_a_copy_that_was_changed_is_read_as_it_stands(publish: Publish) -> None:
    rows: Rows = [{"question": "How many?", "answer": "#### 1"}]
    publish("openai/gsm8k", "main", "test", rows)
    assert load("gsm8k")[0].question == "How many?"
    publish("openai/gsm8k", "main", "test", [{"question": "How much?", "answer": "#### 1"}])
    assert load("gsm8k")[0].question == "How much?"


def test_a_copy_has_no_other_revision(publish: Publish) -> None:
    publish("openai/gsm8k", "main", "test", [{"question": "How many?", "answer": "#### 1"}])
    with pytest.raises(InputError, match=r"is a copy and has no revision 'abc'; leave it out, or unset"):
        load("gsm8k", revision="abc")


def test_a_hub_that_is_not_there_is_one_line_and_nothing_else(tmp_path: Path) -> None:
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    kept = {name: value for name, value in os.environ.items() if name != COPIES}
    impatient = "import time; time.sleep = lambda seconds: None; from atts.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", impatient, "run", "aime24", "--out", str(tmp_path / "run")],
        env=kept | closed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be reached" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_every_hub_source_says_where_it_comes_from_and_suits_a_rule_and_a_grader() -> None:
    for name, source in SOURCES.builtin.items():
        assert source.splits, name
        assert set(source.parts) in (set(), set(source.splits)), name
        assert source.licence in source.line and source.origin in source.line and source.describe in source.line
        assert source.size is None or f"{source.size:,} problems" in source.line
