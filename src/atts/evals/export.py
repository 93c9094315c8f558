"""Results as tables: one row a chain or one a turn, as CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from atts.errors import InputError
from atts.evals.grading import Verdict
from atts.types import Chain, Piece, Role, Turn

Verdicts = Mapping[tuple[str, int], Verdict]
Row = dict[str, Any]
Histories = Iterator[tuple[Chain, Sequence[Turn]]]


def chain_rows(histories: Histories, verdicts: Verdicts) -> Iterator[Row]:
    """One row a chain. `correct` is empty where there is no verdict; with verdicts, `answer` is the graded one."""
    for chain, turns in histories:
        verdict = verdicts.get((chain.problem, chain.sample))
        yield {
            "problem": chain.problem,
            "sample": chain.sample,
            "status": str(chain.status),
            "reason": chain.reason,
            "turns": chain.turns,
            "answer": verdict.answer if verdict else chain.answer,
            "correct": verdict.correct if verdict else None,
            "seconds": chain.end - chain.start,
            "takeovers": sum(turn.takeover is not None for turn in turns),
            "draft_tokens": sum(_tokens(turn, Role.DRAFT) for turn in turns),
            "target_tokens": sum(_tokens(turn, Role.TARGET) for turn in turns),
            "characters": len(chain.text),
        }


def turn_rows(histories: Histories, verdicts: Verdicts) -> Iterator[Row]:
    """One row a turn, with every raw score in a column of its own, in the order of chains."""
    for chain, turns in histories:
        for turn in turns:
            yield {
                "problem": chain.problem,
                "sample": chain.sample,
                "turn": turn.turn,
                "draft_tokens": _tokens(turn, Role.DRAFT),
                "target_tokens": _tokens(turn, Role.TARGET),
                "p_value": turn.decision.p_value if turn.decision else None,
                "rejected": turn.decision.rejected if turn.decision else None,
                "replaced": turn.replaced,
                **turn.scores,
            }


def _tokens(turn: Turn, author: Role) -> int:
    return sum(_written(piece) for piece in turn.written if piece.author is author)


def _written(piece: Piece) -> int:
    return piece.usage.completion or len(piece.ids)


TABLES: dict[str, Callable[[Histories, Verdicts], Iterator[Row]]] = {"chains": chain_rows, "turns": turn_rows}


def write_csv(path: Path, rows: Iterator[Row]) -> int:
    """Write rows with a header; returns their number. Columns are those of all rows, in order of appearance."""
    table = list(rows)
    with path.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, _columns(table), restval="")
        writer.writeheader()
        writer.writerows(table)
    return len(table)


def write_parquet(path: Path, rows: Iterator[Row]) -> int:
    """Write rows; returns their number. Raises InputError where pyarrow is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow: pip install 'atts-llm[data]'") from error
    table = list(rows)
    columns = {name: [row.get(name) for row in table] for name in _columns(table)}
    with path.open("xb") as file:
        parquet.write_table(pyarrow.table(columns), file)
    return len(table)


def _columns(table: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in table for name in row))
