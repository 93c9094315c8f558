"""How many chains have an answer, by which way, and what is said where hardly any has one."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atts.config.run import resolve
from atts.engines import open_engine
from atts.grading.extract import extractor
from atts.results.loaded import load_run
from atts.results.outline import outline
from atts.runs.answered import Answered
from atts.runs.runner import Run
from atts.runs.setup import are_numbers, prepare
from atts.testing import serve
from atts.testing.vllm import VllmServer
from atts.types import Chain, Problem, Status
from tests.recorded import chain


def ended(text: str, answer: str | None, status: Status = Status.DONE) -> Chain:
    return chain("p", 0, text, answer, status)


def test_ways_are_counted() -> None:
    answered = Answered("auto", extractor("auto"))
    for text in ("\\boxed{1}", "#### 1", "The answer is 1.", "The answer is 1.", "nothing"):
        answered.chain(ended(text, extractor("auto")(text)))
    answered.chain(ended("", None, Status.ERROR))
    ways = {"box": 1, "####": 1, "stated": 2}
    assert answered.figures() == {"rule": "auto", "finished": 5, "found": 4, "ways": ways}
    assert not list(answered.warnings())


def test_a_rule_with_one_way_has_no_ways() -> None:
    answered = Answered("boxed", extractor("boxed"))
    answered.chain(ended("\\boxed{1}", "1"))
    assert answered.figures()["ways"] == {}


def test_hardly_any_answer_is_told_with_the_rule_and_an_end_of_text() -> None:
    answered = Answered("boxed", extractor("boxed"))
    for _ in range(20):
        answered.chain(ended("So it is\n42, I think.", None))
    answered.chain(ended("\\boxed{1}", "1"))
    [told] = answered.warnings()
    assert told.startswith("1 of 21 finished chains have an answer that rule boxed finds; one text ends: ")
    assert "So it is 42, I think." in told


def test_chains_that_were_cut_short_are_told_with_their_reasons_and_blame_no_rule() -> None:
    answered = Answered("boxed", extractor("boxed"))
    for reason in ("content_filter", "context", "content_filter", "tool_calls"):
        answered.chain(replace(ended("So far", None), reason=reason))
    answered.chain(replace(ended("\\boxed{1}", "1"), reason="content_filter"))
    for _ in range(7):
        answered.chain(ended("no box", None))
    told = "were cut short before they had an answer, and count as wrong: content_filter 2, context 1, tool_calls 1"
    assert list(answered.warnings()) == [f"4 of 12 finished chains {told}"]


async def test_a_run_whose_server_withholds_texts_says_so(tmp_path: Path) -> None:
    class Withheld(VllmServer):
        async def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
            answer = await super()._complete(body)
            return answer | {"choices": [answer["choices"][0] | {"finish_reason": "content_filter"}]}

    async with serve("vllm", open_engine("scripted:7"), make_server=Withheld) as server:
        own = {"draft": f"vllm:{server.url}", "strategy": "draft-only", "chunk": "step", "check": False}
        config = resolve(options={"limit": 2, "samples": 2, **own})
        summary = await Run(prepare(config), tmp_path / "run").execute()
    assert "4 of 4 finished chains were cut short" in summary["warnings"][-1]


def test_few_chains_say_nothing() -> None:
    answered = Answered("boxed", extractor("boxed"))
    answered.chain(ended("no", None))
    assert not list(answered.warnings())


@pytest.mark.parametrize(("answers", "numbers"), [(["1", "1/2", "5 cm"], True), (["1", "Paris"], False)])
def test_the_last_number_is_for_data_whose_answers_are_numbers(answers: list[str], numbers: bool) -> None:
    assert are_numbers([Problem(str(n), "?", answer) for n, answer in enumerate(answers)]) is numbers


def test_a_run_on_a_file_of_ones_own_uses_auto_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps({"question": f"{n} + 1?", "answer": n + 1}) + "\n" for n in range(5)))
    engines = {"draft": "scripted:7", "target": "scripted:1"}
    config = resolve(options={"problems": str(file), "samples": 2, "answer": "boxed", **engines})
    assert prepare(resolve(options={"problems": str(file), **engines})).rule == "auto"
    summary = asyncio.run(Run(prepare(config), tmp_path / "run").execute())
    assert summary["answers"]["rule"] == "boxed"
    assert summary["answers"]["finished"] == summary["chains"]["done"]
    assert load_run(tmp_path / "run").summary["answers"] == summary["answers"]


def test_the_outline_says_by_which_way_answers_were_found(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps({"question": "1 + 1?", "answer": 2}) + "\n")
    config = resolve(options={"problems": str(file), "samples": 2, "draft": "scripted:1", "target": "scripted:1"})
    summary = asyncio.run(Run(prepare(config), tmp_path / "run").execute())
    assert summary["answers"]["ways"]
    summary["answers"]["ways"] = {"stated": 1, "box": 1200}
    assert dict(outline(summary))["answers found by"] == "box 1,200, stated 1"
    summary["answers"]["ways"] = {}
    assert "answers found by" not in dict(outline(summary))
