"""The process that compares expressions: `python -m atts.grading.math_worker SECONDS MEGABYTES`.

Reads lines `[gold, answer]` and writes `true`, `false`, or a text that says why it cannot tell.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from atts.launch.lifeline import follow_parent, lines

_MEGABYTE = 1 << 20


def comparer(seconds: int) -> Callable[[str, str], bool | str]:
    """A function that compares two TeX expressions with math-verify, each step within a soft limit of seconds."""
    import math_verify
    from math_verify.errors import TimeoutException

    from atts.grading import expressions

    expressions.compare_exactly()

    logging.disable(logging.CRITICAL)  # it logs every expression that it cannot read
    usual = math_verify.LatexExtractionConfig()
    # Units are ours to judge: its list holds single letters, so that 3m would be 3 and 3h equal to 3g.
    latex = replace(usual, normalization_config=replace(usual.normalization_config, units=False))

    @lru_cache(maxsize=1024)  # a known answer is compared with many
    def read(text: str) -> Any:
        return expressions.imaginary(
            math_verify.parse(
                f"\\boxed{{{text}}}",
                extraction_config=(latex, math_verify.ExprExtractionConfig()),
                parsing_timeout=seconds,
                fallback_mode="no_fallback",
                raise_on_error=True,
            )
        )

    def verified(known: Any, given: Any) -> bool:
        return bool(math_verify.verify(known, given, timeout_seconds=seconds, raise_on_error=True, strict=True))

    def equal(known: Any, given: Any) -> bool:
        if any(map(expressions.is_equation, (known[0], given[0]))):
            return expressions.equations_agree(known[0], given[0], verified)
        return verified(known, given)

    def compare(gold: str, answer: str) -> bool | str:
        if not (known := read(gold)):
            return "the known answer is no expression"
        try:
            given = read(answer)
        except Exception:  # whatever its parser makes of it, the answer is no expression
            return False
        return bool(given) and equal(known, given)

    def limited(gold: str, answer: str) -> bool | str:
        try:
            return compare(gold, answer)
        except TimeoutException:  # no Exception, so that nothing on its way swallows it
            return "time limit"

    return limited


def main(seconds: int, megabytes: int) -> None:
    """Answers until its input ends, or whoever started it does."""
    follow_parent()
    questions = lines(sys.stdin.buffer)
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    sys.stdout = sys.stderr  # whatever a library prints is no reply
    with contextlib.suppress(ValueError, OSError):  # a lower limit may stand already
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * _MEGABYTE, megabytes * _MEGABYTE))
    compare = comparer(seconds)
    print("ready", file=replies, flush=True)
    for line in questions:
        try:
            verdict = compare(*json.loads(line))
        except Exception as error:
            verdict = f"{type(error).__name__} in comparing"
        print(json.dumps(verdict), file=replies, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
