"""The judge against a real server: verdicts, malformed replies, failures, and a cache that asks nothing twice."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from atts.errors import InputError
from atts.grading.judge import Judge, JudgeSettings
from atts.types import Problem

PROBLEM = Problem("p", "What is 1 + 1?", "2")


@pytest.fixture
def settings(openai_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JudgeSettings:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    return JudgeSettings("judge-1", openai_server.url, tmp_path / "cache", first_wait=0.01, timeout=60.0, attempts=3)


async def judged(settings: JudgeSettings, *answers: str) -> tuple[list[Any], Judge]:
    judge = Judge(settings)
    try:
        return await asyncio.gather(*(judge.judge(answer, PROBLEM) for answer in answers)), judge
    finally:
        await judge.close()


async def test_it_sees_one_answer_and_the_known_one(openai_server: Any, settings: JudgeSettings) -> None:
    def script(body: dict[str, Any], number: int) -> web.StreamResponse:
        right = "<answer>\ntwo\n</answer>" in body["messages"][1]["content"]
        return openai_server.says(
            f"They {'agree' if right else 'differ'}.\n**Verdict: {'' if right else 'in'}correct**"
        )

    openai_server.script = script
    verdicts, _ = await judged(settings, "two", "three")
    assert [verdict.correct for verdict in verdicts] == [True, False]
    assert verdicts[0].raw == "They agree.\n**Verdict: correct**"
    for body in openai_server.bodies:
        content = body["messages"][1]["content"]
        assert "Known answer: 2" in content and "What is 1 + 1?" in content
        assert ("two" in content) != ("three" in content)
        assert body["model"] == "judge-1" and body["temperature"] == 0


@pytest.mark.parametrize(
    "content", ["Match", "Verdict: perhaps", "Verdict: correct\nBut wait.", "correct", "Verdict: not correct", "}{"]
)
async def test_a_malformed_reply_is_no_verdict(openai_server: Any, settings: JudgeSettings, content: str) -> None:
    openai_server.script = lambda body, number: openai_server.says(content)
    verdicts, _ = await judged(settings, "two")
    assert verdicts[0] == (None, "malformed reply", content)


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{"message": {"content": None}}]}])
async def test_a_reply_that_is_no_completion_is_no_verdict(
    openai_server: Any, settings: JudgeSettings, body: dict[str, Any]
) -> None:
    openai_server.script = lambda request, number: web.json_response(body)
    verdicts, _ = await judged(settings, "two")
    assert verdicts[0].correct is None and verdicts[0].raw is None and verdicts[0].reason


async def test_the_second_run_asks_nothing(openai_server: Any, settings: JudgeSettings) -> None:
    openai_server.script = lambda body, number: openai_server.says(f"Verdict: {['in', ''][number % 2]}correct")
    first, judge = await judged(settings, "two", "three")
    assert judge.requests == 2
    second, again = await judged(settings, "two", "three")
    assert sorted(second, key=str) == sorted(first, key=str)
    assert (again.requests, again.cached, len(openai_server.bodies)) == (0, 2, 2)
    other, third = await judged(JudgeSettings("judge-2", settings.base_url, settings.cache), "two")
    assert third.requests == 1 and other[0].correct is not None


async def test_an_unclear_reply_is_asked_for_again(openai_server: Any, settings: JudgeSettings) -> None:
    openai_server.script = lambda body, number: openai_server.says("what?")
    verdicts, judge = await judged(settings, "two", "two")
    assert [verdict.reason for verdict in verdicts] == ["malformed reply"] * 2
    assert (judge.requests, judge.failed) == (1, 0)
    openai_server.script = lambda body, number: openai_server.says("Verdict: correct")
    verdicts, again = await judged(settings, "two")
    assert verdicts[0].correct is True and (again.requests, again.cached) == (1, 0)


async def test_another_server_is_asked_for_itself(openai_server: Any, settings: JudgeSettings) -> None:
    await judged(settings, "two")
    elsewhere = settings.base_url.replace("127.0.0.1", "localhost")
    _, judge = await judged(replace(settings, base_url=elsewhere), "two")
    assert (judge.requests, judge.cached) == (1, 0)
    _, judge = await judged(replace(settings, base_url=settings.base_url + "/"), "two")
    assert (judge.requests, judge.cached) == (0, 1)
    secret = replace(settings, base_url="https://me:word@example.org/v1/?token=abc")
    assert secret.server == "https://example.org/v1"


async def test_a_reply_that_thinking_used_up_is_said_to_be_cut(openai_server: Any, settings: JudgeSettings) -> None:
    message = {"content": None, "reasoning_content": "Hm"}
    body = {"choices": [{"message": message, "finish_reason": "length"}]}
    openai_server.script = lambda request, number: web.json_response(body)
    verdicts, judge = await judged(replace(settings, max_tokens=100), "two")
    assert verdicts[0].reason == judge.failure == "the judge's reply is empty, cut at --max-tokens"
    assert openai_server.bodies[-1]["max_tokens"] == 100


async def test_half_a_character_in_a_reply_is_kept(openai_server: Any, settings: JudgeSettings) -> None:
    content = "so \ud835\u2028!\nVerdict: correct"
    openai_server.script = lambda body, number: web.json_response({"choices": [{"message": {"content": content}}]})
    for _ in range(2):
        verdicts, _ = await judged(settings, "two")
        assert verdicts[0] == (True, "", content)
    assert len(openai_server.bodies) == 1


async def test_what_gets_no_reply_is_counted(settings: JudgeSettings) -> None:
    nobody = replace(settings, base_url="http://127.0.0.1:9/v1", concurrency=1, attempts=1)
    verdicts, judge = await judged(nobody, "one", "two", "three")
    assert [verdict.correct for verdict in verdicts] == [None] * 3
    assert judge.failed == 3 and "cannot connect" in judge.failure


async def test_equal_answers_are_asked_once(openai_server: Any, settings: JudgeSettings) -> None:
    verdicts, judge = await judged(settings, *["two"] * 50)
    assert judge.requests == 1
    assert all(verdict.correct for verdict in verdicts)


async def test_refusals_and_silence_are_tried_again(openai_server: Any, settings: JudgeSettings) -> None:
    async def slow() -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.json_response({})

    def script(body: dict[str, Any], number: int) -> Any:
        if number == 0:
            return web.Response(status=429, headers={"Retry-After": "0.05"})
        return slow() if number == 1 else openai_server.says("Verdict: correct")

    openai_server.script = script
    patient = JudgeSettings(**{**plain(settings), "timeout": 2.0, "attempts": 8})
    verdicts, _ = await judged(patient, "two")
    assert verdicts[0].correct is True
    assert len(openai_server.bodies) >= 3  # more, if the machine sleeps for longer than the time-out


def plain(settings: JudgeSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


async def test_a_failure_is_reported_and_not_cached(openai_server: Any, settings: JudgeSettings) -> None:
    openai_server.script = lambda body, number: web.Response(status=500, text="out of order")
    verdicts, _ = await judged(settings, "two")
    assert verdicts[0].correct is None and "500 out of order" in verdicts[0].reason
    openai_server.script = lambda body, number: openai_server.says("Verdict: correct")
    verdicts, judge = await judged(settings, "two")
    assert verdicts[0].correct is True and judge.requests == 1


async def test_a_refused_key_ends_all_asking(openai_server: Any, settings: JudgeSettings) -> None:
    openai_server.script = lambda body, number: web.Response(status=401, text="bad key")
    settings = JudgeSettings(**{**plain(settings), "concurrency": 1})
    verdicts, _ = await judged(settings, *map(str, range(30)))
    assert all(verdict.correct is None and "401 bad key" in verdict.reason for verdict in verdicts)
    assert len(openai_server.bodies) <= 30
    verdicts, judge = await judged(settings, "another")
    assert judge.requests == 1


def cached(settings: JudgeSettings) -> list[str]:
    return [path.read_text() for path in settings.cache.rglob("*.json")]


async def test_the_key_stands_nowhere(settings: JudgeSettings) -> None:
    await judged(settings, "two")
    written = cached(settings)
    assert written and not any("sk-secret" in text for text in written)
    assert "sk-secret" not in repr(settings)
    assert json.loads(written[0])["reply"] == "Verdict: correct"


async def test_options_that_a_server_refuses_are_adapted(openai_server: Any, settings: JudgeSettings) -> None:
    def script(body: dict[str, Any], number: int) -> web.StreamResponse:
        for name in ("max_tokens", "temperature"):
            if name in body:
                return web.Response(status=400, text=f"Unsupported parameter: '{name}'")
        return openai_server.says("Verdict: incorrect")

    openai_server.script = script
    verdicts, _ = await judged(settings, "two")
    assert verdicts[0].correct is False
    assert openai_server.bodies[-1]["max_completion_tokens"] == settings.max_tokens


@pytest.mark.parametrize(
    ("content", "answer", "failed"),
    [
        ("It says so.\nAnswer: 42", "42", ""),
        ("**Answer:** \\frac{1}{2}", "\\frac{1}{2}", ""),
        ("Answer: none", None, ""),
        ("Answer: a\u2028b", "a\u2028b", ""),
        ("The answer might be 42", None, "malformed reply"),
    ],
)
async def test_extraction(
    openai_server: Any, settings: JudgeSettings, content: str, answer: str | None, failed: str
) -> None:
    openai_server.script = lambda body, number: openai_server.says(content)
    judge = Judge(settings)
    found = await judge.extract("long text", PROBLEM)
    await judge.close()
    assert (found.answer, found.failed, found.raw) == (answer, failed, content)


async def test_without_asking_only_the_cache_answers(openai_server: Any, settings: JudgeSettings) -> None:
    await judged(settings, "two")
    verdicts, judge = await judged(JudgeSettings(**{**plain(settings), "asking": False}), "two", "three")
    assert [verdict.correct for verdict in verdicts] == [True, None]
    assert verdicts[1].reason == "not asked" and judge.requests == 0


def test_a_key_is_needed_for_the_server_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        JudgeSettings.of("judge-1")
    assert JudgeSettings.of("judge-1", base_url="http://127.0.0.1:9/v1").model == "judge-1"
