"""The configuration of a run: one flat set of keys, from defaults, a preset, a run file, options and `--set`."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from atts.config.earlier import in_todays_words
from atts.config.presets import PRESETS
from atts.engines.base import DRAWING, EngineOptions
from atts.errors import InputError
from atts.options import refused
from atts.pipeline.order import parse_order
from atts.pipeline.settings import STEP_END, ChainSettings, SlotSettings
from atts.pipeline.stop import VoteRule
from atts.pipeline.strategies import STRATEGIES, strategy_named
from atts.pipeline.vote import VoteStop
from atts.registry import guess, unknown
from atts.stats.calibrators import own_options, refuse_unused, resolve_settings
from atts.stats.estimate import MOST_SAMPLES
from atts.stats.scores import SCORES
from atts.stats.settings import OPTIONS, CalibratorOptions, CalibratorSettings, resolve_rate
from atts.types import Role, Sampling

FREE_ON_RESUME = frozenset({"chains", "draft_slots", "score_slots", "takeover_slots", "check", "timeout", "patience"})
"""Keys that say how fast a run goes, not what it does: they may change when it is resumed."""

_ADDED = frozenset(
    {
        *DRAWING,
        *("threshold", "calibrator_options"),
        *("stop", "draft_end_tokens", "target_end_tokens"),
        *("chat_template_kwargs", "draft_chat_template_kwargs", "target_chat_template_kwargs"),
    }
)
"""Keys that earlier versions had not: where they say nothing, a run is the same as before."""

BUNDLED = "bundled"
"""What the pair that comes with the package, its family of problems, its prompt and its preset are called."""

_RATES = frozenset({"takeover_rate", "budget", "alpha"})  # three names of one thing


_PROMPT = 4096  # tokens that are kept free for a prompt, beside the question that it asks


class _Asked(BaseModel):
    """The keys of a run up to its rate control: which problems, method, models, sampling, and at what rate."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    problems: str = Field("bundled", description="data set by name, or a file of problems")
    limit: int | None = Field(None, ge=1, description="use the first N problems only")
    split: str | None = Field(None, description="split of the data set")
    subset: str | None = Field(None, description="named subset of the data set")
    columns: str | None = Field(None, description="columns of a file: question=…,answer=…,choices=…,id=…")
    skip_bad_rows: bool = Field(False, description="leave out rows of a file that cannot be used")
    revision: str | None = Field(None, description="commit of the hub's data set, instead of the pinned one")
    prompt: str | None = Field(None, description="prompt by name, or a file; default: the data set's")
    samples: int = Field(16, ge=1, le=MOST_SAMPLES, description="chains a problem")
    strategy: str = Field("atts", description="method by name (atts ls strategies)")
    options: dict[str, Any] = Field(
        default_factory=dict, description="the method's own options (atts ls strategies); more than once"
    )
    draft: str = Field("bundled:draft", description="draft engine, scheme:address")
    target: str = Field("bundled:target", description="target engine, scheme:address")
    draft_tokenizer: str | None = Field(None, description="local tokenizer for a draft server that offers none")
    target_tokenizer: str | None = Field(None, description="the same for the target")
    turns: int = Field(15, ge=1, description="most turns of a chain (as good as none where a turn is a paragraph)")
    chunk: Literal["tokens", "step"] = Field("tokens", description="a chunk is draft-tokens tokens, or one paragraph")
    draft_tokens: int = Field(500, ge=1, description="most tokens of a chunk")
    target_tokens: int = Field(500, ge=1, description="most tokens of a takeover")
    on_reject: Literal["continue", "replace"] = Field(
        "replace", description="the target writes on after a rejected chunk, or in its place"
    )
    last_chunk: Literal["check", "accept"] = Field(
        "check", description="decide on the chunk that ends a chain too, or let it stand unread"
    )
    draft_temperature: float = Field(0.8, ge=0, description="0 is greedy")
    target_temperature: float = Field(0.8, ge=0, description="0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling, both models")
    top_k: int = Field(0, ge=0, description="most likely tokens only, both models; 0 is all")
    min_p: float = Field(0.0, ge=0, le=1, description="leave out what is less likely than this share of the likeliest")
    repetition_penalty: float = Field(1.0, gt=0, le=10, description="of tokens that stand in the text; 1 is none")
    presence_penalty: float = Field(0.0, ge=-2, le=2, description="of tokens that the chunk holds already; 0 is none")
    frequency_penalty: float = Field(0.0, ge=-2, le=2, description="the same, once for each time")
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="a text that ends a chain; more than once"
    )
    draft_end_tokens: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="id of a token that ends the draft's text, beside its own; more than once"
    )
    target_end_tokens: tuple[Annotated[int, Field(ge=0)], ...] = Field((), description="the same for the target")
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="variable of both chat templates (enable_thinking=false); more than once"
    )
    draft_chat_template_kwargs: dict[str, Any] = Field(default_factory=dict, description="the draft's only")
    target_chat_template_kwargs: dict[str, Any] = Field(default_factory=dict, description="the target's only")
    score: str = Field("log_perplexity", description="nonconformity score by name (atts ls scores)")
    calibrator: str = Field("budgeted", description="rate control by name (atts ls calibrators)")
    calibrator_options: dict[str, Any] = Field(
        default_factory=dict, description="options that only this calibrator has (atts ls calibrators); more than once"
    )
    takeover_rate: float | None = Field(None, ge=0, le=1, description="promised share of chunks that the target takes")
    budget: float | None = Field(None, ge=0, description="the same as takeovers among the samples of a problem")
    alpha: float | None = Field(None, ge=0, le=1, description="the same in the paper's word: 1 - rate")


# The checker takes a frozen dataclass below a model amiss; the model is frozen as well.
class RunConfig(CalibratorOptions, _Asked):  # type: ignore[misc]
    """Everything that a run is determined by. Keys of the run file and options of the command have these names."""

    calibration: str | None = Field(None, description="calibration file for a warm start")
    answer: str | None = Field(None, description="rule that finds the finished answer; default: the data set's")
    grader: str | None = Field(None, description="how answers are compared; default: the data set's")
    order: str = Field("samples", description="chains are opened sample by sample, or problems, or blocks:N problems")
    chains: int = Field(64, ge=1, description="chains open at once")
    draft_slots: int = Field(32, ge=1, description="draft requests at once")
    score_slots: int = Field(32, ge=1, description="score requests at once")
    takeover_slots: int = Field(32, ge=1, description="takeover requests at once")
    check: bool = Field(True, description="look at servers before anything is run on them (atts check)")
    vote_stop: VoteStop = Field(
        "off", description="end a problem when its majority is decided: provably, or with vote-error at most"
    )
    vote_error: float = Field(
        0.05, gt=0, lt=1, description="chance that a statistical vote stop leaves another majority than all samples"
    )
    timeout: float = Field(600, gt=0, description="seconds until a request is given up and sent again")
    patience: float = Field(300, ge=0, description="seconds to wait for a server that is down")
    seed: int = Field(0, ge=0, description="seed of everything random")

    @model_validator(mode="before")
    @classmethod
    def _of_strategy(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Complete what the strategy determines: its options, its turns, and the calibrator of one that has its own."""
        options = values.get("options", {})
        if not isinstance(options, Mapping):
            return values  # wrong, and refused below
        strategy = strategy_named(values.get("strategy", "atts"), options)
        fixed: dict[str, Any] = {"calibrator": strategy.calibrator} if strategy.calibrator else {}
        if strategy.needs_siblings:
            fixed["order"] = "problems"
        return {"turns": strategy.turns} | fixed | values | {"options": dict(vars(strategy))}

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_numbers(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`true` is no 1: who writes it there has mistaken the key."""
        for key, field in cls.model_fields.items():
            if isinstance(values.get(key), bool) and field.annotation not in (bool, bool | None):
                raise ValueError(f"{key} = {str(values[key]).lower()}: it is no switch")
        return values

    @model_validator(mode="after")
    def _fits_strategy(self) -> RunConfig:
        strategy = STRATEGIES[self.strategy]
        if strategy.calibrator not in ("", self.calibrator):
            raise ValueError(
                f"calibrator = {self.calibrator}: strategy {strategy.name} decides by {strategy.calibrator}"
            )
        if strategy.reads_itself and SCORES[self.score].needs_draft:
            raise ValueError(f"score = {self.score}: it compares two models, and strategy {strategy.name} has one")
        if self.calibrator == "ranked" and not strategy.together:
            raise ValueError("calibrator = ranked: it ranks whole rounds, which strategy lockstep alone waits for")
        if strategy.together and self.chains < self.samples:
            raise ValueError(
                f"chains = {self.chains}: strategy {strategy.name} keeps all {self.samples} samples of a problem open"
            )
        return self

    @model_validator(mode="after")
    def _known_order(self) -> RunConfig:
        try:
            order = parse_order(self.order)
        except InputError as error:
            raise ValueError(str(error)) from error
        if strategy_named(self.strategy, self.options).needs_siblings and order.block != 1:
            raise ValueError(
                f"order = {self.order}: strategy {self.strategy} needs the samples of a problem together (problems)"
            )
        return self

    @model_validator(mode="after")
    def _one_rate(self) -> RunConfig:
        try:
            resolve_rate(self.samples, takeover_rate=self.takeover_rate, budget=self.budget, alpha=self.alpha)
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def bundled(self) -> bool:
        """Whether both engines are the pair that comes with the package."""
        return _is_bundled({"draft": self.draft, "target": self.target})

    def prompt_for(self, suited: str) -> str:
        """The prompt by name: the one that was asked for, what the bundled pair knows, or what suits the problems."""
        return self.prompt or (BUNDLED if self.bundled else suited)

    @property
    def rate(self) -> float:
        """The promised takeover rate, in whichever word it was given."""
        return resolve_rate(self.samples, takeover_rate=self.takeover_rate, budget=self.budget, alpha=self.alpha)

    def chain_settings(self) -> ChainSettings:
        """What the pipeline needs to know of a chain."""
        return ChainSettings(
            turns=self.turns,
            draft_tokens=self.draft_tokens,
            target_tokens=self.target_tokens,
            stop=(STEP_END,) if self.chunk == "step" else (),
            on_reject=self.on_reject,
            last_chunk=self.last_chunk,
            draft_sampling=self.sampling(Role.DRAFT),
            target_sampling=self.sampling(Role.TARGET),
            score=self.score,
            ends=self.stop,
        )

    def vote_rule(self, key: Callable[[str], str] = str) -> VoteRule:
        """When a problem needs no more samples; `key` maps answers that mean the same to the same text."""
        return VoteRule(self.samples, self.vote_stop, self.vote_error, key)

    def sampling(self, role: Role) -> Sampling:
        """How the model of that role draws its tokens."""
        temperature = self.draft_temperature if role is Role.DRAFT else self.target_temperature
        return Sampling(temperature, self.top_p, self.top_k, **{name: getattr(self, name) for name in DRAWING})

    def slot_settings(self) -> SlotSettings:
        """How much may happen at once."""
        return SlotSettings(self.chains, self.draft_slots, self.score_slots, self.takeover_slots)

    def engine_options(self, role: Role, question: int = 0) -> EngineOptions:
        """How the engine of a role is opened; `question` is the most tokens of a problem, where they are known.

        Its key comes from the environment and is never part of a run.
        """
        draft = role is Role.DRAFT
        keys = (f"ATTS_{role.name}_API_KEY", "ATTS_API_KEY")
        return EngineOptions(
            tokenizer=self.draft_tokenizer if draft else self.target_tokenizer,
            key=next((os.environ[key] for key in keys if os.environ.get(key)), None),
            timeout=self.timeout,
            patience=self.patience,
            concurrency=self.draft_slots if draft else self.score_slots + self.takeover_slots,
            template=self.chat_template_kwargs
            | (self.draft_chat_template_kwargs if draft else self.target_chat_template_kwargs),
            end_tokens=self.draft_end_tokens if draft else self.target_end_tokens,
            sampling=self.sampling(role),
            writers=min(self.chains, self.draft_slots if draft else self.takeover_slots),
            longest=_PROMPT + question + self.longest_chain,
        )

    @property
    def longest_chain(self) -> int:
        """The most tokens that a chain may have behind its prompt, given room for its last turn."""
        turn = self.draft_tokens + self.target_tokens
        ends = strategy_named(self.strategy, self.options).longest
        return self.turns * turn if ends is None else min(self.turns * turn, ends + turn)

    def calibrator_settings(self) -> CalibratorSettings:
        """What the rate control needs to know."""
        return resolve_settings(
            calibrator=self.calibrator,
            takeover_rate=self.rate,
            samples=self.samples,
            calibrated=self.calibration is not None,
            own=self.calibrator_options,
            **{key: getattr(self, key) for key in OPTIONS},
        )

    def as_toml(self) -> str:
        """A run file that asks for this run, with every key that has a value."""
        return toml_text(self.model_dump())

    def differs(self, key: str) -> bool:
        """Whether the key has another value than where nothing is said."""
        return bool(getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True))

    def fingerprint(self, plugins: Mapping[str, str] | None = None) -> str:
        """Equal for two configurations that ask for the same run, of the same versions of its plug-ins."""
        content = {
            key: value
            for key, value in self.model_dump().items()
            if key not in FREE_ON_RESUME and not (key in _ADDED and not self.differs(key))
        }
        content |= {"plugins": dict(plugins)} if plugins else {}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def resolve(
    *,
    preset: str | None = None,
    run_file: Path | None = None,
    options: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
) -> RunConfig:
    """The configuration from defaults ← preset ← run file ← options ← `key=value` assignments; later ones win.

    Without a preset, runs on the bundled pair use `bundled` and all others the defaults as they are; the configuration
    that a run saved is whole, and is given as run file without any. What a preset says of the calibrator does not stand
    against a strategy that has its own. Raises `InputError` with the key, the value and what would be right.
    """
    given = {} if run_file is None else read_run_file(run_file)
    given.pop("servers", None)  # what `atts launch` reads of the same file
    given = _over(given, [("preset", preset), *(options or {}).items()])
    given = _over(given, map(_entry, assignments))
    saved = run_file is not None and _is_saved(run_file)
    name = given.pop("preset", None) or ("bundled" if _is_bundled(given) and not saved else None)
    if name is None:
        return _whole(validated(given))
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    run = dict(PRESETS[name].run)
    if given.get("problems", run.get("problems", BUNDLED)) != BUNDLED and name == BUNDLED:
        run.pop("limit")  # it is for the family, which has no end
    if STRATEGIES[given.get("strategy", "atts")].calibrator:
        run.pop("calibrator", None)
    return _whole(validated(_over(run, given.items())))


def require_used(config: RunConfig, options: Mapping[str, Any], assignments: Sequence[str] = ()) -> None:
    """Raise `InputError` for an option that was asked for here and that the run's calibrator does not have.

    Presets and run files may say it all the same: they serve runs with several calibrators.
    """
    refuse_unused(config.calibrator, _over(options, map(_entry, assignments)))


def _whole(config: RunConfig) -> RunConfig:
    """The same with all options that its calibrator alone has, so that they are saved and tell runs apart."""
    return config.model_copy(update={"calibrator_options": own_options(config.calibrator, config.calibrator_options)})


def validated(values: Mapping[str, Any]) -> RunConfig:
    """The configuration of these values; raises `InputError` naming the first key that is wrong."""
    try:
        return RunConfig.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            meant = guess(key, RunConfig.model_fields)
            raise InputError(f"{key}: there is no such key{meant}; atts run --help lists them") from error
        raise refused(error) from error


def read_run_file(path: Path) -> dict[str, Any]:
    """The keys of a run file (TOML), or of the configuration that a run saved in its folder (`run.json`)."""
    try:
        text = path.read_text(encoding="utf-8")
        return _saved_keys(path, json.loads(text)) if _is_saved(path) else tomllib.loads(text)
    except OSError as error:
        hint = f" (its configuration is {path / 'run.json'})" if (path / "run.json").is_file() else ""
        raise InputError(f"run file {path}: {error.strerror or error}{hint}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"run file {path}: cannot be read: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"run file {path}: {error}") from error


def _is_saved(path: Path) -> bool:
    return path.suffix == ".json"


def _saved_keys(path: Path, content: Any) -> dict[str, Any]:
    """The keys that have a value in the configuration of a run's `run.json`."""
    config = content.get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        raise InputError(f"run file {path}: not the run.json of a run; a run file of your own is TOML (run.toml)")
    return {key: value for key, value in in_todays_words(config).items() if value is not None}


def toml_text(values: Mapping[str, Any]) -> str:
    """Values as TOML, tables last; those that are None are left out, which TOML cannot say."""
    return tomli_w.dumps(_said(values))


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    tables = {key: _said(value) for key, value in values.items() if isinstance(value, Mapping)}
    return {key: value for key, value in values.items() if value is not None and key not in tables} | tables


def parse_assignment(text: str) -> tuple[str, Any]:
    """`key=value` with the value in TOML, or as bare text; a key of a table is written with a dot."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text}: write it as key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return key.strip().replace("-", "_"), parsed


def _entry(assignment: str) -> tuple[str, Any]:
    """What `key=value` gives to which key; of a table, one entry."""
    key, value = parse_assignment(assignment)
    table, dot, name = key.partition(".")
    return (table, {name: value}) if dot else (key, value)


def _over(below: Mapping[str, Any], entries: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A layer over those below: its values, and of tables its entries. None says nothing.

    The rate has three names; a layer that says it by one of them takes back what those below say by another.
    """
    layer: dict[str, Any] = {}
    for key, value in entries:
        if value is not None:
            _give(layer, key, value)
    given = {key: value for key, value in below.items() if not (key in _RATES and layer.keys() & _RATES)}
    for key, value in layer.items():
        _give(given, key, value)
    return given


def _give(given: dict[str, Any], key: str, value: Any) -> None:
    """The key gets the value; of a table, only the entries that the value has."""
    before = given.get(key)
    given[key] = before | value if isinstance(before, dict) and isinstance(value, dict) else value


def _is_bundled(given: Mapping[str, Any]) -> bool:
    engines = (given.get("draft", "bundled:draft"), given.get("target", "bundled:target"))
    return all(str(engine).startswith(f"{BUNDLED}:") for engine in engines)
