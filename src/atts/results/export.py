"""Results as tables: one row a chain or one a turn, as CSV or Parquet, or for a data frame.

Tokens are counted as in `summary.json`: `draft_tokens` and `target_tokens` are those that stand in the chain,
`draft_written` and `target_written` all that the model wrote.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from atts.errors import needs_extra
from atts.runs.summary import standing, taken_over
from atts.types import Chain, Piece, Role, Span, Turn

Row = dict[str, Any]
Histories = Iterable[tuple[Chain, Sequence[Turn]]]
Verdicts = Mapping[tuple[str, int], bool | None]

_COUNTS = {"draft_tokens": int, "target_tokens": int, "draft_written": int, "target_written": int}
_CHAIN: dict[str, type] = {
    **{"problem": str, "sample": int, "status": str, "reason": str, "turns": int, "answer": str, "correct": bool},
    **{"seconds": float, "takeovers": int, **_COUNTS, "characters": int},
}
_TURN: dict[str, type] = {
    **{"problem": str, "sample": int, "turn": int, **_COUNTS, "p_value": float, "threshold": float},
    **{"rejected": bool, "taken_over": bool, "replaced": bool},
    **{"draft_seconds": float, "score_seconds": float, "takeover_seconds": float},
}


def chain_row(chain: Chain, turns: Sequence[Turn], correct: bool | None) -> Row:
    """A chain that ended; `correct` is None where there is no verdict."""
    return {
        "problem": chain.problem,
        "sample": chain.sample,
        "status": chain.status.value,
        "reason": chain.reason,
        "turns": chain.turns,
        "answer": chain.answer,
        "correct": correct,
        "seconds": chain.end - chain.start,
        "takeovers": sum(bool(taken_over(turn)) for turn in turns),
        **_tokens([piece for turn in standing(turns) for piece in turn.kept], turns),
        "characters": len(chain.text),
    }


def turn_row(turn: Turn) -> Row:
    """A turn, with every raw score in a column of its own."""
    decision = turn.decision
    return {
        "problem": turn.problem,
        "sample": turn.sample,
        "turn": turn.turn,
        **_tokens(turn.kept, [turn]),
        "p_value": decision and decision.p_value,
        "threshold": decision and decision.threshold,
        "rejected": decision and decision.rejected,
        "taken_over": taken_over(turn),
        "replaced": turn.replaced,
        "draft_seconds": _seconds(turn.draft.span if turn.draft else None),
        "score_seconds": _seconds(turn.scoring),
        "takeover_seconds": _seconds(turn.takeover.span if turn.takeover else None),
        **turn.scores,
    }


def _tokens(kept: Sequence[Piece], turns: Sequence[Turn]) -> Row:
    written = [piece for turn in turns for piece in turn.written]
    return {
        **{f"{role}_tokens": sum(len(piece.ids) for piece in kept if piece.author is role) for role in Role},
        **{
            f"{role}_written": sum(piece.usage.completion for piece in written if piece.author is role) for role in Role
        },
    }


def _seconds(span: Span | None) -> float:
    return span.end - span.start if span is not None else 0.0


class Table(NamedTuple):
    """The columns that a table always has, with their types, and its rows."""

    columns: Mapping[str, type]
    rows: Iterator[Row]


def chain_table(histories: Histories, verdicts: Verdicts) -> Table:
    """One row a chain that ended."""
    return Table(_CHAIN, (chain_row(c, turns, verdicts.get((c.problem, c.sample))) for c, turns in histories))


def turn_table(histories: Histories, verdicts: Verdicts) -> Table:
    """One row a turn of a chain that ended, in the order of chains."""
    return Table(_TURN, (turn_row(turn) for _, turns in histories for turn in turns))


TABLES: dict[str, Callable[[Histories, Verdicts], Table]] = {"chains": chain_table, "turns": turn_table}


def write_csv(file: BinaryIO, table: Table) -> int:
    """Write a table with a header, in UTF-8; returns the number of rows. Further columns follow in order of
    appearance.
    """
    rows = list(table.rows)
    writer = csv.DictWriter(_Encoded(file), _columns(table, rows), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return len(rows)


class _Encoded:
    """Text for a file that takes bytes and is its opener's to close; half a character is spelled out."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode("utf-8", "backslashreplace"))


def write_parquet(file: BinaryIO, table: Table) -> int:
    """Write a table; returns the number of rows. Raises InputError where pyarrow is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise needs_extra("Parquet needs pyarrow", "data") from error
    rows = list(table.rows)
    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    # A column has its type also where it is empty; what is no column of every table is a score.
    columns = {
        name: pyarrow.array([row.get(name) for row in rows], kinds[table.columns.get(name, float)])
        for name in _columns(table, rows)
    }
    parquet.write_table(pyarrow.table(columns), file)
    return len(rows)


FORMATS: dict[str, Callable[[BinaryIO, Table], int]] = {"csv": write_csv, "parquet": write_parquet}
"""What a table can be written as; a file's suffix is the name of its format."""


def _columns(table: Table, rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys([*table.columns, *(name for row in rows for name in row)]))
