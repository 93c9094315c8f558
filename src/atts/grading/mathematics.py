"""Are two mathematical answers equal? Texts and numbers first, then math-verify in processes of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import threading
from collections.abc import Iterator, Sized
from fractions import Fraction

from atts.errors import needs_extra
from atts.grading import forms
from atts.grading.notation import LONGEST, plain
from atts.grading.quantities import bare, is_words, named_value, number, parted, quantity
from atts.grading.rules import Grader, Numeric
from atts.grading.tex import TRIGONOMETRIC, matrix, tex
from atts.grading.units import agree
from atts.grading.workers import SilenceError, Workers
from atts.types import Problem

_POINT = re.compile(r"\(\s*\w+(?:\s*,\s*\w+)+\s*\)\s*=\s*(?=[(\[]|\\langle)")  # (x, y) = (1, 2)
SECONDS = 3
MEGABYTES = 2048
_MOST_UNORDERED = 24  # elements of a list that are compared each with each


class Math(Grader):
    """Equal as mathematics: by math-verify where text and number do not decide. Needs the extra `math`.

    An expression that takes longer than `seconds` or more memory than `megabytes`, or a known answer that is no
    expression, leaves the answer ungraded. An answer beyond 2,000 characters is wrong unless it is the same text.
    `grade` blocks for as long as that takes and may be called from any thread; in an event loop, call it in a thread.
    """

    describe = "equal as mathematics (math-verify, in processes with a time limit)"

    def __init__(self, *, workers: int | None = None, seconds: int = SECONDS, megabytes: int = MEGABYTES) -> None:
        """Raises InputError where math-verify is not installed."""
        if importlib.util.find_spec("math_verify") is None:
            raise needs_extra("grader math needs math-verify", "math")
        self._numeric = Numeric()
        self._known: dict[tuple[str, str], bool | None] = {}
        self._lock = threading.Lock()
        self._reasons: dict[tuple[str, str], str] = {}
        # The soft limit works inside; the hard one, a second and a half later, kills what did not hear of it.
        self.workers = Workers(
            "atts.grading.math_worker",
            count=workers or min(4, os.cpu_count() or 1),
            limit=2 * seconds + 1.5,
            arguments=(str(seconds), str(megabytes)),
        )

    def grade(self, answer: str | None, problem: Problem) -> bool | None:
        """Compares two expressions; the same pair is compared once."""
        if answer is None:
            return False
        pair = (problem.answer, answer)
        if pair not in self._known:
            verdict = self._compare(answer, problem)
            with self._lock:
                self._known[pair] = verdict
        return self._known[pair]

    def why(self, answer: str | None, problem: Problem) -> str:
        """The limit that was reached, or what is wrong with the known answer."""
        return self._reasons.get((problem.answer, answer or ""), "")

    def close(self) -> None:
        """End the processes."""
        self.workers.close()

    def _compare(self, answer: str, problem: Problem) -> bool | None:
        gold = problem.answer
        if len(answer) > LONGEST:
            return bare(answer) == bare(gold)
        verdict = self._equal(gold, answer, depth=0)
        if isinstance(verdict, str):
            self._reasons[gold, answer] = verdict
            return None
        return verdict

    def _equal(self, gold: str, answer: str, depth: int) -> bool | str:
        """Whether two answers are equal; a text says why that cannot be told. Lists are compared by their elements."""
        if bare(answer) == bare(gold):
            return True
        known, given = map(forms.as_interval, _unnamed(matrix(plain(gold)), matrix(plain(answer))))
        if (verdict := _by_form(known, given)) is not None:
            return verdict
        if quantity(gold) is not None and quantity(answer) is not None:
            return bool(self._numeric.grade(answer, Problem("", "", gold)))
        if is_words(gold):
            return False
        ours, theirs = forms.collection(known), forms.collection(given)
        if depth == 0 and (ours or theirs):
            return self._equal_collections(ours, theirs, known, given)
        return self._equal_expressions(gold, answer, known, given)

    def _equal_collections(
        self, ours: forms.Collection | None, theirs: forms.Collection | None, known: str, given: str
    ) -> bool | str:
        first, second = ours or forms.Collection((known,), ""), theirs or forms.Collection((given,), "")
        if len(first.elements) != len(second.elements) or not forms.brackets_agree(first, second):
            return False
        if (forms.DOTS in known) != (forms.DOTS in given):
            return False
        if first.ordered or second.ordered or forms.DOTS in known:
            pairs = zip(first.elements, second.elements, strict=True)
            return _all(self._equal(element, other, 1) for element, other in pairs)
        return self._equal_in_any_order(first.elements, list(second.elements))

    def _equal_in_any_order(self, known: tuple[str, ...], given: list[str]) -> bool | str:
        """Whether every element has its equal on the other side; the same text is tried first."""
        if len(known) > _MOST_UNORDERED:
            return sorted(map(bare, known)) == sorted(map(bare, given))
        for element in known:
            verdict: bool | str = False
            for other in sorted(given, key=lambda other: bare(other) != bare(element)):
                verdict = self._equal(element, other, 1)
                if verdict is not False:
                    given.remove(other)
                    break
            if verdict is not True:
                return verdict
        return True

    def _equal_expressions(self, gold: str, answer: str, known: str, given: str) -> bool | str:
        verdict: bool | str = False
        for ours, theirs in _readings(gold, answer, known, given):
            verdict = self._ask(tex(ours), tex(theirs))
            if verdict is not False:
                break
        return verdict

    def _ask(self, known: str, given: str) -> bool | str:
        """What a worker says of two expressions: equal, not equal, or why it cannot tell."""
        try:
            verdict = self.workers.ask([known, given])
        except SilenceError as silence:
            return silence.reason
        return verdict if isinstance(verdict, str) else bool(verdict)


def _unnamed(known: str, given: str) -> tuple[str, str]:
    """Two answers without what only one of them says it is: `f(x) = 2x` beside `2x`."""
    known, given = (_POINT.sub("", text) if "=" not in beside else text
                    for text, beside in ((known, given), (given, known)))  # fmt: skip
    (name, value), (other, said) = named_value(known), named_value(given)
    if name and "=" not in given:
        return value, given
    if other and "=" not in known:
        return known, said
    return known, given


def _by_form(known: str, given: str) -> bool | None:
    """The verdict on answers with a form of their own; None where neither has one."""
    for same in (forms.same_base, forms.same_time, forms.same_direction):
        if (verdict := same(known, given)) is not None:
            return verdict
    for read in (forms.ratio, forms.letters):
        if (ours := read(known)) is not None:
            return ours == read(given) or (read is forms.ratio and _quotient(ours) == number(given) is not None)
    return None


def _quotient(terms: Sized) -> Fraction | None:
    """What a ratio of two terms is as a number: 2:3 is two thirds."""
    return Fraction(1) / terms[1] if isinstance(terms, tuple) and len(terms) == 2 and terms[0] and terms[1] else None


def _all(verdicts: Iterator[bool | str]) -> bool | str:
    """True if all are; else the first that is not."""
    return next((verdict for verdict in verdicts if verdict is not True), True)


def _readings(gold: str, answer: str, known: str, given: str) -> list[tuple[str, str]]:
    """The two expressions as they stand, and without their units, which a parser would take for products of letters."""
    (ours, unit), (theirs, other) = parted(gold), parted(answer)
    pairs = [(known, given)]
    if agree(unit, other) and (unit or other) and not TRIGONOMETRIC.search(known + given):
        pairs.append((ours, theirs))
    pairs += [tuple(map(_of_a_program, pair)) for pair in pairs]  # type: ignore[misc]
    return list(dict.fromkeys(pairs))


def _of_a_program(text: str) -> str:
    """With what stands for something else in programs than in TeX: log(2) is natural, I is imaginary."""
    return re.sub(r"(?<![A-Za-z\\])I(?![A-Za-z])", "i", re.sub(r"(?<![A-Za-z\\])log(?=\s*\()", "ln", text))
