"""All that a run is made of: its configuration resolved once into the parts themselves, checked together.

A run from the command line, one from Python and whatever else makes chains are made of the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from atts import problems as datasets
from atts.bundled.family import EXAMPLE, of_family
from atts.calibration.files import Calibration, digest, read_calibration, settings_fingerprint
from atts.config.run import RunConfig
from atts.engines import SCHEMES, open_engine, scheme_of
from atts.engines.base import Engine
from atts.grading import extract as answers
from atts.grading import graders
from atts.grading.quantities import number
from atts.grading.rules import Grader
from atts.own import is_own
from atts.pipeline.recipe import AnswerRules
from atts.pipeline.strategies import STRATEGIES, strategy_named
from atts.pipeline.strategies.base import Strategy
from atts.problems import prompts
from atts.problems.prompts import Prompt
from atts.registry import Registry
from atts.stats.calibrator import Calibrator
from atts.stats.calibrators import CALIBRATORS, make_calibrator
from atts.stats.scores import SCORES, Score
from atts.types import Chain, Problem, Role


@dataclass(frozen=True)
class Setup:
    """The parts of one run, which belong together. It opens nothing and writes nothing; `prepare` makes it.

    `problems` are in the order of the run, `data` is what to call them. `rule` names the rule that finds the answer in
    a text; `answer` gives it for texts that begin inside thinking (True) or do not. `calibration` holds the scores that
    `calibrator`, which learns as the run goes on, has begun with. `engines` are not loaded yet, and closed by whoever
    runs them. `plugins` says of each part that is none of this package's where it is from, with the version. `notices`
    are lines that a person should know before the run begins.
    """

    config: RunConfig
    problems: tuple[Problem, ...]
    data: str
    prompt: Prompt
    rule: str
    answer: AnswerRules
    grader: Grader
    score: Score
    strategy: Strategy
    calibration: Calibration
    calibrator: Calibrator
    engines: Mapping[Role, Engine]
    plugins: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @cached_property
    def by_id(self) -> Mapping[str, Problem]:
        """The problems by their ids."""
        return {problem.id: problem for problem in self.problems}

    @property
    def contents(self) -> dict[str, str]:
        """Digests of what the configuration only names, so that a resumed run can tell that it has changed."""
        return {"prompt": digest(repr(self.prompt)), "calibration": digest(repr(self.calibration.scores))}

    @property
    def default_path(self) -> Path:
        """Where the run goes if nobody says: the same configuration finds the same folder, so that it resumes."""
        config = self.config
        return Path("runs") / f"{Path(config.problems).stem}-{config.strategy}-{config.fingerprint()[:8]}"

    def grade(self, chain: Chain) -> bool | None:
        """Whether the chain's answer is right; None where it has none, or the grader cannot tell. May block."""
        return None if chain.answer is None else self.grader.grade(chain.answer, self.by_id[chain.problem])


def prepare(config: RunConfig) -> Setup:
    """Resolve a configuration into its parts and check them together, without a model and without writing anything.

    Reads files, so it may block. Raises `InputError` for the first thing that is wrong.
    """
    strategy = strategy_named(config.strategy, config.options)
    notices: list[str] = []
    problems = load_problems(config, notices.append)
    source = datasets.describe(config.problems)
    prompt = prompts.load(config.prompt_for(source.prompt))
    notices += _foreign(problems) if config.bundled else []
    rule = config.answer or source.rule
    answer = answer_rules(rule, numeric=are_numbers(problems))
    grader = graders.named(config.grader or source.grader)
    score = SCORES[config.score]
    calibration, unrecorded = _calibration(config, [problem.id for problem in problems])
    if unrecorded:
        notices.append(f"{unrecorded} of {len(problems)} problems have no recorded scores: ranked among all")
    return Setup(
        config=config,
        problems=tuple(problems),
        data=datasets.label(config.problems, split=config.split, subset=config.subset),
        prompt=prompt,
        rule=rule,
        answer=answer,
        grader=grader,
        score=score,
        strategy=strategy,
        calibration=calibration,
        calibrator=make_calibrator(config.calibrator_settings(), calibration.scores),
        engines=open_engines(config, strategy.roles, problems),
        plugins=plugins(config, source, strategy.roles),
        notices=tuple(notices),
    )


def plugins(config: RunConfig, source: datasets.Source, roles: Sequence[Role]) -> dict[str, str]:
    """The plug-ins among the parts of a run, as "score surprise", with where they are from and the version."""
    used: list[tuple[Registry[Any], str]] = [
        (datasets.SOURCES, config.problems),
        (prompts.PROMPTS, config.prompt_for(source.prompt)),
        (answers.RULES, config.answer or source.rule),
        (graders.GRADERS, config.grader or source.grader),
        (SCORES, config.score),
        (STRATEGIES, config.strategy),
        (CALIBRATORS, config.calibrator),
        *((SCHEMES, scheme_of(getattr(config, role.value))[0]) for role in roles),
    ]
    used = [(kind, name) for kind, name in used if not is_own(name)]  # such a name says which version it is
    files = {config.problems} if source is datasets.LOCAL else set()
    files |= {config.prompt} if config.prompt and prompts.is_file(config.prompt) else set()
    origins = {f"{kind.kind} {name}": kind.origin(name) for kind, name in used if name not in files}
    return {name: str(origin) for name, origin in origins.items() if origin is not None}


def _foreign(problems: Sequence[Problem]) -> list[str]:
    """What to tell a person whose questions the bundled pair has not learnt to solve."""
    foreign = sum(not of_family(problem.question) for problem in problems)
    if not foreign:
        return []
    return [
        f"{foreign} of {len(problems)} questions are not of the kind that the bundled pair solves (running totals: "
        f"{EXAMPLE}): it writes nonsense there"
    ]


def load_problems(config: RunConfig, told: Callable[[str], None] = lambda line: None) -> list[Problem]:
    """The problems that a run solves, in its order; `told` hears how many rows were skipped. Raises InputError."""
    return datasets.load(
        config.problems,
        n=config.limit,
        split=config.split,
        subset=config.subset,
        seed=config.seed,
        revision=config.revision,
        columns=datasets.Columns.parse(config.columns or ""),
        skip_bad=config.skip_bad_rows,
        told=told,
    )


def open_engines(config: RunConfig, roles: Sequence[Role], problems: Sequence[Problem] = ()) -> dict[Role, Engine]:
    """The engines of these roles, of which nothing is loaded yet, with room for these problems. Raises InputError."""
    # A token is a byte at least; what a prompt puts around the question is allowed for by the default.
    question = max((len("".join((problem.question, *problem.choices)).encode()) for problem in problems), default=0)
    return {
        role: open_engine(getattr(config, role.value), config.engine_options(role, question=question)) for role in roles
    }


def answer_rules(rule: str, *, numeric: bool) -> AnswerRules:
    """The rule of that name for texts that begin inside thinking, and for those that do not; `numeric` where answers
    are numbers. Raises InputError."""
    extractors = {thinking: answers.extractor(rule, thinking=thinking, numeric=numeric) for thinking in (False, True)}
    return extractors.__getitem__


def are_numbers(problems: Sequence[Problem]) -> bool:
    """Whether every known answer is a number, so that the last number of a text may be taken for one."""
    return all(not problem.choices and number(problem.answer) is not None for problem in problems)


def _calibration(config: RunConfig, problems: Sequence[str]) -> tuple[Calibration, int]:
    """The scores to begin with, refused if they were recorded otherwise, or on the problems of this run.

    Beside them, how many problems a calibration by question does not know.
    """
    if config.calibration is None:
        return Calibration(()), 0
    calibration = read_calibration(Path(config.calibration), config.score)
    calibration.require(settings_fingerprint(config), config.calibration)
    if config.scope == "run":
        calibration.require_disjoint(problems, config.calibration)
    elif config.calibrator == "static":  # what is calibrated by question has to know the question
        return calibration, calibration.unrecorded(problems, config.calibration)
    return calibration, 0
