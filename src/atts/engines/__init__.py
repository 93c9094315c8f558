"""The only place that talks to models: engines are opened by name, `scheme:address`."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from atts.engines.base import Engine, EngineOptions
from atts.errors import InputError

SCHEMES: dict[str, tuple[str, str]] = {
    "bundled": (
        "atts.engines.local.bundled:open_bundled",
        "the pair that ships with this package: bundled:draft, bundled:target",
    ),
    "local": ("atts.engines.local:LocalEngine.open", "any Hugging Face folder or name, in a process of its own"),
    "sglang": (
        "atts.engines.servers.sglang:open_sglang",
        "an SGLang server's native interface: sglang:http://host:port",
    ),
    "vllm": ("atts.engines.servers.vllm:open_vllm", "a vLLM server's completions: vllm:http://host:port"),
    "openai": (
        "atts.engines.servers.openai:open_openai",
        "any OpenAI-compatible endpoint: openai:https://host/v1#model",
    ),
    "scripted": ("atts.engines.scripted:open_scripted", "no model: text, delays and failures by script, for tests"),
}


IN_PROCESS = frozenset({"bundled", "local", "scripted"})
"""Schemes whose models run here: nothing about them can differ from what this package takes for granted."""


def in_process(name: str) -> bool:
    """Whether the engine of that name is one that this package runs itself."""
    return name.partition(":")[0] in IN_PROCESS


def schemes() -> dict[str, str]:
    """Every scheme that `open_engine` knows, with what it is, plug-ins included."""
    known = {name: description for name, (_, description) in SCHEMES.items()}
    return known | {point.name: f"plug-in {point.value}" for point in entry_points(group="atts.engines")}


def open_engine(name: str, options: EngineOptions | None = None) -> Engine:
    """The engine that `scheme:address` names, e.g. `local:./my-model`; nothing is loaded or sent yet.

    Openers, those of plug-ins too, are called with the address and the options.

    Raises `InputError` for an unknown scheme or an address that cannot be right.
    """
    scheme, colon, address = name.partition(":")
    if scheme in SCHEMES:
        module, _, path = SCHEMES[scheme][0].partition(":")
        opener = importlib.import_module(module)
        for part in path.split("."):
            opener = getattr(opener, part)
    else:
        plugins = entry_points(group="atts.engines", name=scheme)
        if not colon or not plugins:
            known = ", ".join(sorted(schemes()))
            raise InputError(f"engine {name!r}: unknown scheme (known: {known}; write it as scheme:address)")
        opener = next(iter(plugins)).load()
    engine: Engine = opener(address, options or EngineOptions())  # type: ignore[operator]
    return engine
