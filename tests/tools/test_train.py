"""The training program: what it learns from, and that a killed run goes on as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tools.train.corpus import UNLEARNT, Mixture, back, batches, invent
from tools.train.recipe import DRAFT as DRAFT_RECIPE
from tools.train.recipe import TARGET as TARGET_RECIPE
from tools.train.tokenizer import END, PAD
from tools.train.train import main

from atts.bundled import DRAFT, verify
from atts.bundled.family import BLANK_LINE, draw, parse, split_of

# A few thousand tokens, and a checkpoint every third step.
TRIAL = ("--scale", "0.002", "--checkpoint-steps", "3")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(DRAFT / "tokenizer.json"))


def command(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "tools.train.train", "--out", str(out), *TRIAL, *more]


def weights(out: Path) -> list[bytes]:
    return [(out / name / "model.safetensors").read_bytes() for name in ("draft", "target")]


def kill_when(process: subprocess.Popen[str], path: Path) -> None:
    """Kill the process as soon as the file exists."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    assert main(["--out", str(whole), *TRIAL]) == 0
    for name in ("draft.pt", "target.pt"):
        process = subprocess.Popen(command(torn, "--resume"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        kill_when(process, torn / "checkpoints" / name)
    assert not (torn / "target" / "model.safetensors").exists()
    assert main(["--out", str(torn), *TRIAL, "--resume"]) == 0
    assert "min left" in capsys.readouterr().out
    assert weights(torn) == weights(whole)
    verify(torn / "draft", torn / "target")
    assert main(["--out", str(torn), "--resume", "--scale", "0.003"]) == 2
    assert "begun with another recipe or scale" in capsys.readouterr().err


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "draft.pt").touch()
    assert main(["--out", str(tmp_path)]) == 2
    assert "add --resume" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--scale", "0"), ("--scale", "1.5"), ("--checkpoint-steps", "0")])
def test_bad_options_are_refused(tmp_path: Path, option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new"
    assert main(["--out", str(out), *option]) == 2
    assert capsys.readouterr().err.startswith(f"error: {option[0]}")
    assert not out.exists()


def test_samples_come_from_the_training_split_and_lose_only_on_what_is_right(tokenizer: Tokenizer) -> None:
    mixture = Mixture(planted=0.5, own=0.0, take_back=True)
    waits = 0
    for batch in batches(tokenizer, mixture, {}, "test", rows=32, block=0):
        for ids, labels in zip(batch.ids.tolist(), batch.labels.tolist(), strict=True):
            prompt, answer = tokenizer.decode([i for i in ids if i != PAD], skip_special_tokens=False).split(
                "<|assistant|>"
            )
            question = prompt.split("<|user|>")[1].removesuffix("<|end|>")
            assert split_of(question) == "train"
            lines = parse(question).lines()
            learnt = tokenizer.decode([i for i in labels if i not in (UNLEARNT, END)]).strip("\n").split(BLANK_LINE)
            assert set(learnt) <= {*lines, *map(back, lines)}
            assert [line.removeprefix("Wait, ").lower() for line in learnt] != []
            assert answer.removesuffix("<|end|>").endswith(f"\\boxed{{{parse(question).answer}}}.")
            waits += answer.count("Wait, ")
    assert waits > 50


def test_the_same_block_is_the_same(tokenizer: Tokenizer) -> None:
    mixture = Mixture(planted=0.5, own=0.0, take_back=True)
    first, again, other = (batches(tokenizer, mixture, {}, "test", 32, block)[0].ids.tolist() for block in (4, 4, 5))
    assert first == again != other


def test_invented_lines_are_wrong_ones() -> None:
    rng = random.Random(0)
    for _ in range(300):
        story = draw(rng, rng.randint(1, 8))
        index = rng.randrange(len(story.operations) + 2)
        assert invent(rng, story, index) != story.lines()[index]


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    for recipe in (DRAFT_RECIPE, TARGET_RECIPE):
        factors = [recipe.factor(recipe.tokens * share // 100) for share in range(101)]
        assert factors[0] < 0.2
        assert max(factors) == 1.0
        assert factors[-1] == 0.0
        fall = factors[factors.index(1.0) :]
        assert fall == sorted(fall, reverse=True)
