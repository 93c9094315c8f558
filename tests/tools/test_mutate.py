"""Mutation testing: what is changed and what is left alone, and a whole measurement of a small tree."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools.mutate.__main__ import ROOT, TESTS, measure, report, wilson
from tools.mutate.mutants import mutants, of_room

SOURCE = """
LIMIT = 3


def clamp(value: float) -> float:
    if value > LIMIT:
        return LIMIT
    return value


def drain(todo: list[int]) -> None:
    while todo:
        todo.pop()


def unseen() -> int:
    return -LIMIT
"""

TEST = """
from atts.stats.small import clamp, drain


def test_clamp() -> None:
    assert clamp(1.0) == 1.0
    assert clamp(9.0) == 3


def test_drain() -> None:
    drain([1, 2])
"""


def changes(source: str) -> set[tuple[str, str]]:
    return {(mutant.before, mutant.after) for mutant in mutants("a.py", source.encode())}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {("a < b", "(a <= b)"), ("a < b", "(a >= b)")}),
        ("x = a <= b", {("a <= b", "(a < b)"), ("a <= b", "(a > b)")}),
        ("x = a is None", {("a is None", "(a is not None)")}),
        ("x = a not in b", {("a not in b", "(a in b)")}),
        ("x = a + b", {("a + b", "(a - b)")}),
        ("x = a / b", {("a / b", "(a * b)")}),
        ("x = a and b", {("a and b", "(a or b)")}),
        ("x = not a", {("not a", "(a)")}),
        ("x = -a", {("-a", "(a)")}),
        ("x = True", {("True", "(False)")}),
        ("x = 7", {("7", "(8)")}),
        ("x = 0.5", {("0.5", "(1.0)")}),
        ("x = min(a, b)", {("min(a, b)", "(max(a, b))")}),
        ("x = a if b else c", {("a if b else c", "(c if b else a)"), ("b", "(not b)")}),
        ("x = [a for a in b if a]", {("a", "(not a)")}),
        ("x += a", {("x += a", "pass"), ("x += a", "x -= a")}),
        ("x.y = a", {("x.y = a", "pass")}),
        ("f(a)", {("f(a)", "pass")}),
        ("raise ValueError(f'{a} < {1 + 2}')", {("raise ValueError(f'{a} < {1 + 2}')", "pass")}),
        ("def f():\n    return a", {("return a", "return None")}),
        ("while a:\n    break", {("a", "(not a)"), ("break", "continue")}),
    ],
)
def test_what_is_changed(source: str, expected: set[tuple[str, str]]) -> None:
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A text."""',
        "x = 'a'",
        "x = f'{1 + 2}'",
        "x = 'a' + b",
        "import a",
        "assert a < 1",
        "def f(a: Literal[1]) -> Literal[2]: ...",
        "@dataclass(frozen=True)\nclass A: ...",
        "x: Literal[1]",
        "def f():\n    return None",
    ],
)
def test_what_is_left_alone(source: str) -> None:
    assert changes(source) == set()


def test_a_change_knows_the_statement_around_it() -> None:
    """Coverage counts a statement of several lines under its first."""
    [mutant] = [one for one in mutants("a.py", b"x = f(\n    a,\n    1,\n)") if one.before == "1"]
    assert (mutant.statement, mutant.line) == (1, 3)
    assert mutant.source == b"x = f(\n    a,\n    (2),\n)"


def test_characters_of_several_bytes_shift_nothing() -> None:
    [mutant] = mutants("a.py", "x = ('äöü€', 1)".encode())
    assert mutant.source.decode() == "x = ('äöü€', (2))"


@pytest.mark.parametrize("room", TESTS)
def test_every_mutant_of_a_room_is_a_program_of_its_own(room: str) -> None:
    found = of_room(ROOT, room)
    assert len(found) > 300
    assert len({mutant.key for mutant in found}) == len(found)
    for mutant in found[::7]:
        compile(mutant.source, mutant.path, "exec")
        assert mutant.source != (ROOT / mutant.path).read_bytes()


def test_the_interval_of_a_share() -> None:
    assert wilson(85, 100) == pytest.approx((0.7672, 0.9069), abs=1e-4)  # Newcombe 1998 has the formula
    assert wilson(0, 10)[0] == pytest.approx(0)
    assert wilson(10, 10)[1] == pytest.approx(1)
    assert wilson(0, 0) == (0, 1)


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_interval_holds_the_share(part: int, more: int) -> None:
    whole = part + more
    low, high = wilson(part, whole)
    assert -1e-9 <= low <= part / whole + 1e-9
    assert part / whole - 1e-9 <= high <= 1 + 1e-9


def test_a_measurement_and_going_on_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree, out = tmp_path / "tree", tmp_path / "out" / "mutants.jsonl"
    for name, text in {
        "src/atts/__init__.py": "",
        "src/atts/stats/__init__.py": "",
        "src/atts/stats/small.py": SOURCE,
        "tests/test_small.py": TEST,
        "tools/mutate/chosen.py": (ROOT / "tools" / "mutate" / "chosen.py").read_text(),
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)

    outcomes = measure(tree, {"stats": ["tests"]}, 100, 0, 8, out)
    found = {(entry["before"], entry["after"]): (entry["outcome"], entry["tests"]) for entry in outcomes}
    assert found == {
        ("3", "(4)"): ("killed", 2),  # runs when the module is loaded: every test may notice
        ("value > LIMIT", "(value <= LIMIT)"): ("killed", 1),
        ("value > LIMIT", "(value >= LIMIT)"): ("survived", 1),  # it changes nothing
        ("return LIMIT", "return None"): ("killed", 1),
        ("return value", "return None"): ("killed", 1),
        ("todo", "(not todo)"): ("survived", 1),  # the test looks at nothing
        ("todo.pop()", "pass"): ("timeout", 1),
        ("-LIMIT", "(LIMIT)"): ("survived", 0),  # no test runs it
        ("return -LIMIT", "return None"): ("survived", 0),
    }
    assert (tree / "src/atts/stats/small.py").read_text() == SOURCE
    lines = out.read_text().splitlines()
    assert measure(tree, {"stats": ["tests"]}, 100, 0, 8, out) == outcomes
    assert out.read_text().splitlines() == lines  # nothing was tried again

    share = report(outcomes, show=True)
    assert share == 5 / 9
    shown = capsys.readouterr().out
    assert "stats: 5 of 9 killed, 55.6% (26.7% to 81.1%)" in shown
    assert "src/atts/stats/small.py:17 (0 tests)\n-   return -LIMIT\n+   return None" in shown
