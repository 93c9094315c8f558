"""What is started, and what is refused before anything is."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from atts.cli.launch import run_file_of
from atts.config.presets import PRESETS
from atts.errors import InputError
from atts.launch.command import check, command_line, environment
from atts.launch.settings import validated
from tests.launch.conftest import free_ports

MODELS = {"draft_model": "org/small", "target_model": "org/large"}


def test_sglang() -> None:
    settings = validated(
        {**MODELS, "draft_devices": "0", "target_devices": "1, 2", "target_memory": 0.8, "arguments": "--dtype half"}
    )
    draft, target = settings.servers
    assert " ".join(command_line(draft)[1:]) == (
        "-m sglang.launch_server --model-path org/small --tp 1 --host 127.0.0.1 --port 30000 --dtype half"
    )
    assert " ".join(command_line(target)[1:]) == (
        "-m sglang.launch_server --model-path org/large --tp 2 --mem-fraction-static 0.8"
        " --host 127.0.0.1 --port 30001 --dtype half"
    )
    assert environment(target)["CUDA_VISIBLE_DEVICES"] == "1,2"
    assert target.address == "sglang:http://127.0.0.1:30001"


def test_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    settings = validated(
        {**MODELS, "engine": "vllm", "python": "/opt/v/bin/python", "host": "0.0.0.0", "draft_memory": 0.2}
        | {"draft_arguments": ["--enforce-eager"]}
    )
    draft, target = settings.servers
    assert " ".join(command_line(draft)) == (
        "/opt/v/bin/python -m vllm.entrypoints.openai.api_server --model org/small --enable-prompt-tokens-details"
        " --tensor-parallel-size 1 --gpu-memory-utilization 0.2 --host 0.0.0.0 --port 30000 --enforce-eager"
    )
    assert "--gpu-memory-utilization" not in command_line(target)
    assert draft.address == "vllm:http://127.0.0.1:30000"  # it listens everywhere, and is reached here
    assert "CUDA_VISIBLE_DEVICES" not in environment(draft)


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.servers])
def test_presets_are_servers(name: str) -> None:
    settings = validated(PRESETS[name].servers)
    assert not settings.shared_devices
    assert [server.address for server in settings.servers] == [PRESETS[name].run[role] for role in ("draft", "target")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"target_port": 30000}, "both servers would use port 30000"),
        ({"draft_devices": "0", "target_devices": "0,1"}, "device 0: say how they share its memory"),
        (
            {"draft_devices": "0", "target_devices": "0", "draft_memory": 0.6, "target_memory": 0.6},
            "0.6 \\+ 0.6 of its memory is more than all",
        ),
        ({"engine": "sglang", "command": None}, "sglang is not installed for .*pip install sglang"),
        ({"command": None, "python": "/no/such/python"}, "--python /no/such/python: there is no such interpreter"),
        ({"draft_model": "./missing"}, "draft model ./missing: no model there"),
        ({"target_model": "/no/such/folder"}, "target model /no/such/folder: no model there"),
        ({"target_tp": 4, "target_devices": "0,1"}, "--target-tp 4 needs as many devices"),
        ({"command": "no-such-program {port}"}, "there is no program 'no-such-program'"),
        ({"command": ""}, "there is no program ''"),
        ({"command": "python {prot}"}, "only {model}, {host}, {port}, {role} mean anything"),
        ({"host": "192.0.2.1"}, "cannot be used"),
    ],
)
def test_refused(values: dict[str, Any], words: str) -> None:
    base = {**MODELS, "command": f"{sys.executable} {{port}}", "draft_port": free_ports(1)[0]}
    if values.get("target_port") == 30000:
        base["draft_port"] = 30000
    with pytest.raises(InputError, match=words) as refused:
        check(validated(base | values))
    assert "\n" not in str(refused.value)


def test_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        base = {**MODELS, "command": f"{sys.executable} {{port}}", "draft_port": free_ports(1)[0], "target_port": port}
        with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 is in use: choose another with --target-port"):
            check(validated(base))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"draft_model": "x"}, "target_model: say which model"),
        ({**MODELS, "engine": "tgi"}, "engine = 'tgi': Input should be 'sglang' or 'vllm'"),
        ({**MODELS, "color": 1}, "servers.color: there is no such key"),
        ({**MODELS, "draft_port": 70000}, "draft_port = 70000"),
        ({**MODELS, "arguments": "'unclosed"}, "arguments"),
        ({**MODELS, "command": "serve 'unclosed"}, "command = .*No closing quotation"),
    ],
)
def test_settings_that_are_wrong(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        validated(values)


def test_a_model_folder_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    base = {"draft_model": str(tmp_path), "target_model": "org/large", "command": f"{sys.executable} {{port}}"}
    draft, target = free_ports(2)
    check(validated({**base, "draft_port": draft, "target_port": target}))


def test_secrets_are_neither_shown_nor_saved() -> None:
    arguments = ("--api-key", "SECRET-1", "SECRET-2", "--hf-token=SECRET-3", "--max-num-batched-tokens", "512")
    command = "serve {port} --api_key 'SECRET 4' --role {role}"
    settings = validated({**MODELS, "arguments": arguments, "draft_arguments": "--admin-api-key SECRET-5"})
    for shown in (settings.shown(), validated({**MODELS, "command": command}).shown()):
        assert "SECRET" not in str(shown) and "***" in str(shown)
    assert settings.shown()["arguments"][-2:] == ["--max-num-batched-tokens", "512"]
    assert validated({**MODELS, "command": "serve {port} 'a b'"}).shown()["command"] == "serve {port} 'a b'"
    draft, _ = settings.servers
    assert "SECRET-1" in command_line(draft) and "SECRET-5" in command_line(draft)
    printed = run_file_of(None, None, settings)
    assert "SECRET" not in printed and "--max-num-batched-tokens" in printed
