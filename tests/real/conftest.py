"""A real vLLM server for each bundled model, started by the launcher.

ATTS_VLLM_PYTHON   the interpreter that has vLLM (`.ci/vllm/install` makes one for a machine without a GPU)
ATTS_VLLM_URLS     instead: the addresses of two servers that run already, of the draft and of the target

Without either, or where the servers cannot start, these tests are skipped, and the last lines of the test run say so.
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
# For the community build on processors; a build for GPUs does not mind.
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "0",
}
_skipped: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last word: a real server that was not tested must not look like one that was."""
    for reason in _skipped:
        terminalreporter.write_sep("=", "NOT TESTED against a real vLLM server", yellow=True, bold=True)
        terminalreporter.write_line(reason)


def skip(reason: str) -> None:
    _skipped.append(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def vllm_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Role, str]]:
    """The addresses of both servers, by role."""
    if urls := os.environ.get("ATTS_VLLM_URLS"):
        draft, target = urls.split(",")
        yield {Role.DRAFT: f"vllm:{draft}", Role.TARGET: f"vllm:{target}"}
        return
    python = os.environ.get("ATTS_VLLM_PYTHON")
    if not python:
        skip("ATTS_VLLM_PYTHON names no interpreter that has vLLM (.ci/vllm/install makes one)")
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
            skip(f"the servers cannot start here: {error}")
