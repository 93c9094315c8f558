"""The vLLM engine against real vLLM servers: the same as the local engine, token for token."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from atts import bundled
from atts.bundled import family
from atts.config.run import RunConfig, resolve
from atts.engines import open_engine
from atts.engines.base import Engine
from atts.errors import EngineError
from atts.runs.runner import Run
from atts.runs.setup import prepare
from atts.store.folder import RunFolder
from atts.types import Finish, Message, Role, Sampling, Turn
from tests.real.conftest import CONTEXT

GREEDY = Sampling(temperature=0)
TOLERANCE = 1e-3
QUESTIONS = [problem.question for problem in family.problems("test", 6, seed=11)]
CHATS = [[Message("user", question)] for question in QUESTIONS]


pytestmark = pytest.mark.asyncio(loop_scope="module")  # the engines live as long as the module, and so does their loop


@pytest_asyncio.fixture(params=[Role.DRAFT, Role.TARGET], scope="module", loop_scope="module")
async def engines(request: pytest.FixtureRequest, vllm_pair: dict[Role, str]) -> AsyncIterator[tuple[Engine, Engine]]:
    """The same model on the server and in process."""
    role: Role = request.param
    folder = {Role.DRAFT: bundled.DRAFT, Role.TARGET: bundled.TARGET}[role]
    served, local = await asyncio.to_thread(
        lambda: [open_engine(name) for name in (vllm_pair[role], f"local:{folder}")]
    )
    yield served, local
    await asyncio.gather(served.close(), local.close())


async def test_texts_and_token_ids(engines: tuple[Engine, Engine]) -> None:
    served, local = engines
    assert (await served.info()).context_length == CONTEXT
    for chat in CHATS:
        for begun in ([], [Message("assistant", "Leo has 63.\n\nHe")]):
            ids = await served.render([*chat, *begun])
            assert ids == await local.render([*chat, *begun])
    for text in ("", " 63-48=15.\n\n", "\n\n\n", "So the answer is \\boxed{7}.", "Größe 🙂", "<end>"):
        ids = await served.tokenize(text)
        assert ids == await local.tokenize(text)
        assert await served.detokenize(ids) == await local.detokenize(ids)


@pytest.mark.parametrize("stop", [(), ("\n\n",), ("63", "=1")])
async def test_greedy_text(engines: tuple[Engine, Engine], stop: tuple[str, ...]) -> None:
    served, local = engines

    async def write(engine: Engine) -> list[tuple[tuple[int, ...], str, Finish]]:
        prefixes = [await engine.render(chat) for chat in CHATS]
        made = [engine.generate(prefix, max_tokens=48, sampling=GREEDY, stop=stop, seed=1) for prefix in prefixes]
        return [(one.ids, one.text, one.finish) for one in await asyncio.gather(*made)]

    assert await write(served) == await write(local)


async def test_scores(engines: tuple[Engine, Engine]) -> None:
    """Equal per token, the boundary token included, for likely and unlikely continuations, at every boundary."""
    served, local = engines
    prefix = await local.render(CHATS[0])
    written = await local.generate(prefix, max_tokens=40, sampling=Sampling(1.5), seed=3)
    strange = tuple(await local.tokenize("7 7 \\boxed{\n\nabc"))
    for continuation in (written.ids, strange, strange[:1]):
        ours = await local.score(prefix, continuation)
        theirs = await served.score(prefix, continuation)
        assert theirs.log_probabilities == pytest.approx(ours.log_probabilities, abs=TOLERANCE)
    whole = [*prefix, *written.ids]
    for start in (1, len(prefix) - 3, len(whole) - 1):
        ours = await local.score(whole[:start], whole[start:])
        theirs = await served.score(whole[:start], whole[start:])
        assert theirs.log_probabilities == pytest.approx(ours.log_probabilities, abs=TOLERANCE)


async def test_what_it_writes_is_what_it_scores(engines: tuple[Engine, Engine]) -> None:
    served, _ = engines
    prefix = await served.render(CHATS[1])
    written = await served.generate(prefix, max_tokens=40, sampling=Sampling(0.8), seed=5)
    assert written.log_probabilities is not None
    scored = await served.score(prefix, written.ids)
    assert written.log_probabilities == pytest.approx(scored.log_probabilities, abs=TOLERANCE)


async def test_next_token(engines: tuple[Engine, Engine]) -> None:
    served, local = engines
    prefix = await local.render(CHATS[2])
    ours, theirs = await local.next_token(prefix, top=5), await served.next_token(prefix, top=5)
    assert [token for token, _ in theirs] == [token for token, _ in ours]
    assert [value for _, value in theirs] == pytest.approx([value for _, value in ours], abs=TOLERANCE)


async def test_seeds_hold_in_any_company(engines: tuple[Engine, Engine]) -> None:
    served, _ = engines
    prefix = await served.render(CHATS[3])

    async def write(seed: int) -> tuple[int, ...]:
        return (await served.generate(prefix, max_tokens=24, sampling=Sampling(2.0), seed=seed)).ids

    together = await asyncio.gather(*(write(seed) for seed in range(32)))
    assert len(set(together)) > 1
    assert [await write(seed) for seed in range(6)] == together[:6]


async def test_the_end_of_the_context(engines: tuple[Engine, Engine]) -> None:
    served, _ = engines
    prefix = (await served.render(CHATS[0]) * CONTEXT)[: CONTEXT - 4]
    written = await served.generate(prefix, max_tokens=50, sampling=GREEDY)
    assert len(written.ids) <= 4
    with pytest.raises(EngineError):
        await served.generate([*prefix, 5, 5, 5, 5], max_tokens=1, sampling=GREEDY)


async def test_the_same_run_on_servers_and_in_process(vllm_pair: dict[Role, str], tmp_path: Path) -> None:
    """Greedy, one chain at a time: every turn has the same text, and every score is the same within the tolerance."""
    asked = {"limit": 6, "samples": 2, "turns": 12, "chains": 1, "draft_temperature": 0.0, "target_temperature": 0.0}

    async def turns(name: str, addresses: dict[str, str]) -> list[Turn]:
        config: RunConfig = resolve(preset="bundled", options={**asked, **addresses})
        run = Run(await asyncio.to_thread(prepare, config), tmp_path / name)
        summary = await run.execute()
        assert summary["status"] == "complete"
        journal = await asyncio.to_thread(lambda: RunFolder(tmp_path / name).journal())
        return [turn for key in sorted(journal.turns) for turn in journal.turns[key]]

    served = await turns("served", {role.value: address for role, address in vllm_pair.items()})
    local = await turns("local", {"draft": f"local:{bundled.DRAFT}", "target": f"local:{bundled.TARGET}"})
    assert len(served) == len(local)
    for theirs, ours in zip(served, local, strict=True):
        assert [piece.text for piece in theirs.kept] == [piece.text for piece in ours.kept]
        assert theirs.scores.keys() == ours.scores.keys()
        assert theirs.scores["log_perplexity"] == pytest.approx(ours.scores["log_perplexity"], abs=TOLERANCE)
    assert any(turn.takeover is not None for turn in local)


async def test_a_whole_run(vllm_pair: dict[Role, str], tmp_path: Path) -> None:
    """`atts run` as a user starts it."""
    command = [sys.executable, "-m", "atts", "run", "--preset", "bundled", "--limit", "6", "--samples", "8", "--json"]
    addresses = [word for role, address in vllm_pair.items() for word in (f"--{role}", address)]
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, *addresses, "--out", str(tmp_path / "run"), "--quiet"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["status"] == "complete"
    assert summary["chains"]["done"] == 48 and summary["chains"]["error"] == 0
    assert 0.05 < summary["takeover"]["rate"]["value"] < 0.5
    assert summary["engines"]["target"]["engine"] == "vllm"
