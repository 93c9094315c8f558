"""A thousand texts that no model should write and some will: for tests and measurements alike, always the same."""

from __future__ import annotations

import random
from collections.abc import Callable

_KINDS = (
    lambda r: "\\boxed{" * r.randint(1, 10_000),
    lambda r: "\\boxed{" + "{" * (n := r.randint(1, 10_000)) + "1" + "}" * n + "}",
    lambda r: "\\boxed{" * (n := r.randint(1, 10_000)) + "7" + "}" * n,
    lambda r: "}" * r.randint(1, 10_000) + "\\boxed{2}",
    lambda r: "\\boxed{" + "\\frac{1}{" * (n := r.randint(1, 2_000)) + "2" + "}" * n + "}",
    lambda r: "\\boxed{" + "\\sqrt{" * (n := r.randint(1, 200)) + "2" + "}" * n + "}",
    lambda r: "\\boxed{" + "(" * (n := r.randint(1, 800)) + "x" + ")" * n + "}",
    lambda r: f"\\boxed{{{r.randint(2, 99)}^{{{r.randint(10, 99)}^{{{r.randint(10, 99)}^{{9}}}}}}}}",
    lambda r: f"\\boxed{{{r.randint(2, 9)}^{{{r.randint(10**6, 10**9)}}}}}",
    lambda r: f"\\boxed{{{r.randint(10**5, 10**9)}!}}",
    lambda r: f"\\boxed{{\\binom{{{r.randint(10**6, 10**9)}}}{{{r.randint(10**5, 10**6)}}}}}",
    lambda r: f"\\boxed{{1e{r.randint(400, 10**9)}}}",
    lambda r: f"\\boxed{{{'9' * r.randint(1_000, 10_000)}}}",
    lambda r: "\\boxed{" + "".join(chr(r.randint(1, 0x2FFF)) for _ in range(r.randint(1, 500))) + "}",
    lambda r: "\\boxed{" + "".join(chr(r.randint(0, 31)) for _ in range(r.randint(1, 500))) + "5}",
    lambda r: "\\boxed{" + "\U0001f600é\u202e\u0301" * r.randint(1, 500) + "}",
    lambda r: "\\boxed{" + "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace") * 10 + "}",
    lambda r: "<think>" * r.randint(1, 1_000) + "\\boxed{1}" + "</think>" * r.randint(0, 2),
    lambda r: "Answer" + " " * r.randint(1, 10_000) + ": A",
    lambda r: "answer is " * r.randint(1, 5_000),
    lambda r: "\\boxed{" + "\\" * r.randint(1, 10_000) + "}",
    lambda r: "\\boxed{x" + "^x" * r.randint(1, 500) + "}",
    lambda r: "\\boxed{" + "+".join(f"x^{{{i}}}" for i in range(r.randint(2, 200))) + "}",
    lambda r: "\\boxed{(x+1)^{" + str(r.randint(100, 100_000)) + "}}",
    lambda r: "\\boxed{\\int_0^1 " + "e^{x " * (n := r.randint(1, 20)) + "}" * n + " dx}",
    lambda r: "\\boxed{\\sum_{n=1}^{" + "9" * r.randint(1, 20) + "} \\frac{1}{n^2}}",
    lambda r: "\\boxed{\\begin{pmatrix}" + "1 & " * r.randint(1, 300) + "1 \\end{pmatrix}}",
    lambda r: "\\boxed{" + ",".join(str(r.randint(0, 9)) for _ in range(r.randint(1, 1_000))) + "}",
    lambda r: "\\boxed{\\text{" + "a " * r.randint(1, 1_000) + "}}",
    lambda r: "".join(r.choice("\\{}boxed$^_&#0123x ") for _ in range(r.randint(1, 3_000))),
)
_LARGE: tuple[Callable[[], str], ...] = (
    lambda: "\\boxed{" + "1" * 1_000_000 + "}",
    lambda: "{" * 1_000_000 + "\\boxed{3",
    lambda: "\\boxed{ " * 110_000 + "}" * 110_000,
    lambda: " " * 1_000_000 + "Answer: B",
    lambda: "####" * 250_000,
    lambda: "\\boxed" + " " * 1_000_000 + "{4}",
    lambda: "\\text{" * 170_000,
    lambda: "<think>" + "\\boxed{1}" * 110_000 + "</think> \\boxed{2}",
    lambda: "a" * 1_000_000,
    lambda: "\\boxed{" + "~" * 1_000_000 + "1}",
)


def hostile(count: int = 1_000) -> list[str]:
    """The first `count` of them, ten of about a megabyte among the first."""
    r = random.Random(20_250_914)
    large = [make() for make in _LARGE]
    return (large + [_KINDS[i % len(_KINDS)](r) for i in range(count)])[:count]
