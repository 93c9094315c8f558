"""Models in process trees of our own: `local:PATH` runs any Hugging Face folder or name, on CPU or CUDA."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shlex
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atts.engines.base import DRAWING, EVERYTHING, EngineOptions
from atts.engines.log_probabilities import finite
from atts.errors import EngineError, InputError, NoRoomError, ScoreError, needs_extra
from atts.types import ChainKey, EngineInfo, Finish, Generation, Message, Sampling, Scoring, TokenIds, Usage

_LINE_LIMIT = 1 << 27  # bytes of one answer
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_CONVERT = (
    "import sys; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T, GgufConfig as G;"
    " d, f, o = sys.argv[1:]; T.from_pretrained(d, gguf_file=f).save_pretrained(o);"
    ' M.from_pretrained(d, gguf_file=f, dtype="bfloat16", quantization_config=G(dequantize=True)).save_pretrained(o)'
)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")


logger = logging.getLogger("atts")

RESTARTS = 3
"""How often a worker that dies is started again within ten minutes."""
_WITHIN = 600.0


class _DeathError(Exception):
    """The worker has died, and another one may answer."""


class LocalEngine:
    """A model in a worker process of its own, started at the first call.

    Generations are batched continuously by transformers; scores reuse the keys and values of the context. The same
    seed gives the same tokens in any company. A worker that dies is started again, and what was open is asked again.
    Raises `EngineError` where the model cannot be loaded or fails.
    """

    knows = EVERYTHING

    def __init__(
        self, path: str, *, device: str | None = None, threads: int | None = None, options: EngineOptions | None = None
    ) -> None:
        self.path = path
        self._options = options or EngineOptions()
        self._device = device
        # Two engines compute side by side: each gets half of the cores.
        self._threads = threads or max(1, (os.cpu_count() or 2) // 2)
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._pending: dict[str, asyncio.Future[Any]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stderr: deque[str] = deque(maxlen=40)
        self._count = 0
        self._info: EngineInfo | None = None
        self._failure: str | None = None
        self._answered = False  # by the worker that runs
        self._deaths: list[float] = []

    @classmethod
    def open(cls, path: str, options: EngineOptions | None = None) -> LocalEngine:
        """The engine for a folder or a name on the hub; what is neither, or a folder without a model, is refused."""
        import importlib.util

        if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None:
            raise needs_extra("local models need torch and transformers", "local")
        folder = Path(path).expanduser()
        _refuse_gguf(path, folder)
        if folder.is_dir() or not _HUB_NAME.fullmatch(path):
            _refuse_incomplete(path, folder)
        return cls(str(folder) if path.startswith("~") else path, options=options)

    async def info(self) -> EngineInfo:
        """What the model says of itself; loads it at the first call."""
        if self._info is None:
            told = await self._call("info")
            self._info = EngineInfo(engine="local", **told | {"front": tuple(told["front"])})
        return self._info

    async def render(self, messages: Sequence[Message]) -> list[int]:
        """The chat by the model's own template."""
        rendered: list[int] = await self._call("render", messages=[message._asdict() for message in messages])
        return rendered

    async def tokenize(self, text: str) -> list[int]:
        """The text on its own."""
        ids: list[int] = await self._call("tokenize", text=text)
        return ids

    async def detokenize(self, ids: TokenIds) -> str:
        """The text of the ids."""
        text: str = await self._call("detokenize", ids=list(ids))
        return text

    async def generate(
        self,
        prefix: TokenIds,
        *,
        max_tokens: int,
        sampling: Sampling,
        stop: Sequence[str] = (),
        seed: int | None = None,
        chain: ChainKey | None = None,
    ) -> Generation:
        """Write after the prefix; see `Engine.generate`."""
        await self._require_room(len(prefix) + 1)
        await self._require_memory(len(prefix) + 1)
        answer = await self._call(
            "generate",
            prefix=list(prefix),
            max_tokens=max_tokens,
            stop=list(stop),
            sampling={
                "seed": int.from_bytes(os.urandom(6), "big") if seed is None else seed,
                "temperature": float(sampling.temperature),
                "top_p": float(sampling.top_p),
                "top_k": sampling.top_k,
                **{name: float(getattr(sampling, name)) for name in DRAWING},
            },
        )
        return Generation(
            ids=tuple(answer["ids"]),
            text=answer["text"],
            finish=Finish(answer["finish"]),
            usage=Usage(prompt=len(prefix), completion=answer["completion"]),
            log_probabilities=tuple(answer["log_probabilities"]),
        )

    async def score(self, prefix: TokenIds, continuation: TokenIds, *, chain: ChainKey | None = None) -> Scoring:
        """Log-probabilities of the continuation; see `Engine.score`."""
        if not continuation:
            raise ScoreError("an empty continuation has no score")
        await self._require_room(len(prefix) + len(continuation))
        answer = await self._call("score", prefix=list(prefix), continuation=list(continuation))
        values = answer["log_probabilities"]
        if len(values) != len(continuation):
            raise ScoreError(f"local:{self.path}: log-probabilities are missing")
        return Scoring(
            finite(values, f"local:{self.path}"), Usage(prompt=len(prefix) + len(continuation), cached=answer["cached"])
        )

    async def next_token(self, prefix: TokenIds, *, top: int, chain: ChainKey | None = None) -> list[tuple[int, float]]:
        """The likeliest next tokens."""
        await self._require_room(len(prefix))
        pairs = await self._call("next_token", prefix=list(prefix), top=top)
        return [(token, value) for token, value in pairs]

    def release(self, chain: ChainKey) -> None:
        """Nothing is kept by chain: caches are found by their ids."""

    async def close(self) -> None:
        """End the worker process."""
        async with self._starting:
            process, self._process = self._process, None
            self._failure = self._failure or "the engine is closed"
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), timeout=5)
        except TimeoutError:
            process.kill()
            await process.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _require_room(self, tokens: int) -> None:
        length = (await self.info()).context_length
        if length is not None and tokens > length:
            raise NoRoomError(f"local:{self.path}: {tokens} tokens do not fit into the context, which holds {length}")

    async def _require_memory(self, tokens: int) -> None:
        room = (await self.info()).details["room"]
        if tokens > room:
            raise NoRoomError(f"local:{self.path}: {tokens} tokens: keys and values have room for {room} of a text")

    async def _call(self, call: str, **arguments: Any) -> Any:
        while True:
            try:
                return await self._ask(await self._running(), call, arguments)
            except _DeathError:
                continue

    async def _ask(self, process: asyncio.subprocess.Process, call: str, arguments: dict[str, Any]) -> Any:
        self._count += 1
        name = str(self._count)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[name] = future
        self._write(process, {"id": name, "call": call, **arguments})
        try:
            return await future
        except asyncio.CancelledError:
            if self._process is process and process.returncode is None:
                self._write(process, {"id": "", "call": "cancel", "target": name})
            raise
        finally:
            self._pending.pop(name, None)

    def _write(self, process: asyncio.subprocess.Process, message: dict[str, Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def _running(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._failure is not None:
                raise EngineError(f"local:{self.path}: {self._failure}")
            if self._process is None:
                self._process = await self._start()
            return self._process

    async def _start(self) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "atts.engines.local.worker", self.path, "--threads", str(self._threads)]
        command += ["--template", json.dumps(dict(self._options.template))]
        command += ["--end-tokens", json.dumps(self._options.end_tokens)]
        command += ["--writers", str(self._options.writers)]
        if self._options.longest is not None:
            command += ["--longest", str(self._options.longest)]
        if self._device is not None:
            command += ["--device", self._device]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        self._answered = False
        self._stderr.clear()
        self._tasks = [
            asyncio.create_task(self._read_answers(process)),
            asyncio.create_task(self._read_errors(process)),
        ]
        return process

    async def _read_errors(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self._stderr.append(line.decode(errors="replace").rstrip())

    async def _read_answers(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            answer = json.loads(line)
            self._answered = True
            future = self._pending.get(answer["id"])
            if future is None or future.done():
                continue
            if "error" in answer:
                future.set_exception(EngineError(f"local:{self.path}: {answer['error']}"))
            else:
                future.set_result(answer["result"])
        status = await process.wait()
        await self._tasks[1]
        error = self._bury(status)
        for future in self._pending.values():
            if not future.done():
                future.set_exception(error)

    def _bury(self, status: int) -> Exception:
        """What those hear who wait for a worker that has ended: to ask again, or why that is of no use."""
        now = asyncio.get_running_loop().time()
        self._deaths = [*(death for death in self._deaths if now - death < _WITHIN), now]
        words = self._last_words(status)
        # One that ends by itself before it has answered anything cannot load its model, and would not the next time.
        if self._failure is None and len(self._deaths) <= RESTARTS and (self._answered or status < 0):
            logger.warning(
                "local:%s: %s; it is started again (%d of %d)", self.path, words, len(self._deaths), RESTARTS
            )
            self._process = None
            return _DeathError()
        self._failure = self._failure or words
        return EngineError(f"local:{self.path}: {self._failure}")

    def _last_words(self, status: int) -> str:
        said = next((line for line in reversed(self._stderr) if line.strip()), "no message")
        return f"the worker process ended with status {status}: {said}"


def _refuse_incomplete(path: str, folder: Path) -> None:
    """Raise `InputError` unless the folder holds a model and a tokenizer."""
    if not (folder / "config.json").is_file():
        raise InputError(f"local:{path}: no model there (a folder with config.json is needed)")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise InputError(f"local:{path}: no tokenizer there (one of {', '.join(_TOKENIZERS)} is needed)")


def _refuse_gguf(path: str, folder: Path) -> None:
    """Raise `InputError` for a GGUF file, or a folder of nothing else, with the command that converts it."""
    found = sorted(folder.glob("*.gguf")) if folder.is_dir() and not (folder / "config.json").is_file() else []
    if not found and folder.suffix.lower() != ".gguf":
        return
    file = found[0] if found else folder
    if not file.is_file():
        raise InputError(f"local:{path}: there is no such file")
    made = file.with_suffix("").name
    arguments = " ".join(map(shlex.quote, (str(file.parent), file.name, made)))
    raise InputError(
        f"local:{path}: GGUF is not read; convert it once, then use local:./{made}:"
        f" pip install gguf accelerate && python -c '{_CONVERT}' {arguments}"
    )
