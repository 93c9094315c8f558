"""Chain shapes from what was recorded: a run folder, or a file with one chain a line."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import ceil, exp, isfinite
from pathlib import Path
from typing import Any

from atts.engines.simulated.work import ChainShape, Recorded, TurnShape, Typical, Work
from atts.errors import InputError
from atts.seeds import uniform
from atts.store.folder import RunFolder
from atts.types import Turn

CHARACTERS = 2.75
"""Characters a token where a file tells lengths in characters: the median chunk that was cut at 500 tokens has 1,364
of them in the paper's public run on MATH500."""

_RawTurn = tuple[int, float | None, int | None]  # tokens drafted, perplexity, tokens of the takeover
_RawChain = tuple[Sequence[_RawTurn], str | None]


def load_work(
    shapes: str,
    *,
    problems: int | None = None,
    samples: int | None = None,
    limit: int = 500,
    seed: int = 0,
    fixed: bool = False,
) -> Work:
    """The work that `shapes` names: `typical`, a run folder, or a JSON Lines file of chains.

    A line has `question`, `sample`, `answer` and `turns`, each `[characters drafted, perplexity or null, characters
    taken over or null]`. `problems` and `samples` limit what is recorded, and say how much of `typical` is wanted;
    `limit` is the most tokens of a piece, longer ones being cut. With `fixed` the decisions are the record's too.
    Raises `InputError` if there is nothing of that name, or it holds no chains.
    """
    if shapes == "typical":
        return Typical(
            count=problems or 30, samples=samples or 16, chunk=limit, takeover=round(0.88 * limit), seed=seed
        )
    path = Path(shapes)
    chains = _of_run(path, limit) if path.is_dir() else _of_file(path, limit)
    if not chains:
        raise InputError(f"{shapes}: no chains there")
    wanted = list(chains.values())[:problems]
    if problems is not None and problems > len(wanted):
        raise InputError(f"{shapes} has {len(wanted)} problems, fewer than the {problems} asked for")
    spare = [taken for problem in wanted for turns, _ in problem for _, _, taken in turns if taken]
    shaped = [
        [_shape(raw, (number, sample), spare or [limit], seed) for sample, raw in enumerate(problem[:samples])]
        for number, problem in enumerate(wanted)
    ]
    return Recorded(shaped, samples=samples or max(len(problem) for problem in shaped), fixed=fixed, seed=seed)


def _shape(raw: _RawChain, key: tuple[int, int], spare: Sequence[int], seed: int) -> ChainShape:
    """A chain whose turns all have a takeover: the recorded one, or one drawn from all that were recorded."""
    turns, answer = raw
    return ChainShape(
        tuple(
            TurnShape(
                drafted,
                perplexity or 1.0,
                spare[int(uniform(seed, "spare", *key, turn) * len(spare))] if taken is None else taken,
                taken is not None,
            )
            for turn, (drafted, perplexity, taken) in enumerate(turns)
        ),
        answer,
    )


def _of_run(path: Path, limit: int) -> dict[Any, list[_RawChain]]:
    chains: dict[Any, list[_RawChain]] = defaultdict(list)
    for chain, turns in RunFolder.open(path).histories():
        if turns:
            chains[chain.problem].append(([_raw(turn, limit) for turn in turns], chain.answer))
    return chains


def _raw(turn: Turn, limit: int) -> _RawTurn:
    if turn.draft is None:  # the target alone: what it wrote is what the draft would have to write
        return min(limit, sum(piece.usage.completion for piece in turn.kept)), None, None
    score = turn.scores.get("log_perplexity")
    again = turn.more[0] if turn.replaced and turn.more else None  # drawn again by the draft itself
    mended = turn.takeover or again
    taken = min(limit, mended.usage.completion) if mended else None
    return min(limit, turn.draft.usage.completion), None if score is None else exp(score), taken


def _of_file(path: Path, limit: int) -> dict[Any, list[_RawChain]]:
    chains: dict[Any, list[_RawChain]] = defaultdict(list)
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    problem, chain = _parse(line, f"{path}, line {number}", limit)
                    chains[problem].append(chain)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error} (give typical, a run folder or a file)") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text: {error}") from error
    return chains


def _parse(line: str, where: str, limit: int) -> tuple[str | int, _RawChain]:
    try:
        row: Mapping[str, Any] = json.loads(line)
        turns = [
            (_tokens(drafted, limit), _perplexity(perplexity), None if taken is None else _tokens(taken, limit))
            for drafted, perplexity, taken in row["turns"]
        ]
        if not turns:
            raise ValueError("a chain has turns")
        question, answer = row["question"], row.get("answer")
        if isinstance(question, bool) or not isinstance(question, str | int):
            raise ValueError("a question is a text or a whole number")
        if not isinstance(answer, str | int | float | None):
            raise ValueError("an answer is a text, a number or null")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{where}: not a chain ({str(error) or type(error).__name__}); it has question, answer and "
            "turns of [characters drafted, perplexity or null, characters taken over or null]"
        ) from error
    return question, (turns, None if answer in (None, "invalid") else str(answer))


def _tokens(characters: object, limit: int) -> int:
    return min(limit, ceil(_number(characters, "a length", at_least=0) / CHARACTERS))


def _perplexity(value: object) -> float | None:
    return None if value is None else _number(value, "a perplexity", at_least=1)


def _number(value: object, what: str, at_least: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value >= at_least):
        raise ValueError(f"{what} is at least {at_least}, and a finite number")
    return float(value)
