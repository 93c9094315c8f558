"""What does the orchestrator itself cost? CPU of this process a turn, against a server that answers at once.

    python benchmarks/orchestrator.py [--in-flight 256] [--turns 8] [--json]

A turn is a draft and a score by the whole pipeline (contexts, slots, decision, events), each a request with all ids of
the context. `bare posts` sends two bodies of the same size by aiohttp and does nothing else: what is above it is ours.
`httpx, re-tokenised` does a turn as scripts often do: the history is text, it is tokenised anew to find the boundary,
and httpx sends it. Exit status 1 if a turn at 4,000 ids costs more than 2 ms, or a turn at 30,000 ids costs, apart
from sending, more than 1.5 times one at 3,000.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from atts.engines.servers.sglang import SglangEngine
from atts.events import Event
from atts.grading.extract import extractor
from atts.pipeline.pool import Job, Pool, run_batch
from atts.pipeline.recipe import Recipe
from atts.pipeline.settings import ChainSettings, SlotSettings
from atts.pipeline.siblings import Siblings
from atts.pipeline.stages import Stages
from atts.pipeline.strategies import strategy_named
from atts.stats.calibrators import make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.types import Chain, Message, Role
from loopback import FIRST_ID

CHUNK = 64  # tokens of a chunk
LIMIT_MS = 2.0
LIMIT_RATIO = 1.5


@dataclass(frozen=True)
class Cost:
    """CPU of this process, and wall time, a turn; milliseconds."""

    what: str
    ids: int
    turns: int
    cpu_ms: float
    wall_ms: float


class Primed(SglangEngine):
    """An engine whose every prompt is so many ids long."""

    def __init__(self, url: str, ids: int, width: int) -> None:
        super().__init__(url)
        self.http.limiter.most = width
        self.http.limiter.limit = float(width)
        self._prompt = [FIRST_ID + place % 50_000 for place in range(ids)]

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """Always the same."""
        return self._prompt


@contextlib.asynccontextmanager
async def loopback() -> AsyncIterator[str]:
    """The server in a process of its own, and its URL."""
    script = Path(__file__).with_name("loopback.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(CHUNK), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdin is not None
    port = int(await process.stdout.readline())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        await process.wait()


async def pipeline(url: str, ids: int, width: int, turns: int) -> Cost:
    """So many chains at once, by the pipeline itself: what some turns more cost.

    A real history has grown turn by turn; here it is written out at once in a chain's first turn, which is no part of
    what a turn costs. So the same run with one turn is subtracted.
    """
    longer, shorter = await _run_chains(url, ids, width, turns + 1), await _run_chains(url, ids, width, 1)
    done = width * turns
    cpu, wall = ((more - less) * 1000 / done for more, less in zip(longer, shorter, strict=True))
    return Cost("pipeline", ids, done, cpu, wall)


async def _run_chains(url: str, ids: int, width: int, turns: int) -> tuple[float, float]:
    """CPU and wall time of so many chains, seconds."""
    engine = Primed(url, ids, width)
    ended: list[Chain] = []
    events: list[Event] = []
    clock = asyncio.get_running_loop().time
    stages = Stages(dict.fromkeys(Role, engine), SlotSettings(width, width, width, width), clock)
    recipe = Recipe(
        make_calibrator(CalibratorSettings("tracked", 0.0)),
        lambda _: extractor("boxed"),
        ChainSettings(turns=turns, draft_tokens=CHUNK),
        emit=events.append,
        ended=ended.append,
    )
    siblings = Siblings(dict.fromkeys(range(width), 0))
    method, messages = strategy_named("atts"), [Message("user", "?")]
    jobs = [Job("problem", sample, messages, method, recipe, siblings=siblings) for sample in range(width)]
    try:
        await engine.info()
        cpu, wall = time.process_time(), time.perf_counter()
        async with Pool(stages, width) as pool:
            await run_batch(pool, jobs)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    finally:
        await engine.close()
    assert sum(chain.turns for chain in ended) == width * turns, [chain.reason for chain in ended][:3]
    return cpu, wall


async def bare(url: str, ids: int, width: int, turns: int) -> Cost:
    """Two posts a turn with bodies of the same size, written beforehand."""
    written = json.dumps({"input_ids": [FIRST_ID + place % 50_000 for place in range(ids)]}).replace(" ", "").encode()
    bodies = (written[:-1] + b',"max_new_tokens":1}', written[:-1] + b',"max_new_tokens":0}')

    async def chain(session: aiohttp.ClientSession) -> None:
        for _ in range(turns):
            for body in bodies:
                async with session.post(f"{url}/generate", data=body) as response:
                    await response.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(chain(session) for _ in range(width)))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    done = width * turns
    return Cost("bare posts", ids, done, 1000 * cpu / done, 1000 * wall / done)


async def retokenised(url: str, ids: int, width: int, turns: int) -> Cost:
    """Text history, tokenised at every turn, by httpx."""
    import httpx
    from transformers import AutoTokenizer

    from atts import bundled

    tokenizer: Any = AutoTokenizer.from_pretrained(bundled.TARGET)
    tokenizer.model_max_length = 10**9
    word = "12 plus 30 is 42, so 7 remain.\n\n"
    start = word * (ids // len(tokenizer.encode(word)) + 1)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)

    async def chain(client: httpx.AsyncClient) -> None:
        text = start
        for _ in range(turns):
            body: dict[str, Any] = {"text": text, "sampling_params": {"max_new_tokens": CHUNK}}
            answer = (await client.post(f"{url}/generate", json=body)).json()
            boundary = len(tokenizer.encode(text))
            text += answer["text"]
            body = {
                "text": text,
                "return_logprob": True,
                "logprob_start_len": boundary,
                "sampling_params": {"max_new_tokens": 0},
            }
            (await client.post(f"{url}/generate", json=body)).json()

    async with httpx.AsyncClient(limits=limits, timeout=600) as client:
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(chain(client) for _ in range(width)))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    done = width * turns
    return Cost("httpx, re-tokenised", ids, done, 1000 * cpu / done, 1000 * wall / done)


async def measure(width: int, turns: int, repeats: int) -> list[Cost]:
    """All costs; of each the median of some repeats, taken in turn so that a busy machine hits all alike."""
    plan = [(pipeline, 4000), (bare, 4000), (pipeline, 3000), (bare, 3000), (pipeline, 30000), (bare, 30000)]
    found: dict[tuple[str, int], list[Cost]] = {}
    async with loopback() as url:
        await pipeline(url, 100, 16, 2)  # imports and first calls
        for _ in range(repeats):
            for kind, ids in plan:
                cost = await kind(url, ids, width, turns)
                found.setdefault((cost.what, ids), []).append(cost)
        found["httpx", 4000] = [await retokenised(url, 4000, width, max(1, turns // 4))]
    return [sorted(costs, key=lambda cost: cost.cpu_ms)[len(costs) // 2] for costs in found.values()]


def verdict(costs: Sequence[Cost]) -> dict[str, float]:
    """The figures that are promised."""
    by = {(cost.what, cost.ids): cost.cpu_ms for cost in costs}
    own = {ids: by["pipeline", ids] - by["bare posts", ids] for ids in (3000, 30000)}
    return {
        "turn_ms": by["pipeline", 4000],
        "total_ratio": by["pipeline", 30000] / by["pipeline", 3000],
        "own_ratio": own[30000] / own[3000],
        "httpx_ratio": by["httpx, re-tokenised", 4000] / by["pipeline", 4000],
    }


def show(costs: Sequence[Cost], figures: dict[str, float]) -> None:
    table = Table(title="CPU a turn (draft + score)", title_justify="left")
    for column in ("what", "ids of context", "turns", "CPU ms", "wall ms"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for cost in costs:
        table.add_row(cost.what, f"{cost.ids:,}", str(cost.turns), f"{cost.cpu_ms:.2f}", f"{cost.wall_ms:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"a turn at 4,000 ids: {figures['turn_ms']:.2f} ms (at most {LIMIT_MS:g}); 30,000 over 3,000 ids, apart from"
        f" sending: {figures['own_ratio']:.2f} (at most {LIMIT_RATIO:g}), with sending {figures['total_ratio']:.2f};"
        f" httpx and re-tokenising: {figures['httpx_ratio']:.1f} times as much",
        highlight=False,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    costs = asyncio.run(measure(arguments.in_flight, arguments.turns, arguments.repeats))
    figures = verdict(costs)
    if arguments.json:
        print(json.dumps({"costs": [asdict(cost) for cost in costs], **figures}, indent=2))
    else:
        show(costs, figures)
    return 0 if figures["turn_ms"] <= LIMIT_MS and figures["own_ratio"] <= LIMIT_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
