"""Reading what a server answered: what is missing is named, and no ending is taken for one that it is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atts.errors import AnswerError, EngineError
from atts.types import Finish, Usage

_ENDINGS = {
    Finish.END: "stop eos eos_token end end_turn end_of_text stop_token complete completed",
    Finish.STOP: "stop_sequence stop_string stop_word",
    Finish.LENGTH: "length max_tokens max_new_tokens max_length max_output_tokens model_length",
    Finish.FILTER: "content_filter content_filtered filtered safety refusal recitation blocklist prohibited_content"
    " spii sensitive",
    Finish.REPETITION: "repetition repetition_detected repeat",
    Finish.TOOL: "tool_calls tool_call tool_use function_call",
}
_NAMES = ("id", "name", "model")
_LENGTHS = ("max_model_len", "context_length", "context_window", "max_context_length")
_FINISHES = {word: finish for finish, words in _ENDINGS.items() for word in words.split()}


def part(answer: Any, *path: str | int, source: str, error: type[EngineError] = AnswerError) -> Any:
    """What stands there in the answer; a retryable `error` that names the first key on the way that is missing."""
    found = answer
    for depth, key in enumerate(path):
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError) as missing:
            name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path[: depth + 1])
            raise error(f"{source}: the answer has no {name.lstrip('.')}", retryable=True) from missing
    return found


def table(answer: Any, *path: str | int, source: str, error: type[EngineError] = AnswerError) -> dict[str, Any]:
    """The object that stands there; see `part`."""
    found = part(answer, *path, source=source, error=error)
    if not isinstance(found, dict):
        raise error(f"{source}: {path[-1]} of the answer is no object, but {found!r:.40}", retryable=True)
    return found


def whole_numbers(values: Any, source: str, name: str) -> tuple[int, ...]:
    """The values as token ids or counts; a retryable `AnswerError` if they are none."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not all(map(_is_whole, values)):
        raise AnswerError(f"{source}: {name} of the answer are no token ids", retryable=True)
    return tuple(int(value) for value in values)


def count(value: Any, otherwise: int = 0) -> int:
    """A number of tokens; what is known `otherwise` where the server says null, nothing, or what is no number."""
    return int(value) if _is_whole(value) and value >= 0 else otherwise


def usage_of(usage: Any, *, prompt: int = 0, completion: int = 0) -> Usage:
    """Tokens of a request as OpenAI's interface counts them; what we know ourselves where a server does not say."""
    said = usage if isinstance(usage, dict) else {}
    details = said.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(
        count(said.get("prompt_tokens"), prompt), count(cached), count(said.get("completion_tokens"), completion)
    )


@dataclass(frozen=True, slots=True)
class Model:
    """One of the models of a server: its name, and its context length where the server says it."""

    name: str
    length: int | None = None


def models(answer: Any) -> list[Model]:
    """The models that a server lists, in whatever form: entries or names, in a bare list or as `data` or `models`."""
    listed = (answer.get("data") or answer.get("models")) if isinstance(answer, dict) else answer
    entries: list[Any] = [{"id": entry} if isinstance(entry, str) else entry for entry in listed or []]
    found = []
    for entry in entries:
        name = next((entry[key] for key in _NAMES if entry.get(key)), None) if isinstance(entry, dict) else None
        if isinstance(entry, dict) and isinstance(name, str):
            length: int | None = next((entry[key] for key in _LENGTHS if _is_whole(entry.get(key))), None)
            found.append(Model(name, length))
    return found


def finish_of(reason: Any, source: str, *, because: str = "") -> Finish:
    """Why the writing ended, in whatever words; `stop` is the end of the text unless a stop string is found.

    Only what is known to be an end is one: `abort`, `error`, null and any word that is not known are a retryable
    `EngineError`, since the text may go on.
    """
    word = re.sub(r"[\W_]+", "_", reason.rpartition(".")[2].strip().lower()) if isinstance(reason, str) else ""
    if (finish := _FINISHES.get(word)) is None:
        said = "for no reason" if reason in (None, "") else f"with {reason!r}"
        raise EngineError(f"{source}: the writing broke off {said}{because and f' ({because})'}", retryable=True)
    return finish


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
