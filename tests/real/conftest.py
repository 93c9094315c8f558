"""Real parts that are not bundled: a vLLM server for each bundled model, and a small language model.

ATTS_REAL_MODEL    the folder of SmolLM2-135M-Instruct (`.ci/real-model/install` makes one)
ATTS_VLLM_PYTHON   the interpreter that has vLLM (`.ci/vllm/install` makes one for a machine without a GPU)
ATTS_VLLM_URLS     instead: the addresses of two servers that run already, of the draft and of the target

Without them, or where the servers cannot start, tests are skipped, and the last lines of the test run say so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from atts import bundled
from atts.errors import AttsError
from atts.launch.launcher import Launcher
from atts.launch.settings import validated
from atts.types import Role
from tests.launch.conftest import free_ports

CONTEXT = 1024
_VLLM = "a real vLLM server"
# For the community build on processors; a build for GPUs does not mind.
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "0",
}
_skipped: dict[str, str] = {}  # what was not tested, and why


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last word: what was not tested must not look as if it had been."""
    for what, reason in _skipped.items():
        terminalreporter.write_sep("=", f"NOT TESTED against {what}", yellow=True, bold=True)
        terminalreporter.write_line(reason)


def skip(what: str, reason: str) -> None:
    _skipped[what] = reason
    pytest.skip(reason)


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The folder of a small language model."""
    folder = os.environ.get("ATTS_REAL_MODEL")
    if not folder:
        skip("a real language model", "ATTS_REAL_MODEL names no folder (.ci/real-model/install makes one)")
    return Path(str(folder))


@pytest.fixture(scope="session")
def vllm_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Role, str]]:
    """The addresses of both servers, by role."""
    if urls := os.environ.get("ATTS_VLLM_URLS"):
        draft, target = urls.split(",")
        yield {Role.DRAFT: f"vllm:{draft}", Role.TARGET: f"vllm:{target}"}
        return
    python = os.environ.get("ATTS_VLLM_PYTHON")
    if not python:
        skip(_VLLM, "ATTS_VLLM_PYTHON names no interpreter that has vLLM (.ci/vllm/install makes one)")
        return
    settings = validated(
        {
            "engine": "vllm",
            "python": python,
            "draft_model": str(bundled.DRAFT),
            "target_model": str(bundled.TARGET),
            **dict(zip(("draft_port", "target_port"), free_ports(2), strict=True)),
            "arguments": ["--dtype", "float32", "--max-model-len", str(CONTEXT), "--enforce-eager"],
            "wait": 600,
        }
    )
    folder: Path = tmp_path_factory.mktemp("servers")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _ENVIRONMENT.items():
            patch.setenv(name, value)
        launcher = Launcher(settings, folder)
        try:
            with launcher:
                launcher.start()
                yield {server.role: server.address for server in settings.servers}
        except AttsError as error:
            skip(_VLLM, f"the servers cannot start here: {error}")
