"""What a user may say of the two model servers: one flat set of keys, like a run's."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from atts.errors import InputError
from atts.registry import guess
from atts.types import Role

_SECRET = re.compile(r"--?(.*[-_])?(key|token|password|secret)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """One server to start. `devices` are accelerator numbers, none meaning whatever the environment says."""

    role: Role
    engine: str
    model: str
    host: str
    port: int
    devices: tuple[str, ...] = ()
    tensor_parallel: int = 1
    memory: float | None = None
    arguments: tuple[str, ...] = ()
    python: str = sys.executable
    command: str | None = None

    @property
    def url(self) -> str:
        """Where it answers to this machine; one that listens everywhere answers here too."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def address(self) -> str:
        """What a run calls it: `scheme:address`."""
        return f"{self.engine}:{self.url}"


class ServerSettings(BaseModel):
    """Both servers. Options of `atts launch` and the keys of a `[servers]` table have these names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["sglang", "vllm"] = Field("sglang", description="which server program, and so which dialect")
    draft_model: str = Field(description="folder of the draft model, or its name on the hub")
    target_model: str = Field(description="folder of the target model, or its name on the hub")
    draft_devices: str | None = Field(None, description="accelerators of the draft, e.g. 0")
    target_devices: str | None = Field(None, description="accelerators of the target, e.g. 1,2")
    draft_tp: int | None = Field(None, ge=1, description="tensor parallel size [number of devices]")
    target_tp: int | None = Field(None, ge=1, description="tensor parallel size [number of devices]")
    draft_memory: float | None = Field(None, gt=0, le=1, description="share of device memory for weights and cache")
    target_memory: float | None = Field(None, gt=0, le=1, description="share of device memory for weights and cache")
    draft_port: int = Field(30000, ge=1, le=65535, description="port of the draft")
    target_port: int = Field(30001, ge=1, le=65535, description="port of the target")
    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 is open to the network")
    python: str | None = Field(None, description="interpreter that has the server program [this one]")
    command: str | None = Field(
        None, description="start another program: a command with {model}, {host} and {port} that speaks this dialect"
    )
    wait: float = Field(1800, gt=0, description="seconds until both must be ready")
    arguments: tuple[str, ...] = Field((), description="further arguments for both servers")
    draft_arguments: tuple[str, ...] = Field((), description="further arguments for the draft's server")
    target_arguments: tuple[str, ...] = Field((), description="further arguments for the target's server")

    @field_validator("arguments", "draft_arguments", "target_arguments", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """A line of arguments is split as a shell would."""
        return tuple(shlex.split(value)) if isinstance(value, str) else value

    @field_validator("command")
    @classmethod
    def _can_be_split(cls, value: str | None) -> str | None:
        """A command whose quotes do not close is refused here, not where it is shown or started."""
        shlex.split(value or "")
        return value

    def server(self, role: Role) -> Server:
        """One of the two."""
        of = {key: getattr(self, f"{role}_{key}") for key in ("model", "devices", "tp", "memory", "port", "arguments")}
        devices = tuple(part.strip() for part in (of["devices"] or "").split(",") if part.strip())
        return Server(
            role=role,
            engine=self.engine,
            model=of["model"],
            host=self.host,
            port=of["port"],
            devices=devices,
            tensor_parallel=of["tp"] or max(1, len(devices)),
            memory=of["memory"],
            arguments=(*self.arguments, *of["arguments"]),
            python=self.python or sys.executable,
            command=self.command,
        )

    @property
    def servers(self) -> tuple[Server, Server]:
        """The draft's, then the target's."""
        return self.server(Role.DRAFT), self.server(Role.TARGET)

    def shown(self) -> dict[str, Any]:
        """The keys that were given, as they may be shown: without secrets among the arguments."""
        given = self.model_dump(exclude_defaults=True)
        lists = {key: masked(value) for key, value in given.items() if key.endswith("arguments")}
        command = {"command": shlex.join(masked(shlex.split(self.command)))} if _tells(self.command) else {}
        return given | lists | command

    @property
    def shared_devices(self) -> list[str]:
        """Accelerators on which both live."""
        draft, target = self.servers
        return sorted(set(draft.devices) & set(target.devices))


def validated(values: Mapping[str, Any]) -> ServerSettings:
    """The settings of these values; raises `InputError` naming the first key that is wrong."""
    try:
        return ServerSettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"][:1]))
        if first["type"] == "missing":
            raise InputError(f"{key}: say which model (--{key.replace('_', '-')}, or a --preset)") from error
        if first["type"] == "extra_forbidden":
            meant = guess(key, ServerSettings.model_fields)
            raise InputError(f"servers.{key}: there is no such key{meant}; atts launch --help lists them") from error
        raise InputError(f"{key} = {first['input']!r}: {first['msg'].removeprefix('Value error, ')}") from error


def _tells(command: str | None) -> bool:
    """Whether a command holds a secret."""
    parts = shlex.split(command or "")
    return masked(parts) != parts


def masked(arguments: Sequence[str]) -> list[str]:
    """Arguments as they may be shown and saved: keys, tokens and passwords are replaced by `***`."""
    shown, secret = [], False
    for argument in arguments:
        if argument.startswith("-"):
            flag, sign, _ = argument.partition("=")
            secret = _SECRET.fullmatch(flag) is not None
            shown.append(f"{flag}=***" if secret and sign else argument)
        else:
            shown.append("***" if secret else argument)
    return shown


def expanded(model: str) -> str:
    """A model as the server is told it: a folder with its `~` resolved, or a name on the hub as it is."""
    return str(Path(model).expanduser()) if model.startswith("~") else model
