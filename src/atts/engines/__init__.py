"""The only place that talks to models: engines are opened by name, `scheme:address`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from atts.engines.base import Engine, EngineOptions
from atts.errors import InputError
from atts.origins import attribute, is_module
from atts.registry import Registry, ShapeError, first_line, takes

Opener = Callable[[str, EngineOptions], Engine]


class Scheme(NamedTuple):
    """A way of reaching models: what it is in one line, and what opens an engine, as itself or as where it stands.

    An opener takes the address and the options, and raises `InputError` for an address that cannot be right.
    """

    describe: str
    opener: Opener | str

    def open(self, address: str, options: EngineOptions) -> Engine:
        """The engine at that address; nothing is loaded or sent yet."""
        opener: Opener = attribute(self.opener) if isinstance(self.opener, str) else self.opener
        return opener(address, options)


def as_scheme(name: str, thing: Any, *, describe: str = "") -> Scheme:
    """A `Scheme`, or a function (address, options) -> Engine made one."""
    if isinstance(thing, Scheme):
        return thing
    takes(thing, "address", "options")
    return Scheme(describe or first_line(thing), thing)


SCHEMES: Registry[Scheme] = Registry(
    "engine",
    "atts.engines",
    {
        "bundled": Scheme(
            "the pair that ships with this package: bundled:draft, bundled:target",
            "atts.engines.local.bundled:open_bundled",
        ),
        "local": Scheme(
            "any Hugging Face folder or name, in a process of its own", "atts.engines.local:LocalEngine.open"
        ),
        "sglang": Scheme(
            "an SGLang server's native interface: sglang:http://host:port", "atts.engines.servers.sglang:open_sglang"
        ),
        "vllm": Scheme("a vLLM server's completions: vllm:http://host:port", "atts.engines.servers.vllm:open_vllm"),
        "openai": Scheme(
            "any OpenAI-compatible endpoint: openai:https://host/v1#model", "atts.engines.servers.openai:open_openai"
        ),
        "scripted": Scheme(
            "no model: text, delays and failures by script, for tests", "atts.engines.scripted:open_scripted"
        ),
    },
    shape=as_scheme,
    line=lambda scheme: scheme.describe,
    instead="module:name; write it as scheme:address, or module:name:address",
)


IN_PROCESS = frozenset({"bundled", "local", "scripted"})
"""Schemes whose models run here: nothing about them can differ from what this package takes for granted."""


def engine(name: Any, *, describe: str = "") -> Any:
    """Decorates a function (address, options) -> Engine, which opens what `name:address` names."""
    return SCHEMES.register(name, describe=describe)


def in_process(name: str) -> bool:
    """Whether the engine of that name is one that this package runs itself."""
    return name.partition(":")[0] in IN_PROCESS


def scheme_of(name: str) -> tuple[str, str]:
    """The two parts of `scheme:address`. The scheme may be `module:name`, and its address then be left out."""
    scheme, _, address = name.partition(":")
    if scheme in SCHEMES:
        return scheme, address
    opener, _, rest = address.partition(":")
    longer = f"{scheme}:{opener}"
    inside = longer in SCHEMES or (opener.isidentifier() and is_module(scheme))
    return (longer, rest) if inside else (scheme, address)


def open_engine(name: str, options: EngineOptions | None = None) -> Engine:
    """The engine that `scheme:address` names, e.g. `local:./my-model`; nothing is loaded or sent yet.

    Raises `InputError` for an unknown scheme, an address that cannot be right, and options that it cannot heed.
    """
    options = options or EngineOptions()
    scheme, address = scheme_of(name)
    known = SCHEMES[scheme]
    if ":" not in name:
        raise InputError(f"engine {name!r}: write it as scheme:address ({known.describe})")
    with SCHEMES.blaming(scheme):
        opened = known.open(address, options)
        if missing := [method for method in vars(Engine) if method[0] != "_" and not hasattr(opened, method)]:
            raise ShapeError(f"it opened {type(opened).__name__}, which is no engine: it has no {', '.join(missing)}")
    _refuse_what_it_cannot(name, opened, options)
    return opened


def _refuse_what_it_cannot(name: str, opened: Engine, options: EngineOptions) -> None:
    known: frozenset[str] = getattr(opened, "knows", frozenset())
    if wrong := [wanted for wanted in options.unusual if wanted not in known]:
        able = ", ".join(sorted(known)) or "nothing of the kind"
        raise InputError(
            f"{wrong[0]}: engine {name} cannot do it (it knows {able}); leave it out, or use another engine"
        )
