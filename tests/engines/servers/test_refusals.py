"""What refusals mean: a full context in the words of every server, and what only sounds like it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from atts.engines.servers.refusal import HttpError, refusal
from atts.errors import EngineError, NoRoomError, ScoreError

FULL = [
    (400, "This model's maximum context length is 8192 tokens. However, you requested 8203 tokens"),  # OpenAI, vLLM
    (400, '{"error":{"code":"context_length_exceeded","message":"too long"}}'),
    (400, "The decoder prompt (length 5951) is longer than the maximum model length of 4096."),  # vLLM
    (400, "the prompt exceeds the max_model_len of 4096"),
    (400, "max_tokens=9999 cannot be greater than max_model_len=max_total_tokens=8192"),
    (400, "prompt is too long: 200001 tokens > 200000 maximum"),  # Anthropic
    (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
    (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),  # SGLang
    (400, "Input length (5000 tokens) exceeds the maximum allowed length (4095 tokens)."),
    (400, "Requested token count exceeds the model's maximum context length of 4096 tokens."),
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 and 200"),  # TGI
    (422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 1100"),
    (400, "the request exceeds the available context size, try increasing it"),  # llama.cpp
    (500, '{"error":{"type":"exceed_context_size_error","message":"no"}}'),
    (500, "the input length exceeds the context length"),  # Ollama
    (500, "This model's maximum context length is 4096 tokens"),
    (400, "litellm.ContextWindowExceededError: Your input exceeds the context window of this model"),  # LiteLLM, OpenAI
    (400, "The input token count (40000) exceeds the maximum number of tokens allowed (32768)."),  # Gemini
    (400, "Please reduce the length of the messages or completion."),  # Groq
    (400, "Current length is 9000 while limit is 8192"),  # Cerebras
    (400, "Prompt length (9000) exceeds maximum input length (8192)"),  # TensorRT-LLM
    (400, "Your request exceeded model token limit: 8192"),  # Moonshot
    (400, "Range of input length should be [1, 30720]"),  # DashScope
    (413, ""),
    (413, "<html>Request Entity Too Large</html>"),
]

OTHER = [
    (400, "max_tokens must be at least 1"),
    (400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
    (400, "token id 99999 is not in the vocabulary"),
    (400, "bad request"),
    (404, "The model `context-length-8k` does not exist: context length"),
    (401, "no such key"),
    (429, "Rate limit reached: too many tokens per minute; reduce your prompt, or your context length"),
    (500, "CUDA out of memory"),
    (503, "the server has no room, maximum context length"),
]


@pytest.mark.parametrize(("status", "said"), FULL)
def test_a_full_context_is_one_in_all_words(status: int, said: str) -> None:
    error = refusal("http://h", status, {}, said.encode())
    assert isinstance(error, NoRoomError) and not error.retryable
    assert str(status) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(("status", "said"), OTHER)
def test_what_is_none_stays_a_refusal(status: int, said: str) -> None:
    error = refusal("http://h", status, {}, said.encode())
    assert isinstance(error, HttpError) and error.status == status
    assert error.retryable is (status in (429, 500, 503))


def test_numbers_that_json_cannot_carry_are_no_score() -> None:
    for status in (400, 500):
        error = refusal("http://h", status, {}, b"Out of range float values are not JSON compliant: nan")
        assert isinstance(error, ScoreError) and error.retryable


def test_a_wait_is_a_number_of_seconds() -> None:
    for said, seconds in (("3", 3.0), ("-1", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None)):
        error = refusal("http://h", 503, {"Retry-After": said}, b"")
        assert isinstance(error, HttpError) and error.wait == seconds
    error = refusal("http://h", 503, {}, b"")
    assert isinstance(error, HttpError) and error.wait is None


@pytest.mark.parametrize(
    ("body", "kind", "asked"),
    [
        ({"error": {"message": "maximum context length", "code": 400}}, NoRoomError, 1),
        ({"error": {"message": "no such option", "code": 400}}, HttpError, 1),
        ({"object": "error", "message": "worker died", "code": 503}, HttpError, 3),
        ({"error": "worker died"}, HttpError, 3),
    ],
)
async def test_an_error_with_status_200_is_an_error(
    openai_server: Any, body: dict[str, Any], kind: type[EngineError], asked: int
) -> None:
    from tests.engines.servers.test_http import PATH, client

    openai_server.script = lambda _, number: web.json_response(body)
    async with client(openai_server, attempts=3) as http:
        with pytest.raises(kind):
            await http.post(PATH, {})
    assert len(openai_server.bodies) == asked
