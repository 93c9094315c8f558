"""Names of functions that are given as themselves: another function has another name, the same one the same."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from atts.own import is_own, own_name, with_digest
from atts.stats.scores import Score, log_perplexity, worst_window


def defined(source: str, name: str = "f") -> Any:
    """What the source calls `f`, in a module of its own."""
    space: dict[str, Any] = {"__name__": "somewhere", "re": re}
    exec(textwrap.dedent(source), space)
    return space[name]


PLAIN = "def f(x): return x > 1"

OF_CLASS = "class C:\n    def __init__(self, y): self.y = y\n    def __call__(self, x): return self.y\n"
COUNTING = """
def make():
    n = 0
    def f(x):
        nonlocal n
        n += 1
        return n
    return f
f = make()
"""

DIFFERENT = {
    "a number": "def f(x): return x > 2",
    "a call": "def f(x): return abs(x) > 1",
    "another call": "def f(x): return int(x) > 1",
    "a default": "def f(x, y=1): return x > y",
    "another default": "def f(x, y=2): return x > y",
    "a keyword's default": "def f(x, *, y=2): return x > y",
    "what it closes over": "def make(y):\n    def f(x): return x > y\n    return f\nf = make(1)",
    "another that it closes over": "def make(y):\n    def f(x): return x > y\n    return f\nf = make(2)",
    "a value of its module": "Y = 1\ndef f(x): return x > Y",
    "another value of its module": "Y = 2\ndef f(x): return x > Y",
    "a helper": "def g(x): return x > 1\ndef f(x): return g(x)",
    "another helper": "def g(x): return x > 2\ndef f(x): return g(x)",
    "a helper's helper": "def h(): return 3\ndef g(x): return x > h()\ndef f(x): return g(x)",
    "another helper's helper": "def h(): return 4\ndef g(x): return x > h()\ndef f(x): return g(x)",
    "a pattern": "P = re.compile('a')\ndef f(x): return P.match(x)",
    "another pattern": "P = re.compile('b')\ndef f(x): return P.match(x)",
    "inside a comprehension": "Y = 5\ndef f(x): return [i > Y for i in x]",
    "another inside a comprehension": "Y = 6\ndef f(x): return [i > Y for i in x]",
    "a class": "class f:\n    limit = 1\n    def __call__(self, x): return x > self.limit",
    "a class's value": "class f:\n    limit = 2\n    def __call__(self, x): return x > self.limit",
    "a class's method": "class f:\n    limit = 2\n    def __call__(self, x): return x < self.limit",
    "a base": "class B:\n    def g(self): return 1\nclass f(B):\n    def __call__(self, x): return self.g()",
    "another base": "class B:\n    def g(self): return 2\nclass f(B):\n    def __call__(self, x): return self.g()",
    "an object": OF_CLASS + "f = C(1)",
    "another object": OF_CLASS + "f = C(2)",
}


def test_whatever_differs_gives_another_name() -> None:
    names = {what: own_name(defined(source)) for what, source in {"plain": PLAIN, **DIFFERENT}.items()}
    assert all(map(is_own, names.values()))
    assert len(set(names.values())) == len(names), names


@pytest.mark.parametrize("source", [PLAIN, *DIFFERENT.values()])
def test_the_same_again_has_the_same_name(source: str) -> None:
    assert own_name(defined(source)) == own_name(defined("# moved\n\n\n" + textwrap.dedent(source)))


def test_another_process_gives_the_same_name() -> None:
    source = DIFFERENT["another helper's helper"] + "\nS = frozenset('abcdefgh')\ndef k(x): return x in S"
    program = f"import re\nfrom atts.own import own_name\n{source}\nk.__module__ = f.__module__\nprint(own_name(k))"
    names = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env).stdout
        for env in ({"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)} for seed in ("1", "2", "3"))
    }
    assert len(names) == 1


def test_what_a_function_fills_and_counts_while_it_works_is_no_part_of_it() -> None:
    f = defined("seen, n = [], 0\ndef f(x):\n    global n\n    n += 1\n    seen.append(x)\n    return n")
    before = own_name(f)
    f(1)
    assert own_name(f) == before
    g = defined(COUNTING)
    before = own_name(g)
    g(1)
    assert own_name(g) == before


def test_names_say_what_they_are_of() -> None:
    assert own_name(lambda x: x).startswith("lambda@")
    assert own_name(functools.partial(defined(PLAIN), 3)).startswith("f@")
    assert own_name(functools.partial(defined(PLAIN), 3)) != own_name(functools.partial(defined(PLAIN), 4))
    assert own_name(Score("s", "", log_perplexity)) != own_name(Score("s", "", worst_window))


def test_a_function_that_calls_itself_and_one_that_is_written_in_c() -> None:
    assert own_name(defined("def f(x): return f(x - 1) if x else 0")) != own_name(defined(PLAIN))
    builtins: list[Callable[..., Any]] = [len, max]
    assert len(set(map(own_name, builtins))) == 2


def test_what_is_no_own_name() -> None:
    assert is_own(with_digest("<λ> of mine", "text"))
    assert not any(map(is_own, ("math500", "problems.jsonl", "a@b", "me@0123456789AB", "./x@0123456789ab")))
