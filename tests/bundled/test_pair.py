"""The shipped folders: whole, small, loadable by plain transformers, and able to solve problems."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from atts.bundled import DRAFT, TARGET, verify
from atts.bundled.family import BLANK_LINE, problems, solution
from atts.errors import InputError

FOLDERS = (DRAFT, TARGET)
FILES = {
    "README.md",
    "SHA256SUMS",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are fastest on one thread, by far when other processes want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(TARGET)


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def greedy(model: Any, tokenizer: Any, questions: list[str]) -> list[str]:
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False)
        for text in questions
    ]
    batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    mask = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    out = model.generate(**mask, do_sample=False, max_new_tokens=200)
    written = out[:, batch.input_ids.shape[1] :]
    return [str(text) for text in tokenizer.batch_decode(written, skip_special_tokens=True)]


def test_check_sums_hold() -> None:
    verify()
    for folder in FOLDERS:
        assert {path.name for path in folder.iterdir()} == FILES
        listed = {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
        assert listed == FILES - {"SHA256SUMS"}


@pytest.mark.parametrize("harm", ["changed", "missing", "no sums"])
def test_damage_is_found(tmp_path: Path, harm: str) -> None:
    folder = shutil.copytree(DRAFT, tmp_path / "draft")
    name = {"changed": "config.json", "missing": "tokenizer.json", "no sums": "SHA256SUMS"}[harm]
    if harm == "changed":
        (folder / name).write_text((folder / name).read_text() + " ")
    else:
        (folder / name).unlink()
    with pytest.raises(InputError, match=name) as caught:
        verify(folder)
    assert "\n" not in str(caught.value)


def test_the_pair_is_small_and_readable() -> None:
    paths = [path for folder in FOLDERS for path in folder.iterdir()]
    assert sum(path.stat().st_size for path in paths) < 10_000_000
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in paths)


def test_the_folders_share_one_vocabulary() -> None:
    for name in TOKENIZER_FILES:
        assert (DRAFT / name).read_bytes() == (TARGET / name).read_bytes()
    vocabulary = len(AutoTokenizer.from_pretrained(DRAFT))
    for folder in FOLDERS:
        assert json.loads((folder / "config.json").read_text())["vocab_size"] == vocabulary


def test_the_draft_is_at_most_a_third_of_the_target() -> None:
    draft, target = (sum(p.numel() for p in load(folder).parameters()) for folder in FOLDERS)
    assert draft <= target / 3


def test_files_have_the_portable_form() -> None:
    for folder in FOLDERS:
        config = json.loads((folder / "config.json").read_text())
        assert {"rope_theta", "torch_dtype", "head_dim"} <= config.keys()
        tokenizer_config = json.loads((folder / "tokenizer_config.json").read_text())
        assert tokenizer_config["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert all(isinstance(tokenizer_config[name], str) for name in ("eos_token", "pad_token", "chat_template"))


@pytest.mark.parametrize("text", ["63-48=15.\n\n", "Wait, he buys 7", " naïve ½ 漢字 🙂\n\n\n", "", "\t a  b\r\n"])
def test_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


def test_digits_and_the_blank_line_are_single_tokens(tokenizer: Any) -> None:
    for text in (*"0123456789", BLANK_LINE):
        assert len(tokenizer(text, add_special_tokens=False).input_ids) == 1
    assert len(tokenizer("1234", add_special_tokens=False).input_ids) == 4


def test_lines_tokenised_apart_are_the_whole(tokenizer: Any) -> None:
    text = solution(problems("test", 1)[0])
    lines = [line + BLANK_LINE for line in text.split(BLANK_LINE)]
    apart = [id_ for line in lines for id_ in tokenizer(line, add_special_tokens=False).input_ids]
    assert apart == tokenizer("".join(lines), add_special_tokens=False).input_ids


@pytest.mark.parametrize("content", ["Leo has 63.\n\n", "  He buys", "", "He buys 3\n"])
def test_a_final_message_is_continued_exactly(tokenizer: Any, content: str) -> None:
    messages = [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Leo has 63 coins. "}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert prompt == "<|system|> Be brief. <|end|><|user|>Leo has 63 coins. <|end|><|assistant|>"
    whole = tokenizer.apply_chat_template([*messages, {"role": "assistant", "content": content}], tokenize=False)
    assert whole == prompt + content + "<|end|>"


def test_transformers_continues_a_final_message(tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "Leo has 63.\n\n"}]
    text = tokenizer.apply_chat_template(messages, continue_final_message=True, tokenize=False)
    assert text == "<|user|>Q<|end|><|assistant|>Leo has 63.\n\n"


def test_an_unknown_role_is_refused(tokenizer: Any) -> None:
    with pytest.raises(Exception, match="the roles are"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_the_target_solves_problems(tokenizer: Any) -> None:
    chosen = problems("test", 8, seed=11)
    written = greedy(load(TARGET), tokenizer, [problem.question for problem in chosen])
    assert sum(text == solution(problem) for text, problem in zip(written, chosen, strict=True)) >= 7


def test_the_draft_writes_the_form(tokenizer: Any) -> None:
    problem = problems("test", 1, seed=11)[0]
    written, right = greedy(load(DRAFT), tokenizer, [problem.question])[0], solution(problem)
    assert written.split(BLANK_LINE)[0] == right.split(BLANK_LINE)[0]
    assert r"\boxed{" in written.split(BLANK_LINE)[-1]
