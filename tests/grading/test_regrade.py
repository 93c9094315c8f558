"""Grading again: what is graded, what is kept apart, and that nothing is overwritten or held up."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import numpy as np
import pytest

from atts.errors import InputError
from atts.grading import extract as answers
from atts.grading import regrade as grading
from atts.grading.judge import Judge, JudgeSettings
from atts.grading.rules import Grader, Numeric
from atts.store.folder import RunFolder
from atts.types import Problem, Status
from tests.recorded import MakeRun, chain

PROBLEMS = [Problem("a", "1 + 1?", "2"), Problem("b", "2 + 2?", "4")]


@pytest.fixture
def run(make_run: MakeRun) -> RunFolder:
    return make_run(
        PROBLEMS,
        [
            chain("a", 0, "So \\boxed{2}", "2"),
            chain("a", 1, "So \\boxed{3}. No.\n#### 2", "3"),
            chain("a", 2, "", None, Status.ERROR),
            chain("b", 0, "<think>\\boxed{4}", "4"),
            chain("b", 1, "I give up", None),
            chain("b", 2, "\\boxed{}", ""),
        ],
    )


async def graded(run: RunFolder, rule: str | None = None, name: str = "again") -> grading.Grading:
    extract = answers.extractor(rule) if rule else None
    return await grading.grade(run, grading.ByRule(Numeric(), extract), name=name, how={"rule": rule})


async def test_recorded_answers_are_graded_as_they_stand(run: RunFolder) -> None:
    found = await graded(run)
    said = {key: verdict.correct for key, verdict in found.verdicts.items()}
    assert said == {("a", 0): True, ("a", 1): False, ("a", 2): None, ("b", 0): True, ("b", 1): False, ("b", 2): False}
    assert found.verdicts["a", 2].reason == "the chain ended with error"
    assert found.verdicts["b", 2].answer is None


async def test_another_rule_finds_other_answers(run: RunFolder) -> None:
    before, after = await graded(run), await graded(run, "hashes")
    comparison = grading.compare(PROBLEMS, before, after, str)
    changed = {(c.after.problem, c.after.sample): (c.before.correct, c.after.correct) for c in comparison.changes}
    assert changed == {("a", 1): (False, True), ("b", 0): (True, False)}
    assert comparison.disagreements == 2
    assert comparison.difference.value == pytest.approx((1 / 2 - 1 / 3) / 2)


async def test_figures_count_the_ungraded_apart(run: RunFolder) -> None:
    figures = grading.figures(PROBLEMS, await graded(run), str)
    assert (figures["chains"], figures["answered"], figures["correct"], figures["ungraded"]) == (6, 3, 2, 1)
    assert figures["reasons"] == {"the chain ended with error": 1}
    assert figures["accuracy"]["pass@1"]["value"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert figures["accuracy"]["pass@k"]["questions"] == 1


async def test_answers_that_mean_the_same_vote_together(make_run: MakeRun) -> None:
    texts = ["1/2", "0.5", "7", "7.0", "\\frac12"]
    run = await asyncio.to_thread(
        make_run, [Problem("a", "?", "0.5")], [chain("a", i, "", text) for i, text in enumerate(texts)]
    )
    found = await grading.grade(run, grading.ByRule(Numeric()), name="x", how={})
    table = grading.outcomes([Problem("a", "?", "0.5")], found, Numeric().key)
    assert table.votes.tolist() == [[0, 0, 1, 1, 0]]


def test_gradings_are_saved_whole_and_never_overwritten(run: RunFolder) -> None:
    found = asyncio.run(graded(run))
    path = grading.save(run.path, found)
    content = path.read_bytes()
    assert grading.read(run.path, "again").verdicts == found.verdicts
    with pytest.raises(InputError, match="never overwritten"):
        grading.save(run.path, asyncio.run(graded(run, "hashes")))
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["again.jsonl"]
    assert grading.free_name(run.path, "again") == "again-2"
    with pytest.raises(InputError, match=r"there is no grading 'other' of .*; there are: again"):
        grading.read(run.path, "other")
    path.write_text("{}\n[1]\n")
    with pytest.raises(InputError, match="damaged"):
        grading.read(run.path, "again")


@pytest.mark.parametrize("answer", ["1\u20282", "1\x852", "1\u20292\x1c", "\ud835"])
def test_a_grading_comes_back_whatever_an_answer_holds(run: RunFolder, answer: str) -> None:
    found = grading.Grading("odd", {"grader": "exact"}, {("a", 0): grading.Verdict("a", 0, answer, True, "", answer)})
    grading.save(run.path, found)
    assert grading.read(run.path, "odd") == found


def test_a_grading_written_as_plain_text_is_read(run: RunFolder) -> None:
    path = grading.path_of(run.path, "older")
    path.parent.mkdir()
    row = {
        "kind": "verdict",
        "problem": "a",
        "sample": 0,
        "answer": "1\u20282",
        "correct": True,
        "reason": "",
        "raw": None,
    }
    path.write_text('{"kind": "grading"}\n' + json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert grading.read(run.path, "older").verdicts["a", 0].answer == "1\u20282"


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_a_name_is_a_plain_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="grading name"):
        grading.path_of(tmp_path, name)


async def test_a_chain_of_no_problem_is_an_error(make_run: MakeRun) -> None:
    run = await asyncio.to_thread(make_run, PROBLEMS, [chain("c", 0, "", "1")])
    with pytest.raises(InputError, match="problem 'c'"):
        await graded(run)


def test_texts_that_begin_inside_thinking_are_recognised() -> None:
    assert not grading.begins_in_thinking([chain("a", 0, "<think>x</think> 3", "3"), chain("a", 1, "y", None)])
    assert grading.begins_in_thinking([chain("a", 0, "y", None), chain("a", 1, "x</think> 3", "3")])


class Slow(Grader):
    """A grader that takes its time, as math-verify does."""

    describe = "slow"

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        time.sleep(0.002)
        return True


async def test_the_event_loop_stays_free(make_run: MakeRun) -> None:
    run = await asyncio.to_thread(
        make_run, PROBLEMS[:1], [chain("a", i, "text " * 1000 + f"\\boxed{{{i}}}", "1") for i in range(600)]
    )
    gaps: list[float] = []

    async def watch() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - begun)

    watcher = asyncio.create_task(watch())
    await grading.grade(run, grading.ByRule(Slow(), answers.extractor()), name="x", how={})
    watcher.cancel()
    # On the loop, grading would leave none or few rounds; single long ones may be the machine's.
    assert len(gaps) > 100
    assert np.median(gaps) < 0.05


async def test_a_judge_is_asked_about_answers_only(run: RunFolder, openai_server: object, tmp_path: Path) -> None:
    def script(body: dict[str, object], number: int) -> object:
        text = str(body["messages"])
        said = "Verdict: correct" if "<answer>\\n2\\n</answer>" in text else "nonsense"
        return openai_server.says(said)  # type: ignore[attr-defined]

    openai_server.script = script  # type: ignore[attr-defined]
    settings = JudgeSettings("judge-1", openai_server.url, tmp_path / "cache")  # type: ignore[attr-defined]
    judge = Judge(settings)
    found = await grading.grade(run, grading.ByJudge(judge), name="judged", how={})
    await judge.close()
    assert judge.requests == 3
    assert found.verdicts["a", 0].correct is True and found.verdicts["a", 0].raw == "Verdict: correct"
    assert found.verdicts["a", 1].correct is None and found.verdicts["a", 1].reason == "malformed reply"
    assert found.verdicts["b", 1].correct is False and found.verdicts["b", 1].raw is None


async def test_a_judge_may_extract_while_a_rule_grades(run: RunFolder, openai_server: object, tmp_path: Path) -> None:
    openai_server.script = lambda body, number: openai_server.says("Answer: 4")  # type: ignore[attr-defined]
    judge = Judge(JudgeSettings("judge-1", openai_server.url, tmp_path / "cache"))  # type: ignore[attr-defined]
    method = grading.ByJudge(judge, extracts=True, grader=Numeric())
    found = await grading.grade(run, method, name="judged", how={})
    await judge.close()
    assert found.verdicts["b", 1].correct is True
    assert found.verdicts["a", 0].correct is False
    assert found.verdicts["b", 0].answer is None  # still thinking: nobody is asked
    assert found.verdicts["b", 1].extraction == "Answer: 4" and found.verdicts["b", 1].raw is None


async def test_both_replies_are_kept_where_a_judge_extracts_and_grades(
    run: RunFolder, openai_server: object, tmp_path: Path
) -> None:
    def script(body: dict[str, object], number: int) -> object:
        extracts = "copy out" in str(body["messages"])
        return openai_server.says("Answer: 4" if extracts else "Verdict: incorrect")  # type: ignore[attr-defined]

    openai_server.script = script  # type: ignore[attr-defined]
    judge = Judge(JudgeSettings("judge-1", openai_server.url, tmp_path / "cache"))  # type: ignore[attr-defined]
    found = await grading.grade(run, grading.ByJudge(judge, extracts=True), name="judged", how={})
    await judge.close()
    verdict = found.verdicts["b", 1]
    assert (verdict.answer, verdict.extraction, verdict.raw) == ("4", "Answer: 4", "Verdict: incorrect")
