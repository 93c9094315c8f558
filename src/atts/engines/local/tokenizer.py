"""Tokenizers on this machine: for models in process, and for servers that do not render or tokenise themselves."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from atts.errors import EngineError, InputError, needs_extra
from atts.types import Message, TokenIds

T = TypeVar("T")

_BEFORE = ("\n", ".", "0")  # what rarely forms a token with what follows

_ANY = "a"  # a text, to see what comes before it
_LOADING = threading.Lock()  # transformers cannot be imported by two threads at once


class Tokenizer:
    """The tokenizer of a Hugging Face folder or name. Its methods block for as long as they compute.

    `template` holds variables of the chat template; raises `InputError` for one that the template does not mention.
    """

    def __init__(self, path: str, template: Mapping[str, Any] | None = None) -> None:
        from transformers import AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(path)
        self._template = dict(template or {})
        for name in self._template:
            if not re.search(rf"\b{re.escape(name)}\b", str(self.tokenizer.chat_template or "")):
                raise InputError(f"chat_template_kwargs.{name}: the chat template of {path} does not know it")
        once = self._encode("a")
        self._prepends = self.detokenize(once * 2) != "aa"

    def vocabulary(self) -> str:
        """A fingerprint: equal for tokenizers that give every token the same id."""
        vocabulary = json.dumps(sorted(self.tokenizer.get_vocab().items())).encode()
        return hashlib.sha256(vocabulary).hexdigest()[:16]

    def render(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The chat by the model's own template; an assistant's last message stays open.

        A model without a template was never taught to chat: it gets the texts alone, and before them the special tokens
        that its tokenizer puts before every text. A template says itself what comes first.
        """
        continued = messages[-1]["role"] == "assistant"
        if self.tokenizer.chat_template is None:
            return after_front(self.front(), self._encode(without_template(messages)))
        text = self.tokenizer.apply_chat_template(
            list(messages),
            tokenize=False,
            add_generation_prompt=not continued,
            continue_final_message=continued,
            **self._template,
        )
        return self._encode(text)

    def front(self) -> list[int]:
        """The special tokens that the tokenizer puts before a text, as the model saw them when it was trained."""
        return front_of(self._encode(_ANY), list(self.tokenizer.encode(_ANY, add_special_tokens=True)))

    def tokenize(self, text: str) -> list[int]:
        """The text as it follows another one, without special tokens of the tokenizer's own.

        Many tokenizers put a blank before the first word of a text: so something is put before it, and taken away.
        """
        for before in _BEFORE if self._prepends else ():
            ids, both = self._encode(before), self._encode(before + text)
            if both[: len(ids)] == ids:
                return both[len(ids) :]
        return self._encode(text)

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def detokenize(self, ids: TokenIds) -> str:
        """Text of the ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def without_template(messages: Sequence[Mapping[str, str]]) -> str:
    """A chat for a model that has no template for one: the texts, with blank lines between them."""
    texts = [message["content"] for message in messages]
    return "\n\n".join(texts if messages[-1]["role"] == "assistant" else [*texts, ""])


def front_of(plain: Sequence[int], special: Sequence[int]) -> list[int]:
    """What stands before the ids of a text if the tokenizer may add special tokens, as in `special`."""
    ends = range(len(special) - len(plain) + 1) if plain else ()
    start = next((start for start in ends if list(special[start : start + len(plain)]) == list(plain)), 0)
    return list(special[:start])


def after_front(front: Sequence[int], ids: Sequence[int]) -> list[int]:
    """The ids after those in front, which they may begin with already."""
    return list(ids) if list(ids[: len(front)]) == list(front) else [*front, *ids]


class ByteTokenizer:
    """No vocabulary but the bytes of UTF-8: for scripted engines, and for servers that take and give text only."""

    def vocabulary(self) -> str:
        """The same for all."""
        return "bytes"

    def render(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Role and content, a line each; the assistant's last message stays open."""
        *closed, last = [f"<{message['role']}>{message['content']}" for message in messages]
        continued = messages[-1]["role"] == "assistant"
        return list("\n".join([*closed, last if continued else f"{last}\n<assistant>"]).encode())

    def front(self) -> list[int]:
        """Nothing."""
        return []

    def tokenize(self, text: str) -> list[int]:
        """The bytes of the text."""
        return list(text.encode())

    def detokenize(self, ids: TokenIds) -> str:
        """The text of the bytes."""
        return bytes(ids).decode(errors="replace")


class TokenizerThread:
    """A tokenizer in a thread of its own, loaded at the first call: the event loop stays free, and calls queue up.

    `path` is a folder, a name on the hub, or `bytes`; `template` holds variables of its chat template. Raises
    `InputError` if there is no tokenizer.
    """

    def __init__(self, path: str, template: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._template = template
        self._thread: ThreadPoolExecutor | None = None
        self._loaded: Tokenizer | ByteTokenizer | None = None

    async def vocabulary(self) -> str:
        """The fingerprint."""
        return await self._call(lambda tokenizer: tokenizer.vocabulary())

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """The chat as token ids."""
        plain = [message._asdict() for message in messages]
        return await self._call(lambda tokenizer: tokenizer.render(plain))

    async def front(self) -> list[int]:
        """The special tokens before a text."""
        return await self._call(lambda tokenizer: tokenizer.front())

    async def tokenize(self, text: str) -> list[int]:
        """The text as token ids."""
        return await self._call(lambda tokenizer: tokenizer.tokenize(text))

    async def detokenize(self, ids: TokenIds) -> str:
        """The ids as text."""
        return await self._call(lambda tokenizer: tokenizer.detokenize(ids))

    def close(self) -> None:
        """Let the thread end; safe to call twice."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    async def _call(self, ask: Callable[[Tokenizer | ByteTokenizer], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, ask)

    def _ask(self, ask: Callable[[Tokenizer | ByteTokenizer], T]) -> T:
        if self._loaded is None:
            with _LOADING:
                self._loaded = self._load()
        try:
            return ask(self._loaded)
        except Exception as error:  # whatever a template raises concerns this prompt
            raise EngineError(f"tokenizer {self.path}: {type(error).__name__}: {error}") from error

    def _load(self) -> Tokenizer | ByteTokenizer:
        try:
            return ByteTokenizer() if self.path == "bytes" else Tokenizer(self.path, self._template)
        except ImportError as error:
            raise needs_extra(f"tokenizer {self.path} needs transformers ({error})", "local") from error
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(
                f"tokenizer {self.path}: cannot be loaded ({reason}); name a folder or hub name that has one"
                " with --draft-tokenizer or --target-tokenizer"
            ) from error
