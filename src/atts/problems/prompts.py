"""Prompts as data: what a model is sent for a problem.

A prompt has a system text and a question's wording, plain and multiple-choice. The system text is part of the context
from the first turn to the last, since contexts only grow.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from string import ascii_uppercase
from typing import Any, get_args, get_type_hints

from atts.errors import InputError
from atts.registry import Registry, first_line, takes
from atts.types import Message, Problem

# What the bundled pair was trained on: no system text, and the bare question.
BUNDLED_SYSTEM = ""

_ROLES = get_args(get_type_hints(Message)["role"])


@dataclass(frozen=True, slots=True)
class Prompt:
    """Templates with `{question}` and, for multiple choice, `{choices}`; no other brace means anything.

    `system` "" sends no system message. `choice` words one option, with `{letter}` and `{text}`. `describe` is the line
    that lists show.
    """

    describe: str
    system: str = ""
    plain: str = "{question}"
    multiple_choice: str = "{question}\n\n{choices}"
    choice: str = "{letter}. {text}"

    def messages(self, problem: Problem) -> list[Message]:
        """The chat that begins every chain of the problem."""
        template = self.multiple_choice if problem.choices else self.plain
        values = {"{question}": problem.question, "{choices}": self._options(problem)}
        user = Message("user", _filled(template, values))
        return [Message("system", self.system), user] if self.system else [user]

    def _options(self, problem: Problem) -> str:
        lettered = zip(ascii_uppercase, problem.choices, strict=False)
        return "\n".join(_filled(self.choice, {"{letter}": letter, "{text}": text}) for letter, text in lettered)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromFunction(Prompt):
    """A prompt that a function words; its name says which, so that runs can be told apart."""

    name: str
    function: Callable[[Problem], Any] = field(repr=False)

    def messages(self, problem: Problem) -> list[Message]:
        """What the function says: a text of the user, or the messages. Raises InputError for anything else."""
        try:
            said = self.function(problem)
            messages = [Message("user", said)] if isinstance(said, str) else [Message(*message) for message in said]
        except Exception as error:
            raise InputError(f"prompt {self.name} on {problem.id}: {type(error).__name__}: {error}") from error
        if not messages or not all(m.role in _ROLES and isinstance(m.content, str) for m in messages):
            raise InputError(f"prompt {self.name} on {problem.id}: it gave no text and no messages: {said!r:.80}")
        return messages


def _filled(template: str, values: dict[str, str]) -> str:
    """The template with its marks replaced, each once: marks inside a value are the value's own text."""
    for mark, value in values.items():
        before, found, after = template.partition(mark)
        if found:
            rest = {other: text for other, text in values.items() if other != mark}
            return _filled(before, rest) + value + _filled(after, rest)
    return template


def as_prompt(name: str, thing: Any, *, describe: str = "") -> Prompt:
    """A `Prompt`, or a function (problem) -> text or messages made one."""
    if isinstance(thing, Prompt):
        return thing
    takes(thing, "problem")
    return FromFunction(describe or first_line(thing), name=name, function=thing)


PROMPTS: Registry[Prompt] = Registry(
    "prompt",
    "atts.prompts",
    {
        "bundled": Prompt("what the bundled pair was trained on: the bare question", system=BUNDLED_SYSTEM),
        "plain": Prompt(
            "step by step, answer boxed",
            plain="{question}\n\nReason step by step, and put your final answer within \\boxed{}.",
            multiple_choice=(
                "{question}\n\n{choices}\n\n"
                "Reason step by step, and put the letter of your final choice within \\boxed{}."
            ),
        ),
        "reference": Prompt(
            "the wording of the paper's implementation, with its system text at every turn",
            system="You are a math expert.",
            plain=(
                "Please answer the following problem using step-by-step reasoning.\n"
                "Please separate your reasoning steps with two newline characters (\\n\\n).\n"
                "Please must put your final answer within \\boxed{}.\n\n"
                "Question: {question}"
            ),
            multiple_choice=(
                "This is a multiple-choice question.\n"
                "Please answer the following problem using step-by-step reasoning.\n"
                "Separate each reasoning step with **two newline characters** (`\\n\\n`).\n"
                "You must put your final answer within \\boxed{}, such as \\boxed{A}, \\boxed{B}, \\boxed{C}, or "
                "\\boxed{D}. No other formats are allowed.\n\n"
                "Question: {question}\nChoices:\n{choices}"
            ),
        ),
    },
    shape=as_prompt,
    line=lambda prompt: prompt.describe,
    instead="a file (.toml) or module:name",
)


def prompt(name: Any, *, describe: str = "") -> Any:
    """Decorates a function (problem) -> text of the user or messages of the chat, to be had as a prompt."""
    return PROMPTS.register(name, describe=describe)


def load(name: str) -> Prompt:
    """A prompt by name, or from a TOML file with the keys of `Prompt`. Raises InputError where there is none."""
    if not is_file(name):
        return PROMPTS[name]
    try:
        return _read(tomllib.loads(Path(name).read_text(encoding="utf-8")), name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"prompt file {name} is not TOML in UTF-8: {error}") from error


def is_file(name: str) -> bool:
    """Whether what was given as a prompt is a file: a prompt of that name comes first."""
    return name not in PROMPTS and Path(name).is_file()


def _read(table: dict[str, object], name: str) -> Prompt:
    known = {field.name for field in fields(Prompt)}
    if unknown := sorted(table.keys() - known):
        raise InputError(f"prompt file {name}: unknown keys {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    texts = {key: value for key, value in table.items() if isinstance(value, str)}
    if wrong := sorted(table.keys() - texts.keys()):
        raise InputError(f"prompt file {name}: {', '.join(wrong)} must be text")
    prompt = Prompt(**({"describe": f"from {name}"} | texts))
    for key, mark in (("plain", "{question}"), ("multiple_choice", "{question}"), ("multiple_choice", "{choices}")):
        if mark not in getattr(prompt, key):
            raise InputError(f"prompt file {name}: {key} has no {mark}")
    return prompt
