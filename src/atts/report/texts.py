"""What the chains wrote, for the page: one compressed block a problem, within a budget of bytes.

A block is JSON, deflated, in base 64; the page unpacks it when its problem is opened. If everything is too much, the
middle of long pieces is left out, of all by the same rule, and the page says how much is missing.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from atts.report.mathematics import Drawings, Tree, formulas
from atts.report.numbers import apart, short
from atts.results.loaded import LoadedRun
from atts.runs.summary import taken_over
from atts.types import Piece, Problem, Turn

_LONGEST = 1 << 20  # characters of a piece, however small the run
_SHORTEST = 120
_JUDGED, _TRIES = 6, 6  # problems by which the limit is judged, and how often
_OPENING, _CLOSING = "<think>", "</think>"
_MATH_SECONDS = 4.0  # a run; what is not drawn by then stays TeX


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks, one a problem, and what was left out of them: characters, and the limit a piece (None: nothing)."""

    encoded: tuple[str, ...]
    left_out: int
    limit: int | None


def blocks(run: LoadedRun, budget: int) -> Blocks:
    """The texts of a run in at most about `budget` bytes."""
    drawn = Drawings(_MATH_SECONDS)
    limit = _fitting(run, budget, drawn)
    while True:
        encoded = tuple(_block(run, problem, limit, drawn) for problem in run.problems)
        size = sum(map(len, encoded))
        if size <= budget or limit <= _SHORTEST:
            break
        limit = max(_SHORTEST, int(limit * 0.9 * budget / size))
    left_out = sum(max(0, len(piece.text) - limit) for piece in _pieces(run))
    return Blocks(encoded, left_out, limit if left_out else None)


def _fitting(run: LoadedRun, budget: int, drawn: Drawings) -> int:
    """The characters a piece may have for the budget to be met, judged by a few problems."""
    limit = min(_LONGEST, max((len(piece.text) for piece in _pieces(run)), default=_SHORTEST))
    some = run.problems[:: max(1, len(run.problems) // _JUDGED)]
    share = 0.93 * budget * len(some) / max(1, len(run.problems))
    for _ in range(_TRIES):
        size = sum(len(_block(run, problem, limit, drawn)) for problem in some)
        if size <= share or limit <= _SHORTEST:
            break
        limit = max(_SHORTEST, int(limit * share / size))
    return limit


def _block(run: LoadedRun, problem: Problem, limit: int, drawn: Drawings) -> str:
    content = _problem(run, problem, limit)
    marks = _Marks(drawn)
    content["formulas"] = marks.of(content["question"])
    for piece in _written(content):
        found = [marks.of(text) for text in piece["text"]]
        if any(found):
            piece["formulas"] = found
    return _encode(content | {"math": marks.drawn})


def _pieces(run: LoadedRun) -> Iterable[Piece]:
    for turns in run.turns.values():
        for turn in turns:
            yield from turn.written


def _written(content: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The pieces of a problem, in the order in which they are read."""
    for chain in content["chains"]:
        for turn in chain["turns"]:
            yield from turn["pieces"]


class _Marks:
    """Where formulas stand in the texts of a problem. Each is sent once, in `drawn`, as its TeX and its tree."""

    def __init__(self, drawings: Drawings) -> None:
        self.drawn: list[tuple[str, Tree]] = []
        self._drawings = drawings
        self._places: dict[str, int] = {}

    def of(self, text: str) -> list[int]:
        """Of each formula that can be drawn: start and end in the page's units, whether it is a block, its place."""
        unit = _units(text)
        marks: list[int] = []
        for found in formulas(text):
            if (tree := self._drawings.tree(found.source)) is not None:
                place = self._places.setdefault(found.source, len(self.drawn))
                if place == len(self.drawn):
                    self.drawn.append((found.source, tree))
                marks += [unit(found.start), unit(found.end), int(found.block), place]
        return marks


_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


def _units(text: str) -> Callable[[int], int]:
    """From a place in the text to that in the page's script, which counts what is beyond 16 bits twice."""
    if text.isascii():
        return int
    astral = [match.start() for match in _ASTRAL.finditer(text)]
    return lambda place: place + bisect_left(astral, place)


def _problem(run: LoadedRun, problem: Problem, limit: int) -> dict[str, Any]:
    chains = [
        _chain(run, key, limit)
        for sample in range(run.config.samples)
        if (key := (problem.id, sample)) in run.chains or key in run.turns
    ]
    choices = "".join(f"\n{chr(65 + place)}. {choice}" for place, choice in enumerate(problem.choices))
    return {"question": problem.question + choices, "answer": problem.answer, "chains": chains}


def _chain(run: LoadedRun, key: tuple[str, int], limit: int) -> dict[str, Any]:
    chain, turns = run.chains.get(key), run.turns.get(key, [])
    thinking = _Thinking(turns)
    return {
        "sample": key[1],
        "status": chain.status.value if chain else "open",
        "reason": chain.reason if chain else "",
        "answer": chain.answer if chain else None,
        "verdict": run.verdicts.get(key),
        "unused": run.unused.get(key, 0),
        "seconds": round(chain.end - chain.start, 3) if chain else None,
        "turns": [_turn(turn, thinking, limit) for turn in turns],
    }


def _turn(turn: Turn, thinking: _Thinking, limit: int) -> dict[str, Any]:
    decision = turn.decision
    kept = set(map(id, turn.kept))
    pieces = [_piece(piece, limit, thinking, kept=id(piece) in kept) for piece in turn.written]
    found: dict[str, Any] = {"n": turn.turn, "pieces": pieces}
    found |= {"anew": True} if turn.anew else {}
    found |= {"ended": turn.ended} if turn.ended else {}
    found |= {"notes": {name: short(value) for name, value in turn.notes.items()}} if turn.notes else {}
    found |= {"taken": taken} if (taken := taken_over(turn)) is not None else {}
    if decision is not None:
        p_value, threshold = apart(decision.p_value, decision.threshold)
        found |= {"score": short(decision.score), "p": p_value, "threshold": threshold}
        found |= {"capped": True} if decision.capped else {}
    if turn.scoring is not None:
        found |= {"scoring": [short(turn.scoring.start - turn.scoring.ready), _seconds(turn.scoring)]}
    return found


def _piece(piece: Piece, limit: int, thinking: _Thinking, *, kept: bool) -> dict[str, Any]:
    thought = thinking.part(piece) if kept else 0
    found: dict[str, Any] = {
        "by": piece.author.value,
        "tokens": len(piece.ids),
        "finish": piece.finish.value,
        "time": [short(piece.span.start - piece.span.ready), _seconds(piece.span)],
        "text": [piece.text],
    }
    if len(piece.text) > limit:
        head = limit * 2 // 3
        found["text"] = [piece.text[:head], piece.text[len(piece.text) - (limit - head) :]]
        found["cut"] = len(piece.text) - limit
        thought = len(piece.text) if thought == len(piece.text) else min(thought, head)
    thought = _units(piece.text)(thought)
    return found | ({"thought": thought} if thought else {}) | ({} if kept else {"dropped": True})


class _Thinking:
    """Follows a chain through its thinking part, which its prompt may have opened."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        if any(turn.anew for turn in turns):  # what is thinking cannot be told by counting on
            self._left = 0
            return
        text = "".join(piece.text for turn in turns for piece in turn.kept)
        closing = text.find(_CLOSING)
        opened = text.lstrip().startswith(_OPENING)
        # A closing mark without an opening one: the prompt had opened the part.
        self._left = closing + len(_CLOSING) if closing >= 0 else len(text) if opened else 0

    def part(self, piece: Piece) -> int:
        """How many characters of the chain's next piece are thinking."""
        thought = min(self._left, len(piece.text))
        self._left -= thought
        return thought


def _seconds(span: Any) -> float | None:
    return short(span.end - span.start)


def _encode(content: dict[str, Any]) -> str:
    packed = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    raw = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
    return base64.b64encode(packed.compress(raw) + packed.flush()).decode("ascii")
