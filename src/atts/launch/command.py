"""From settings to a process: command line, environment, and what can be checked before anything is started."""

from __future__ import annotations

import errno
import importlib.util
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from atts.errors import InputError
from atts.launch.settings import Server, ServerSettings, expanded

PROGRAMS = {"sglang": "sglang.launch_server", "vllm": "vllm.entrypoints.openai.api_server"}
"""The module that each engine is started by."""


def command_line(server: Server) -> list[str]:
    """The command that starts a server."""
    if server.command is not None:
        return [*_filled(server), *server.arguments]
    flags = _sglang_flags(server) if server.engine == "sglang" else _vllm_flags(server)
    address = ["--host", server.host, "--port", str(server.port)]
    return [server.python, "-m", PROGRAMS[server.engine], *flags, *address, *server.arguments]


def environment(server: Server) -> dict[str, str]:
    """This process's environment, with the server's accelerators only."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(server.devices)} if server.devices else dict(os.environ)


def check(settings: ServerSettings) -> None:
    """Raise `InputError`, one line, for whatever is known to be wrong before a server is started."""
    if settings.draft_port == settings.target_port:
        raise InputError(f"both servers would use port {settings.draft_port}: choose another --target-port")
    if shared := settings.shared_devices:
        _check_memory(settings, shared)
    if settings.command is None:
        _check_program(settings.servers[0])
    for server in settings.servers:
        _check_model(server)
        _check_devices(server)
        _check_command(server)
        _check_port(server)


def _sglang_flags(server: Server) -> list[str]:
    flags = ["--model-path", expanded(server.model), "--tp", str(server.tensor_parallel)]
    return flags if server.memory is None else [*flags, "--mem-fraction-static", str(server.memory)]


def _vllm_flags(server: Server) -> list[str]:
    # Without the details, an answer does not say how much of a prompt came from the cache.
    flags = ["--model", expanded(server.model), "--enable-prompt-tokens-details"]
    flags += ["--tensor-parallel-size", str(server.tensor_parallel)]
    return flags if server.memory is None else [*flags, "--gpu-memory-utilization", str(server.memory)]


def _filled(server: Server) -> list[str]:
    values = {"model": expanded(server.model), "host": server.host, "port": server.port, "role": server.role.value}
    try:
        return [part.format(**values) for part in shlex.split(server.command or "")]
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"command {server.command!r}: only {{model}}, {{host}}, {{port}}, {{role}} mean anything"
        ) from error


def _check_memory(settings: ServerSettings, shared: list[str]) -> None:
    where = f"both servers live on device {', '.join(shared)}"
    if settings.draft_memory is None or settings.target_memory is None:
        raise InputError(f"{where}: say how they share its memory (--draft-memory 0.2 --target-memory 0.7)")
    if settings.draft_memory + settings.target_memory > 1:
        raise InputError(
            f"{where}, and {settings.draft_memory:g} + {settings.target_memory:g} of its memory is more than all"
        )


def _check_program(server: Server) -> None:
    """The interpreter must exist and have the server program."""
    package = server.engine
    if server.python == sys.executable:
        found = importlib.util.find_spec(package) is not None
    else:
        if shutil.which(server.python) is None:
            raise InputError(f"--python {server.python}: there is no such interpreter")
        code = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
        found = subprocess.run([server.python, "-c", code], capture_output=True, check=False).returncode == 0
    if not found:
        other = "vllm" if package == "sglang" else "sglang"
        raise InputError(
            f"{package} is not installed for {server.python}: pip install {package}, or name the interpreter that has"
            f" it (--python), or use the other program (--engine {other})"
        )


def _check_model(server: Server) -> None:
    """A model that looks like a folder must be one; a name on the hub is the server's to find."""
    path = Path(expanded(server.model))
    looks_like_folder = server.model.startswith((".", "/", "~")) or server.model.count("/") != 1
    if (path.is_dir() or looks_like_folder) and not (path / "config.json").is_file():
        raise InputError(f"{server.role} model {server.model}: no model there (a folder with config.json is needed)")


def _check_devices(server: Server) -> None:
    if server.devices and server.tensor_parallel > len(server.devices):
        raise InputError(
            f"--{server.role}-tp {server.tensor_parallel} needs as many devices,"
            f" and --{server.role}-devices {','.join(server.devices)} has {len(server.devices)}"
        )


def _check_command(server: Server) -> None:
    program = command_line(server)[:1]
    if not program or shutil.which(program[0]) is None:
        raise InputError(f"command {server.command!r}: there is no program {' '.join(program)!r}")


def _check_port(server: Server) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do: connections of an earlier server that are still closing do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is in use" if taken else f"cannot be used ({error.strerror or error})"
        raise InputError(
            f"port {server.port} on {server.host} {reason}: choose another with --{server.role}-port"
        ) from error
