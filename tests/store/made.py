"""A small run: its problems, a piece of text, a turn, a chain."""

from __future__ import annotations

from atts.types import Chain, Chunk, Decision, Finish, Piece, Problem, Role, Span, Status, Turn, Usage

PROBLEMS = [Problem("p0", "1+1?", "2", meta={"level": 1}), Problem("p1", "Which?", "B", ("x", "y"))]


def piece(author: Role = Role.DRAFT, text: str = "abc\n\n") -> Piece:
    return Piece(author, text, tuple(text.encode()), Finish.STOP, Usage(9, 4, 5), Span(0.0, 0.125, 1.5), (-0.5,) * 5)


def a_turn(number: int = 0, sample: int = 0) -> Turn:
    decision = Decision(3, Chunk("p0", sample, number), 0.25, 0.5, 0.2, False)
    return Turn("p0", sample, number, piece(), {"perplexity": 1.28}, Usage(14, 9), Span(1, 2, 3), decision)


def a_chain(sample: int = 0) -> Chain:
    return Chain("p0", sample, Status.DONE, "answer", 2, "abc\n\n€", "2", 0.0, 9.0)
