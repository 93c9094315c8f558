"""What a server's refusal means: may the request be sent again, is the context full, are there numbers at all?"""

from __future__ import annotations

import re
from collections.abc import Mapping

from atts.errors import EngineError, NoRoomError, ScoreError

BUSY = frozenset({429, 503, 529})
"""Statuses by which a server says that it has too much to do."""

NOT_SHOWN = frozenset({400, 403, 404, 405, 410, 501})
"""Statuses of a path that a server does not have, or shows to nobody."""

_RETRYABLE = frozenset({408, 409, 425, 500, 502, 504}) | BUSY
_SHOWN = 200  # characters of a server's complaint
_TOO_LARGE = 413
_ELSEWHERE = frozenset({401, 403, 404, 405, 408}) | BUSY  # statuses that say nothing of the request's length
# A limit of tokens a minute, as 429 says it, is no full context, and passes.
_FULL = re.compile(
    r"""
    context[ _-]?(length|window|size|limit)  # OpenAI, vLLM, SGLang, llama.cpp, Ollama, Mistral, Bedrock: in all forms
    | (prompt|input|inputs|request|sequence|message|messages|conversation)[ _]?(length)?\s(is|are|was)\s
      (too\s(long|large)|longer\sthan)      # Anthropic, Bedrock, vLLM
    | max(imum)?[ _]model[ _]len(gth)?  # vLLM: "longer than the maximum model length", "exceeds the max_model_len"
    | max_position_embeddings | max_seq_len | max_sequence_length | max_input_len | max_total_tokens | max_num_tokens
    | max\smessage\stokens | range\sof\sinput\slength | expected\sa\sstring\swith\smaximum\slength
    | (input|prompt)\stokens(\s\(?\d+\)?)?\sexceeds?
    | max(imum)?\s(allowed|input|prompt|sequence|total)\s(length|tokens)  # SGLang, TensorRT-LLM, xAI
    | longer\sthan\sthe\smodel
    | exceeds?\sthe\smax(imum)?\s(number\sof\stokens|length|token)  # Gemini
    | exceed(s|ed)?\s(the\s)?(model\s)?(token\slimit|configured\slimit|limit\sof\s\d+\stokens)
    | `?inputs`?\s(tokens\s\+\s`?max_new_tokens`?\s)?must\s(be\s<=|have\sless\sthan)  # TGI
    | too\smany\s(input\s|prompt\s)?tokens
    | reduce\s(the\slength|your\sprompt)  # OpenAI, Groq
    | current\slength\sis\s\d+\swhile\slimit\sis  # Cerebras
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NOT_NUMBERS = re.compile(r"not JSON compliant", re.IGNORECASE)


class HttpError(EngineError):
    """A server refused a request. `status` is its code, 0 where there was no answer; `body` what it said of it.

    `wait` is how many seconds the server asked to wait; `timed_out` says that no answer came in time, `down` that
    nobody listens there.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        body: str = "",
        retryable: bool = False,
        wait: float | None = None,
        timed_out: bool = False,
        down: bool = False,
    ) -> None:
        super().__init__(message, retryable=retryable)
        self.status, self.body, self.wait, self.timed_out, self.down = status, body, wait, timed_out, down


def refusal(url: str, status: int, headers: Mapping[str, str], content: bytes) -> EngineError:
    """The error that a status of 400 or more stands for.

    `NoRoomError` if the context is full, whatever the words and the status; `ScoreError` if the server found NaN or
    infinity among its log-probabilities, which JSON has no words for; otherwise `HttpError`.
    """
    body = content.decode("utf-8", "replace")
    message = f"{url}: {status} {' '.join(body.split())[:_SHOWN]}"
    if status == _TOO_LARGE or (status not in _ELSEWHERE and says_full(body)):
        return NoRoomError(message)
    if _NOT_NUMBERS.search(body):
        return ScoreError(f"{url}: log-probabilities are not finite ({status})", retryable=True)
    return HttpError(
        message, status=status, body=body, retryable=status in _RETRYABLE, wait=_seconds(headers.get("Retry-After"))
    )


def says_full(text: str) -> bool:
    """Whether these are words for a context that is full."""
    return _FULL.search(text) is not None


def _seconds(retry_after: str | None) -> float | None:
    try:
        return None if retry_after is None else max(0.0, float(retry_after))
    except ValueError:  # a date
        return None
