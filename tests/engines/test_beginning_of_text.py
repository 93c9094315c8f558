"""The special tokens of a tokenizer stand in front of a text, once, whichever engine renders it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atts import bundled
from atts.config.run import resolve
from atts.engines.base import Engine, EngineOptions
from atts.engines.local import LocalEngine
from atts.engines.local.tokenizer import Tokenizer, after_front, front_of
from atts.engines.scripted import ScriptedEngine
from atts.engines.servers.openai import OpenAIEngine
from atts.engines.servers.sglang import SglangEngine
from atts.engines.servers.vllm import VllmEngine
from atts.runs.preflight import Finding, check
from atts.testing import serve
from atts.testing.server import BadRequest
from atts.testing.sglang import SglangServer
from atts.testing.vllm import VllmServer
from atts.types import EngineInfo, Message, Role
from tests.engines.beginning import FRONT, model_with_front

pytest.importorskip("transformers")
pytestmark = pytest.mark.skipif(not (Path(bundled.DRAFT) / "config.json").is_file(), reason="no bundled model")

CHAT = [Message("user", "What is 17 + 25?")]
PLAIN = [message._asdict() for message in CHAT]
WRITES_IT = "<|system|>{% for message in messages %}{{ message['content'] }}{% endfor %}"
LEAVES_IT_OUT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.mark.parametrize(
    ("plain", "special", "front"),
    [
        ([5], [5], []),
        ([5], [1, 5], [1]),
        ([5, 6], [1, 2, 5, 6, 3], [1, 2]),  # what stands after the text is left out
        ([5], [7, 8], []),
        ([], [1], []),
    ],
)
def test_what_stands_in_front(plain: list[int], special: list[int], front: list[int]) -> None:
    assert front_of(plain, special) == front


def test_in_front_once() -> None:
    assert after_front([1], [5]) == after_front([1], [1, 5]) == [1, 5]
    assert after_front([], [5]) == [5]


@pytest.mark.parametrize("template", [None, WRITES_IT])
def test_a_prompt_begins_with_it_once(tmp_path: Path, template: str | None) -> None:
    tokenizer = Tokenizer(str(model_with_front(tmp_path / "model", template)))
    text = CHAT[0].content + ("" if template else "\n\n")
    assert tokenizer.front() == [FRONT]
    assert tokenizer.render(PLAIN) == [FRONT, *tokenizer.tokenize(text)]
    assert FRONT not in tokenizer.tokenize("more")  # what is appended later has nothing in front


def test_a_template_that_leaves_it_out_is_believed(tmp_path: Path) -> None:
    tokenizer = Tokenizer(str(model_with_front(tmp_path / "model", LEAVES_IT_OUT)))
    assert FRONT not in tokenizer.render(PLAIN)


def test_a_tokenizer_with_nothing_in_front() -> None:
    assert Tokenizer(str(bundled.DRAFT)).front() == []


class Untaught(VllmServer):
    """A server of a model without a chat template."""

    async def _rendered(self, messages: list[Message], continued: bool) -> list[int]:
        raise BadRequest("you must provide a chat template if the tokenizer does not define one")


async def test_the_same_everywhere(tmp_path: Path) -> None:
    path = str(model_with_front(tmp_path / "model"))
    local = LocalEngine(path, threads=1)
    named = EngineOptions(tokenizer=path)
    async with (
        serve("sglang", local, make_server=partial(SglangServer, tokenizer=path)) as sglang,
        serve("vllm", local, make_server=Untaught) as vllm,
    ):
        engines: list[Engine] = [local, SglangEngine(sglang.url), VllmEngine(vllm.url)]
        engines += [SglangEngine(sglang.url, named), VllmEngine(vllm.url, named), OpenAIEngine(vllm.url, named)]
        wanted = await local.render(CHAT)
        assert wanted[0] == FRONT and FRONT not in wanted[1:]
        for engine in engines:
            assert await engine.render(CHAT) == wanted
            opened = await engine.render([*CHAT, Message("assistant", "It is")])
            assert opened[0] == FRONT and FRONT not in opened[1:]
            assert (await engine.info()).front in ((FRONT,), None)
        for engine in reversed(engines):
            await engine.close()


class Fronted(ScriptedEngine):
    """Says what its tokenizer puts in front, and renders with this in front."""

    def __init__(self, says: tuple[int, ...] | None, renders: tuple[int, ...]) -> None:
        super().__init__()
        self._says, self._renders = says, renders

    async def info(self) -> EngineInfo:
        return replace(await super().info(), front=self._says)

    async def render(self, messages: Any) -> list[int]:
        return [*self._renders, *await super().render(messages)]


@pytest.mark.parametrize(
    ("says", "renders", "outcome"),
    [
        (None, (), "ok"),
        ((), (), "ok"),
        ((7,), (7,), "ok"),
        ((7, 8), (7, 8), "ok"),
        ((7,), (), "warning"),
        ((7,), (8,), "warning"),
        ((7,), (7, 7), "failed"),
    ],
)
async def test_the_check_compares(says: tuple[int, ...] | None, renders: tuple[int, ...], outcome: str) -> None:
    config = resolve(options={"draft": "scripted:", "target": "scripted:"})
    report = await check({Role.DRAFT: Fronted(says, renders)}, config)
    found = [finding for finding in report.findings if finding.name == "beginning of text"]
    assert [finding.outcome for finding in found] == [outcome]
    assert isinstance(found[0], Finding)
