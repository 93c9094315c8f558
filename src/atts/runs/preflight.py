"""Before spending: do the engines answer, and do their answers mean what the pipeline takes them to mean?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from atts.config.run import RunConfig
from atts.engines.base import PROBED, Engine
from atts.errors import AttsError
from atts.pipeline.context import share_vocabulary
from atts.pipeline.strategies import strategy_named
from atts.stats.scores import SCORES
from atts.types import EngineInfo, Finish, Generation, GrowingIds, Message, Role, Sampling, TokenIds

Outcome = Literal["ok", "warning", "failed"]

_CHAIN = "check"  # of several servers, one is asked twice
_QUESTION = "What is 17 + 25? Explain each step."
_GREEDY = Sampling(temperature=0)
_PLAIN = Sampling(temperature=1)
_HOT = Sampling(temperature=2)  # tokens that the model itself finds unlikely
_LENGTH = 32  # tokens of the text that is tried on
_CLOSE = 0.02  # mean difference of log-probabilities that needs no word
_WRONG = 0.3  # mean difference that only a misalignment explains
_WRONG_TOKEN = 0.5  # difference of a single token that low precision does not explain
_WRONG_SHARE = 0.1  # and how much more of it does, as a share of the log-probability: rounding grows with it
_LIBRARIES = 0.5  # GB that a process takes which has loaded torch and transformers
_CONTINUED = 8  # characters that are no coincidence


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `role` is empty where it concerns both engines."""

    role: str
    name: str
    outcome: Outcome
    detail: str


@dataclass(slots=True)
class Report:
    """All that was found."""

    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether a run would work and be right."""
        return not self.failures

    @property
    def failures(self) -> list[Finding]:
        """What would make a run fail or be wrong."""
        return [finding for finding in self.findings if finding.outcome == "failed"]

    @property
    def warnings(self) -> list[Finding]:
        """What costs time or exactness."""
        return [finding for finding in self.findings if finding.outcome == "warning"]

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {"ok": self.ok, "findings": [asdict(finding) for finding in self.findings]}


class _Failed(Exception):  # noqa: N818  (a finding, not an error of this program)
    """What was looked at is wrong."""


class _Noteworthy(Exception):  # noqa: N818
    """What was looked at works, at a cost."""


async def check(engines: Mapping[Role, Engine], config: RunConfig) -> Report:
    """Look at both engines side by side. Never raises for what an engine does: that is a finding."""
    examinations = [_Examination(role, engine, config) for role, engine in engines.items()]
    await asyncio.gather(*(examination.run() for examination in examinations))
    report = Report([finding for examination in examinations for finding in examination.findings])
    infos = [examination.info for examination in examinations if examination.info is not None]
    if len(infos) == 2:
        report.findings.append(Finding("", "tokenizers", "ok", _vocabularies(infos)))
    return report


def _vocabularies(infos: Sequence[EngineInfo]) -> str:
    """What is exchanged. A server that is asked how it cuts texts cannot be compared with a tokenizer that is known."""
    if share_vocabulary(infos):
        return "equal: token ids are exchanged"
    asked = {info.vocabulary.startswith(PROBED) for info in infos}
    if asked == {True, False} and not any(info.vocabulary in ("text", "bytes") for info in infos):
        return (
            "not known to be equal: text is exchanged, tokenised once a piece"
            " (name both with --draft-tokenizer and --target-tokenizer)"
        )
    return "different: text is exchanged, tokenised once a piece"


class _Examination:
    """One engine, looked at in order; what cannot be reached is not looked at further."""

    def __init__(self, role: Role, engine: Engine, config: RunConfig) -> None:
        self._role = role
        self._engine = engine
        self._config = config
        self._strategy = strategy_named(config.strategy, config.options)
        self.findings: list[Finding] = []
        self.info: EngineInfo | None = None
        self._prompt = GrowingIds()
        self._text: Generation

    async def run(self) -> None:
        """Make all examinations that concern the role."""
        if not (await self._look("reachable", self._reach) and await self._look("prompt", self._render)):
            return
        if not await self._look("token ids", self._write):
            return
        steps: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("beginning of text", self._begin),
            ("context length", self._length),
            ("continuation", self._continue),
            ("stop strings", self._stop),
            ("seeds", self._seeds),
        ]
        if "memory" in (self.info.details if self.info else {}):
            steps.insert(0, ("memory", self._memory))
        if self._role is Role.TARGET:
            steps += [("log-probabilities", self._align), ("prefix cache", self._cache)]
        if self._role is Role.TARGET and self._strategy.asks:
            steps += [("next token", self._next_token)]
        if self._role is Role.DRAFT and SCORES[self._config.score].needs_draft:
            steps += [("own log-probabilities", self._own)]
        if self._role is Role.DRAFT and self._strategy.reads_itself:
            steps += [("log-probabilities", self._align)]
        for name, step in [*steps, ("round trip", self._round_trip)]:
            await self._look(name, step)

    async def _look(self, name: str, step: Callable[[], Awaitable[str]]) -> bool:
        outcome: Outcome = "ok"
        try:
            detail = await step()
        except _Noteworthy as note:
            outcome, detail = "warning", str(note)
        except (_Failed, AttsError) as error:
            outcome, detail = "failed", str(error)
        self.findings.append(Finding(self._role.value, name, outcome, detail))
        return outcome != "failed"

    async def _reach(self) -> str:
        self.info = info = await self._engine.info()
        version = info.details.get("version")
        return f"{info.engine} {version or ''}, {info.model}".replace(" ,", ",")

    async def _render(self) -> str:
        ids = await self._engine.render([Message("user", _QUESTION)])
        self._prompt = GrowingIds(ids)
        if not ids:
            raise _Failed("the chat template gives no tokens")
        return f"rendered, {len(ids)} tokens"

    async def _write(self) -> str:
        self._text = written = await self._generate(_LENGTH)
        if not written.ids:
            raise _Failed("the model ends its text at once: the prompt is not one that it knows")
        spelt = await self._engine.detokenize(written.ids)
        if spelt.strip("\ufffd ") != written.text.strip("\ufffd "):
            raise _Failed(f"ids spell {spelt[:30]!r}, the text says {written.text[:30]!r}")
        return f"accepted and returned, {len(written.ids)} tokens"

    async def _begin(self) -> str:
        """The prompt begins as the texts did that the model was trained on, once."""
        assert self.info is not None
        front = self.info.front
        if front is None:
            return "up to the server"
        if not front:
            return "the tokenizer puts nothing in front"
        named = repr(" ".join(map(str, front)))
        first, second = tuple(self._prompt[: len(front)]), tuple(self._prompt[len(front) : 2 * len(front)])
        if first == second == front:
            raise _Failed(f"the prompt begins twice with {named}, which the tokenizer puts in front")
        if first != front:
            raise _Noteworthy(f"the tokenizer puts {named} in front of a text, and the chat template does not")
        return f"{named} in front, once"

    async def _memory(self) -> str:
        assert self.info is not None
        parts = {name: size / 1e9 for name, size in self.info.details["memory"].items()}
        told = ", ".join(f"{name} {size:.2f}" for name, size in parts.items())
        return f"{sum(parts.values()) + _LIBRARIES:.1f} GB at most ({told}, libraries {_LIBRARIES})"

    async def _length(self) -> str:
        assert self.info is not None
        length, config = self.info.context_length, self._config
        if length is None:
            raise _Noteworthy("the server does not say")
        wanted = config.turns * (config.draft_tokens + config.target_tokens)
        if (longest := self._strategy.longest) is not None:
            wanted = min(wanted, longest)
        if length < wanted:
            raise _Noteworthy(f"{length:,}: less than a chain may want, {wanted:,}; such chains end unanswered")
        return f"{length:,}"

    async def _stop(self) -> str:
        text = self._text.text
        place = len(text) // 2
        stop = text[place : place + 2]
        if not stop.strip() or "\ufffd" in stop:
            raise _Noteworthy("not tried: the text has no place for it")
        written = await self._generate(_LENGTH, (stop,))
        if written.finish is not Finish.STOP or stop not in written.text:
            raise _Failed(f"writing went on behind {stop!r}")
        return "kept, and end the text"

    async def _seeds(self) -> str:
        assert self.info is not None
        if not self.info.details.get("seeds", True):
            version = self.info.details.get("version")
            raise _Noteworthy(f"not known to version {version}, and not sent: runs cannot be repeated exactly")
        draws = [await self._generate(16, sampling=Sampling(1.0), seed=seed) for seed in (7, 7)]
        if draws[0].ids != draws[1].ids:
            raise _Noteworthy("one seed, two texts: runs cannot be repeated exactly")
        return "one seed, one text"

    async def _continue(self) -> str:
        """Write on behind a part of the text: what comes must be the rest of it.

        An interface that takes messages may begin a new one, and every later chunk would start afresh. Two places are
        tried, since text that is cut is tokenised anew, and a greedy choice may be a tie.
        """
        length = len(self._text.ids)
        for place in sorted({length // 2, length // 4} - {0}, reverse=True):
            same, written = await self._continued(place)
            if same:
                return "goes on where the text stood"
        if length < 2:
            raise _Noteworthy("not tried: the text is too short")
        detail = f"an unfinished answer is not gone on with, writing begins with {written[:30]!r}"
        if self.info is not None and self.info.vocabulary == "text":
            raise _Failed(f"{detail}: every chunk would start afresh")
        raise _Noteworthy(f"{detail}: greedy texts do not repeat (low precision?)")

    async def _continued(self, place: int) -> tuple[bool, str]:
        """Whether the text goes on from about that place, from where a word begins; and what was written."""
        ids = self._text.ids
        rest = await self._engine.detokenize(ids[place:])
        while place > 1 and not rest[:1].isspace():
            place -= 1
            rest = await self._engine.detokenize(ids[place:])
        written = await self._engine.generate(
            [*self._prompt, *ids[:place]], max_tokens=len(ids) - place, sampling=_GREEDY, seed=0
        )
        wanted, got = rest.strip("\ufffd \n"), written.text.strip("\ufffd \n")
        return wanted[:_CONTINUED] == got[:_CONTINUED], written.text

    async def _align(self) -> str:
        """Score texts at once and in two parts, and beside what their author said of each token.

        What the model likes to write has log-probabilities near 0, among which wrong ones look right. So an unlikely
        text is scored too, and what the model, by then confused, writes behind it.
        """
        hot = await self._generate(_LENGTH // 2, sampling=_HOT)
        behind = [*self._prompt, *hot.ids]
        plain = await self._engine.generate(behind, max_tokens=_LENGTH, sampling=_PLAIN, seed=0)
        return _aligned(
            [
                *await self._compare(self._prompt, self._text.ids, self._text.log_probabilities),
                *await self._compare(self._prompt, hot.ids, None),
                *await self._compare(behind, plain.ids, plain.log_probabilities),
            ]
        )

    async def _compare(self, prefix: TokenIds, ids: TokenIds, told: Sequence[float] | None) -> list[list[_Pair]]:
        """Each token's log-probability beside what its author told, and beside the same scored in two parts.

        The second part begins with the least likely token: a wrong entry behind the boundary shows most there.
        """
        if not ids:
            return []
        whole = (await self._engine.score(prefix, ids)).log_probabilities
        found = [_pairs(whole, told, 0)] if told else []
        if len(ids) > 1:
            cut = min(range(1, len(ids)), key=whole.__getitem__)
            first = (await self._engine.score(prefix, ids[:cut])).log_probabilities
            second = (await self._engine.score([*prefix, *ids[:cut]], ids[cut:])).log_probabilities
            found.append(_pairs(whole, first + second, cut))
        return found

    async def _cache(self) -> str:
        """The context has been scored before, so a server that can serves it from its cache."""
        long = GrowingIds([*self._prompt, *self._text.ids] * max(1, 256 // (len(self._prompt) + 1)))
        length = self.info.context_length if self.info else None
        del long[(length or len(long)) - 8 :]
        await self._engine.score(long, self._text.ids[:4], chain=_CHAIN)
        usage = (await self._engine.score(long, self._text.ids[:4], chain=_CHAIN)).usage
        self._engine.release(_CHAIN)
        if usage.cached < len(long) // 2:
            raise _Noteworthy(f"not used for scores ({usage.cached} of {len(long)} tokens): each reads all of it anew")
        return f"used for scores ({usage.cached} of {len(long)} tokens)"

    async def _next_token(self) -> str:
        likeliest = await self._engine.next_token(self._prompt, top=10)
        if not likeliest:
            raise _Failed("the server names none")
        return f"named, {len(likeliest)} of them"

    async def _own(self) -> str:
        """At the temperature of the run: some servers report what they drew from, not what the model said."""
        sampling = Sampling(self._config.draft_temperature)
        written = await self._generate(_LENGTH, sampling=sampling)
        if written.log_probabilities is None:
            raise _Failed(f"not returned with what is written, and score {self._config.score} needs them")
        return "returned with what is written"

    async def _round_trip(self) -> str:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            await self._generate(1)
            times.append(time.perf_counter() - started)
        return f"{1000 * sorted(times)[2]:.1f} ms for one token"

    async def _generate(
        self, tokens: int, stop: Sequence[str] = (), sampling: Sampling = _GREEDY, seed: int = 0
    ) -> Generation:
        return await self._engine.generate(self._prompt, max_tokens=tokens, sampling=sampling, stop=stop, seed=seed)


class _Pair(NamedTuple):
    """A token's log-probability by two ways; `boundary` says that one of them scored nothing before it."""

    one: float
    other: float
    boundary: bool

    @property
    def apart(self) -> float:
        return abs(self.one - self.other)

    @property
    def wrong(self) -> bool:
        """Whether low precision does not explain the difference."""
        return self.apart > _WRONG_TOKEN + _WRONG_SHARE * min(abs(self.one), abs(self.other))


def _pairs(one: Sequence[float], other: Sequence[float], boundary: int) -> list[_Pair]:
    if len(one) != len(other):
        raise _Failed(f"{len(one)} log-probabilities one way, {len(other)} the other, of the same tokens")
    return [_Pair(a, b, place == boundary) for place, (a, b) in enumerate(zip(one, other, strict=True))]


def _aligned(comparisons: Sequence[Sequence[_Pair]]) -> str:
    """What is to be said of the differences; raises for those that are worth more than a word."""
    mean = max((sum(pair.apart for pair in pairs) / len(pairs) for pairs in comparisons), default=0.0)
    every = [pair for pairs in comparisons for pair in pairs]
    most = max((pair.apart for pair in every), default=0.0)
    differ = f"differ by {mean:.2g} a token, one by {most:.2g}"
    if mean > _WRONG or any(pair.wrong for pair in every):
        first = " (the first behind a boundary)" if any(pair.wrong and pair.boundary for pair in every) else ""
        raise _Failed(f"the same tokens scored two ways {differ}{first}")
    if mean > _CLOSE:
        raise _Noteworthy(f"returned; two ways {differ} (low precision?)")
    return f"returned and aligned, two ways {differ}"
