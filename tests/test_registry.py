"""Names lead to what is built in, registered, installed or in a module; what is wrong with one is said in one line."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from atts.cli import cli
from atts.engines import SCHEMES, open_engine
from atts.engines.base import Engine, EngineOptions
from atts.errors import InputError
from atts.grading import graders
from atts.grading.extract import RULES, extractor
from atts.grading.graders import GRADERS
from atts.origins import attribute
from atts.pipeline.strategies import STRATEGIES, strategy_named
from atts.problems import SOURCES, load
from atts.problems.prompts import PROMPTS
from atts.registry import Registry, ShapeError, unknown
from atts.stats.calibrators import CALIBRATORS
from atts.stats.scores import SCORES, raw_scores, score, score_chunk
from atts.types import Problem
from tests.plugins import EVERYTHING, install

ALL: list[Registry[Any]] = [SCORES, STRATEGIES, SCHEMES, GRADERS, RULES, SOURCES, PROMPTS, CALIBRATORS]
NAMES = ["surprise", "patient", "echo", "lenient", "last-word", "twins", "polite", "half"]
PROBLEM = Problem("p", "?", "42")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for packages on the path; what is imported from it, and found in it, is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    before = set(sys.modules)
    yield tmp_path / "site"
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    for registry in ALL:
        registry._points.clear()
        registry._registered.clear()


def test_every_kind_is_brought_by_a_package(site: Path) -> None:
    install(site, "atts-surprise", "1.2")
    for registry, name in zip(ALL, NAMES, strict=True):
        assert name in registry and not registry.is_builtin(name)
        assert str(registry.origin(name)) == "atts-surprise 1.2"
        assert registry.lines()[name].endswith("(from atts-surprise 1.2)")
    assert score_chunk(SCORES["surprise"], [-1.0, -3.0]) == 3.0
    assert raw_scores([-1.0, -3.0], wanted="surprise")["surprise"] == 3.0
    assert vars(strategy_named("patient", {"patience": 5})) == {"patience": 5}
    assert (STRATEGIES["patient"].name, STRATEGIES["patient"].controlled) == ("patient", True)
    assert isinstance(open_engine("echo:3"), Engine)
    assert graders.named("lenient").grade("about 42", PROBLEM) is True
    assert graders.named("lenient").grade(None, PROBLEM) is False
    assert extractor("last-word")(r"so \boxed 42.") == "42"
    assert [problem.answer for problem in load("twins")] == ["42", "42"]
    assert [message.role for message in PROMPTS["polite"].messages(PROBLEM)] == ["system", "user"]
    with pytest.raises(InputError, match="patience"):
        strategy_named("patient", {"patience": "much"})


def test_every_kind_is_found_in_a_module_of_the_current_folder(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "at_hand.py").write_text(EVERYTHING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    places = ("surprise", "Patient", "echo", "lenient", "last_word", "twins", "polite", "Half")
    for registry, place in zip(ALL, places, strict=True):
        name = f"at_hand:{place}"
        registry[name]
        origin = registry.origin(name)
        assert origin is not None and origin.file == str(tmp_path / "at_hand.py") and len(origin.version) == 12
    assert SCORES["at_hand:surprise"].name == "at_hand:surprise"
    assert isinstance(open_engine("at_hand:echo:3"), Engine)
    assert sys.path[-1] == str(tmp_path)  # last: nothing there hides the standard library


def test_a_module_says_its_version_or_is_known_by_its_content(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for number, code in enumerate(("", "# other\n", "__version__ = '7'\n")):
        (tmp_path / f"versioned{number}.py").write_text(f"{code}def f(evidence): return 1.0\n")
    importlib.invalidate_caches()
    versions = [str(SCORES.origin(f"versioned{number}:f")).partition(" ")[2] for number in range(3)]
    assert versions[0] != versions[1] and versions[2] == "7"


def test_a_decorated_function_is_had_by_its_name_and_stays_what_it_is(site: Path) -> None:
    @score("doubt", needs_draft=True)
    def doubt(evidence: Any) -> float:
        """How much the two differ."""
        return float((evidence.draft - evidence.target).max())

    assert "doubt" in SCORES and SCORES["doubt"].needs_draft
    assert score_chunk(SCORES["doubt"], [-3.0], [-1.0]) == 2.0
    assert SCORES.lines()["doubt"].startswith("How much the two differ (from ")
    assert doubt.__name__ == "doubt"
    assert "doubt" not in raw_scores([-3.0], wanted="doubt")  # the draft's log-probabilities are missing


def test_a_registered_name_is_taken(site: Path) -> None:
    def again() -> Any:
        @score("mine")
        def mine(evidence: Any) -> float:
            return 0.0

        return mine

    assert again() is not again()  # as when a cell of a notebook is run once more
    with pytest.raises(InputError, match=r"score 'mine' is brought by .*again.*mine and by .*other: rename or remove"):

        @score("mine")
        def other(evidence: Any) -> float:
            return 0.0

    with pytest.raises(InputError, match="'log_perplexity' is built in"):
        score("log_perplexity")
    for name in ("", "a b", "a:b"):
        with pytest.raises(InputError, match="no blank and no colon"):
            score(name)


def test_without_parentheses_a_decorator_takes_the_own_name(site: Path) -> None:
    from atts.grading.graders import grader

    @grader
    def strict(answer: str, problem: Problem) -> bool:
        return answer == problem.answer

    assert graders.named("strict").grade("42", PROBLEM) is True


def test_what_is_given_as_itself_has_a_name_from_then_on(site: Path) -> None:
    def curious(evidence: Any) -> float:
        return 1.0

    name = SCORES.adopt(curious)
    assert name.startswith("curious@") and SCORES[name].function is curious and SCORES.adopt(curious) == name
    assert name in SCORES and name not in list(SCORES)
    score("curious", needs_draft=True)(curious)
    assert SCORES[SCORES.adopt(curious)].needs_draft


def test_two_packages_with_one_name_are_both_named_and_others_still_work(site: Path) -> None:
    install(site, "atts-one", "1.0", points={"scores": "clash = {module}:surprise\nfine = {module}:surprise"})
    install(site, "atts-two", "2.0", points={"scores": "clash = {module}:surprise"})
    with pytest.raises(InputError, match=r"'clash' is brought by atts-(one 1.0 and by atts-two 2.0|two.*one)"):
        SCORES["clash"]
    assert SCORES["fine"].name == "fine"
    assert "is brought by" in SCORES.lines()["clash"]


def test_a_package_does_not_take_the_place_of_what_is_built_in(site: Path) -> None:
    install(site, "atts-usurper", "1.0", points={"scores": "log_perplexity = {module}:surprise"})
    assert score_chunk(SCORES["log_perplexity"], [-1.0, -3.0]) == 2.0
    assert "what atts-usurper 1.0 brings under this name is not used" in SCORES.lines()["log_perplexity"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def other(): pass", "has no attribute 'it'"),
        ("it = 3", "it is of type int, not a function"),
        ("def it(): return 1.0", "it has to take (evidence): too many positional arguments"),
        ("def it(", "SyntaxError"),
    ],
)
def test_a_broken_package_harms_only_who_asks_for_it(site: Path, code: str, says: str) -> None:
    install(site, "atts-broken", "0.1", code, {"scores": "broken = {module}:it"})
    with pytest.raises(InputError) as caught:
        SCORES["broken"]
    message = str(caught.value)
    assert message.startswith("score 'broken' of atts-broken 0.1 cannot be used: ") and "\n" not in message
    assert says in message
    assert SCORES.lines()["broken"] == message
    assert SCORES["log_perplexity"].name == "log_perplexity"
    listed = CliRunner().invoke(cli, ["ls", "scores", "--json"])
    assert listed.exit_code == 0 and "worst_window" in listed.output


@pytest.mark.parametrize(
    ("registry", "code", "says"),
    [
        (STRATEGIES, "class it: pass", "a method is a class derived from atts.pipeline.strategies.base.Strategy"),
        (STRATEGIES, "from atts.pipeline.strategies.base import Strategy as it", "it does not define turn"),
        (GRADERS, "class it: pass", "a grader is a class derived from"),
        (GRADERS, "def it(answer): pass", "it has to take (answer, problem)"),
        (GRADERS, "from atts.grading.rules import Grader as it", "it does not define grade"),
        (RULES, "def it(): pass", "it has to take (text)"),
        (SOURCES, "def it(n): pass", "it has to take ()"),
        (PROMPTS, "it = 'text'", "it is of type str, not a function (problem)"),
        (CALIBRATORS, "def it(score): pass", "a calibrator is a class derived from"),
        (CALIBRATORS, "from atts.stats.calibrators import RateCalibrator as it", "it does not define p_value"),
        (
            CALIBRATORS,
            "from atts.stats.calibrators import RateCalibrator\nclass it(RateCalibrator): has, p_value = ('windw',), 3",
            "there is no option 'windw' of calibrators (did you mean 'window'?)",
        ),
        (SCHEMES, "def it(address): pass", "it has to take (address, options)"),
    ],
)
def test_what_is_of_the_wrong_shape_is_told_what_would_be_right(
    site: Path, registry: Registry[Any], code: str, says: str
) -> None:
    site.mkdir(exist_ok=True)
    (site / "shapeless.py").write_text(code)
    importlib.invalidate_caches()
    with pytest.raises(InputError) as caught:
        registry["shapeless:it"]
    assert str(caught.value).startswith(f"{registry.kind} 'shapeless:it' cannot be used: {says}")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere:f", "there is no module 'nowhere', here or installed"),
        ("json.nowhere:f", "there is no module 'json.nowhere'"),
        ("json:dumpz", "has no 'dumpz' (did you mean 'dumps'?)"),
        ("json:decoder.nothing", "has no 'decoder.nothing'"),
    ],
)
def test_what_a_module_does_not_have(name: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        SCORES[name]
    assert says.replace("dumps", "dump") in str(caught.value) or says in str(caught.value)


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.kind)
def test_one_sentence_for_every_unknown_name(registry: Registry[Any]) -> None:
    first = next(iter(registry))
    misspelt = first[:-1] + "q" + first[-1]
    with pytest.raises(InputError) as caught:
        registry[misspelt]
    said = str(caught.value)
    assert said.startswith(f"there is no {registry.kind} '{misspelt}' (did you mean '{first}'?); there are: {first}, ")
    assert "module:name" in said
    with pytest.raises(InputError, match=r"'zzzzzzzz'; there are"):
        registry["zzzzzzzz"]


def test_names_that_are_near_whatever_their_case() -> None:
    assert "(did you mean 'Paper'?)" in str(unknown("preset", "PAPER", ["Paper", "other"]))
    assert str(unknown("split", "x", [], of="it")) == "there is no split 'x' of it; there are: none"


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.kind)
def test_what_is_built_in_stands_where_the_registry_says(registry: Registry[Any]) -> None:
    assert list(registry.builtin) == list(registry)[: len(registry.builtin)]
    assert all(registry.origin(name) is None for name in registry.builtin)
    for scheme in SCHEMES.builtin.values():
        assert callable(attribute(str(scheme.opener)))


@pytest.mark.parametrize("name", ["locl:x", "http://host:1", "nope", ""])
def test_what_is_no_module_is_an_unknown_engine(name: str) -> None:
    with pytest.raises(InputError, match="there is no engine"):
        open_engine(name)


def test_an_opener_that_opens_no_engine_is_named(site: Path) -> None:
    from atts.engines import engine

    @engine("hollow")
    def hollow(address: str, options: EngineOptions) -> Any:
        return 3 if address == "3" else 1 / 0

    with pytest.raises(InputError, match="'hollow' cannot be used: it opened int, which is no engine: it has no info"):
        open_engine("hollow:3")
    with pytest.raises(InputError, match="'hollow' cannot be used: ZeroDivisionError"):
        open_engine("hollow:4")


@pytest.mark.parametrize(
    ("give", "says"),
    [
        (lambda: [1], "data set given: item 0 is 1, no atts.types.Problem"),
        (lambda: [Problem("p", "?", 42)], "item 0: id, question, answer and choices have to be texts"),  # type: ignore[arg-type]
        (lambda: [PROBLEM, PROBLEM], "1 ids stand for more than one problem, such as 'p'"),
        (lambda: 1 / 0, "'given' cannot be used: ZeroDivisionError"),
        (lambda: [], "given holds no problems"),
    ],
)
def test_problems_that_are_none(site: Path, give: Any, says: str) -> None:
    from atts.problems.sources import dataset

    dataset("given")(give)
    with pytest.raises(InputError, match=says):
        load("given")
    with pytest.raises(InputError, match="there is no split 'test' of given"):
        load("given", split="test")


def test_a_grader_that_fails_leaves_ungraded_and_says_why_once(site: Path) -> None:
    def fails(answer: str, problem: Problem) -> Any:
        return {"a": "yes", "b": 1 / 0 if answer == "b" else None, "c": None}.get(answer, True)

    made = graders.named(GRADERS.adopt(fails))
    assert made.grade("d", PROBLEM) is True
    assert made.complaint() == ""
    assert made.grade("b", PROBLEM) is None and made.grade("b", PROBLEM) is None
    assert "ZeroDivisionError" in made.why("b", PROBLEM)
    assert "ZeroDivisionError" in made.complaint() and made.complaint() == ""
    assert made.grade("a", PROBLEM) is None and "'yes'" in made.complaint()
    assert made.grade("c", PROBLEM) is None and made.why("c", PROBLEM) == ""


def test_a_score_and_a_rule_that_give_something_else_are_no_numbers_and_no_texts(site: Path) -> None:
    score("nothing")(lambda evidence: None)
    with pytest.raises(TypeError, match="score nothing gave None, which is no number"):
        raw_scores([-1.0], wanted="nothing")
    with pytest.raises(TypeError, match="gave 3, which is neither a text nor None"):
        extractor(RULES.adopt(lambda text: 3))("x")


def test_a_shape_error_is_told_without_its_type(site: Path) -> None:
    def shape(name: str, thing: Any) -> Any:
        raise ShapeError("it is crooked")

    registry = Registry("thing", "atts.nothing", {}, shape=shape, line=str)
    registry.register("a")(lambda: None)
    with pytest.raises(InputError, match=r"^thing 'a' cannot be used: it is crooked$"):
        registry["a"]


def run_atts(*arguments: str, cwd: Path, site: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH", ""))))
    return subprocess.run(
        [sys.executable, "-m", "atts", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_whole_run_of_plug_ins_and_another_version_does_not_resume_it(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, "atts-surprise", "1.2")
    keys = {"score": "surprise", "strategy": "patient", "grader": "lenient", "answer": "last-word", "prompt": "polite"}
    options = [f"--{key}={value}" for key, value in keys.items()]
    engines = ("--draft=echo:3", "--target=echo:3", "--chunk=step")
    asked = ("run", "twins", *options, *engines, "--calibrator=half", "--samples=2")
    done = run_atts(*asked, "--out=made", "--json", "--quiet", cwd=tmp_path, site=site)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["chains"]["answered"] == 4 and summary["takeover"]["rate"]["value"] == 0.5
    described = json.loads((tmp_path / "made" / "run.json").read_text())
    assert set(described["plugins"].values()) == {"atts-surprise 1.2"} and len(described["plugins"]) == 8
    first = (tmp_path / "made" / "journal.jsonl").read_text().splitlines()[0]
    assert '"surprise"' in first

    assert run_atts(*asked, "--out=made", "--quiet", cwd=tmp_path, site=site).returncode == 0
    install(site, "atts-surprise", "1.3")
    refused = run_atts(*asked, "--out=made", "--quiet", cwd=tmp_path, site=site)
    assert refused.returncode == 2
    assert "was atts-surprise 1.2, is atts-surprise 1.3" in refused.stderr and len(refused.stderr.splitlines()) == 1

    listed = run_atts("ls", cwd=tmp_path, site=site).stdout
    assert " ".join(listed.split()).count("(from atts-surprise 1.3)") == 8


def test_on_the_command_line_one_line_and_status_2_and_who_does_not_ask_runs(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, "atts-broken", "0.1", "import no_such_thing", {"scores": "broken = {module}:it"})
    (tmp_path / "at_hand.py").write_text(
        "import atts.stats.scores as s\n@s.score('dread')\ndef f(evidence):\n    'How bad.'\n    return 1.0\n"
    )
    scripted = ("--draft=scripted:3", "--target=scripted:3", "--limit=1", "--samples=1", "--quiet")
    for asked, status, says in (
        (("run", "--score=broken", *scripted), 2, "error: score 'broken' of atts-broken 0.1 cannot be used: Module"),
        (("run", "--score=at_hand:dred", *scripted), 2, "has no 'dred'"),
        (("ls", "--from", "nowhere"), 2, "error: module 'nowhere' cannot be used: there is no module 'nowhere'"),
        (("run", "--score=at_hand:dread", *scripted), 0, ""),
    ):
        done = run_atts(*asked, cwd=tmp_path, site=site)
        assert done.returncode == status, done.stderr
        assert says in done.stderr and len(done.stderr.splitlines()) <= 1
    listed = run_atts("ls", "scores", "--from", "at_hand", cwd=tmp_path, site=site).stdout
    assert "How bad (from" in listed and "cannot be used: ModuleNotFoundError" in " ".join(listed.split())
