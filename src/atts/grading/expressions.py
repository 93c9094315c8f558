"""Equality of parsed expressions where math-verify is not strict enough: exact numbers, and equations.

Imported by the processes that compare expressions only, since SymPy takes its time to load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
from latex2sympy2_extended.logic import And
from math_verify import grader
from sympy.core.function import AppliedUndef

DIGITS = 60
"""Irrational numbers count as equal that agree to so many digits, less ten."""
TOLERANCE = 1e-6
"""Relative, where a decimal stands for an irrational number; `numeric` compares decimals to nine digits."""

_symbolic_eq = grader.sympy_symbolic_eq
_numeric_eq = grader.sympy_numeric_eq


def compare_exactly() -> None:
    """Let math-verify compare numbers as `numbers_agree` does, inside of sets, tuples and matrices too.

    Its own comparison is absolute, to 15 digits behind the point, so that all tiny numbers would be equal.
    """
    grader.sympy_numeric_eq = _compared
    grader.sympy_symbolic_eq = lambda ours, theirs: not _both_numbers(ours, theirs) and _symbolic_eq(ours, theirs)


def _compared(ours: Any, theirs: Any, rounding: int, precision: int) -> bool:
    if _both_numbers(ours, theirs):
        return numbers_agree(ours, theirs)
    if isinstance(ours, sympy.MatrixBase) or isinstance(theirs, sympy.MatrixBase):
        return bool(_numeric_eq(ours, theirs, rounding, precision))
    return False  # with symbols in it, equal is what simplifies to zero


def _both_numbers(ours: Any, theirs: Any) -> bool:
    return all(isinstance(side, sympy.Expr) and side.is_number for side in (ours, theirs))


def numbers_agree(ours: sympy.Expr, theirs: sympy.Expr) -> bool:
    """Whether two numbers are the same: exact ones exactly, irrational ones to fifty digits, decimals nearly."""
    ours, theirs = (side.doit() for side in (ours, theirs))
    if ours == theirs or _is_hundredth(ours, theirs):
        return True
    if ours.is_Rational and theirs.is_Rational:
        return False
    inexact = ours.has(sympy.Float) or theirs.has(sympy.Float)
    if not inexact and sympy.simplify(ours - theirs).is_zero:
        return True
    first, second = (sympy.N(side, DIGITS) for side in (ours, theirs))
    scale = max(abs(first), abs(second))
    if not scale.is_Float or not scale.is_finite:
        return False
    tolerance = TOLERANCE if inexact else sympy.Float(10) ** (10 - DIGITS)
    return bool(abs(first - second) <= tolerance * scale)


def _is_hundredth(ours: sympy.Expr, theirs: sympy.Expr) -> bool:
    """9 % may stand for 9: a percent sign is a unit, and may be missing."""
    return any(grader.get_pct_val(side) is not None and grader.get_pct_val(side) == other
               for side, other in ((ours, theirs), (theirs, ours)))  # fmt: skip


def imaginary(parsed: list[Any]) -> list[Any]:
    """With `i` as the imaginary unit throughout; math-verify takes it for a symbol here and there."""
    unit = sympy.Symbol("i")
    return [part.subs(unit, sympy.I) if isinstance(part, sympy.Expr) and part.has(unit) else part for part in parsed]


def is_equation(expression: Any) -> bool:
    """Whether it is an equation, or a chain of them (`x = 2 + 3 = 5`)."""
    return isinstance(expression, sympy.Eq) or (
        isinstance(expression, And) and all(isinstance(part, sympy.Eq) for part in expression._unsorted_args)
    )


def equations_agree(known: Any, given: Any, equal: Callable[[Any, Any], bool]) -> bool:
    """Whether two answers, of which one at least is an equation, are equal.

    Two equations are if one is the other times a number, after fractions are cleared. An equation equals something
    else only if its left side is a name for it: a symbol (`x = 5`), or a sum of symbols (`m + n = 204`).
    """
    ours, theirs = (_sides(side) if is_equation(side) else None for side in (known, given))
    if ours and theirs:
        return _same_name(ours, theirs, equal) or _proportional(ours, theirs)
    if ours:
        return _is_name(ours[0]) and equal(ours[1], given)
    return theirs is not None and _is_name(theirs[0]) and equal(known, theirs[1])


def _sides(equation: Any) -> tuple[Any, Any]:
    parts = equation._unsorted_args if isinstance(equation, And) else (equation,)
    return parts[0].lhs, parts[-1].rhs


def _is_name(side: Any) -> bool:
    return side.is_Symbol or (side.is_Add and all(part.is_Symbol for part in side.args))


def _same_name(ours: tuple[Any, Any], theirs: tuple[Any, Any], equal: Callable[[Any, Any], bool]) -> bool:
    named = ours[0].is_Symbol or isinstance(ours[0], AppliedUndef)
    return bool(named and ours[0] == theirs[0] and equal(ours[1], theirs[1]))


def _proportional(ours: tuple[Any, Any], theirs: tuple[Any, Any]) -> bool:
    try:
        first, second = (sympy.numer(sympy.together(left.doit() - right.doit())) for left, right in (ours, theirs))
        if first.free_symbols != second.free_symbols or sympy.expand(first).is_zero or sympy.expand(second).is_zero:
            return False
        factor = sympy.simplify(first / second)
    except (TypeError, AttributeError):  # sets and tuples have no difference
        return False
    return bool(factor.is_number and factor.is_finite)
