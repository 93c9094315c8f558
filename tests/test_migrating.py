"""The page for those who come from the paper's code is whole, and what it tells them to write works."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from atts.cli import COMMANDS
from atts.config.run import resolve
from atts.runs.suite import read_suite

PAGE = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)

_NAMES = """
launch_sglang_servers.sh precompile_kernels.sh ATTS.ref_conformal suite_conformal.sh
ATTS.ref_conformal_per_question suite_conformal_per_question.sh ATTS.ref_async suite_async.sh
ATTS.ref_async_per_question suite_async_per_question.sh ATTS.re_extract re_extract_answer.sh anyone_check
ATTS.baseline ATTS.ref_async_fix_budget ref_sync_fix_budget profiling_ ATTS.ref_async_budget_prediction
ref_async_budget_prediction_per_question specreason/ speculative_thinking/ ATTS.ref_async_self
ref_conformal_self SGLANG_HOST SMALL_MODEL_PORT EVAL_MODEL_PORT SMALL_MODEL_DEVICE EVAL_MODEL_DEVICES
SAMPLE_SIZE DEFAULT_TURNS SMALL_MODEL_MAX_TOKENS EVAL_MODEL_MAX_TOKENS SMALL_MODEL_TEMPERATURE
SMALL_MODEL_CONFORMAL_TEMPERATURE EVAL_MODEL_TEMPERATURE USE_EVAL_CHAT_TEMPLATE SMALL_MODEL_CONCURRENCY
EVAL_MODEL_CONCURRENCY MAX_RETRIES EXTRACT_MODE OPENAI_API_KEY OPENAI_BASE_URL OPENAI_MODEL --input_dir
--dataset_name --repeats --concurrency --dry_run --ppl_array_path --output_dir aime24 aime25 amc math500
olympiad gpqa gsm8k s1 ppls_*.npy problem_0000.json problem_index final_answer duration_seconds question
full_history eval_ppl percentile eval_generate small_model.pid eval_model.pid
"""


@pytest.mark.parametrize("name", _NAMES.split())
def test_every_name_has_its_place(name: str) -> None:
    assert name in PAGE


def test_the_suite_of_the_page(tmp_path: Path) -> None:
    file = tmp_path / "official.toml"
    file.write_text(BLOCKS[0], encoding="utf-8")
    first, second = read_suite(file, tmp_path)
    config = first.config
    assert (config.samples, config.turns, config.draft_tokens, config.target_tokens) == (16, 15, 500, 500)
    assert (config.draft_temperature, config.target_temperature) == (0.8, 0.8)
    assert (config.draft_slots, config.score_slots, config.takeover_slots) == (16, 4, 4)
    assert config.rate == 0.4 and config.prompt == "reference" and config.on_reject == "continue"
    assert first.calibrate is not None and first.calibrate.turns == 1
    assert first.servers == second.servers and first.servers is not None
    assert first.servers.target_model == "Qwen/QwQ-32B"


def test_the_run_file_of_the_page(tmp_path: Path) -> None:
    config = resolve(options=tomllib.loads(BLOCKS[1]))
    assert config.calibration == "math500.json"
    assert resolve(options=tomllib.loads(config.as_toml())) == config


def test_commands_of_the_page_exist() -> None:
    assert set(re.findall(r"(?:`|^    )atts ([a-z]+)", PAGE, flags=re.MULTILINE)) <= set(COMMANDS)
