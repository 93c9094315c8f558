"""Mutants: every small change to a file's code that its tests ought to notice."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
_UNTESTED = ("annotation", "returns", "decorator_list", "type_params")  # fields that say nothing at run time


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one file: what stood there, and what stands there instead.

    `line` is where it begins; `statement` where the statement around it does, under which coverage counts it.
    """

    path: str
    line: int
    statement: int
    before: str
    after: str
    source: bytes

    @property
    def key(self) -> str:
        """The same for the same change to the same content of a file."""
        return hashlib.sha256(self.path.encode() + b"\0" + self.source).hexdigest()[:16]


def mutants(path: str, source: bytes) -> list[Mutant]:
    """Every mutant of a file, in the order of its text. Texts, messages, types and decorators are left alone."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def made(node: ast.expr | ast.stmt, statement: int, after: str) -> Mutant:
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        changed = source[:start] + after.encode() + source[end:]
        return Mutant(path, node.lineno, statement, source[start:end].decode(), after, changed)

    found = [
        made(place.node, place.statement, after) for place in _places(ast.parse(source)) for after in _changes(place)
    ]
    return sorted({mutant.key: mutant for mutant in found}.values(), key=lambda one: (one.line, one.before, one.after))


def of_room(root: Path, room: str) -> list[Mutant]:
    """The mutants of a room or of one file of it, a path under `src/atts`."""
    base = root / "src" / "atts" / room
    files = [base] if base.is_file() else sorted(base.rglob("*.py"))
    return [one for file in files for one in mutants(str(file.relative_to(root)), file.read_bytes())]


class _Place(NamedTuple):
    """An expression or a statement that may be changed; `condition` if only its truth matters."""

    node: ast.expr | ast.stmt
    statement: int
    condition: bool


def _places(node: ast.AST, statement: int = 0, field: str = "") -> Iterator[_Place]:
    if isinstance(node, ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.stmt):
        statement = node.lineno
    if isinstance(node, ast.expr | ast.stmt):
        yield _Place(node, statement, field in ("test", "ifs"))
    if isinstance(node, ast.Raise):  # whether it is raised matters; its message is for people
        return
    for name, value in ast.iter_fields(node):
        if name not in _UNTESTED:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _places(child, statement, name)


def _changes(place: _Place) -> Iterator[str]:
    """What may stand in a place instead, as text."""
    node = place.node
    if isinstance(node, ast.stmt):
        yield from _other_statements(node)
        return
    yield from (f"({ast.unparse(changed)})" for changed in _other_values(node))
    if place.condition and not isinstance(node, ast.Compare | ast.UnaryOp | ast.Constant):
        yield f"({ast.unparse(ast.UnaryOp(ast.Not(), node))})"


def _other_values(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=rest):
            for place, op in enumerate(ops):
                for other in _COMPARED[type(op)]:
                    yield ast.Compare(left, [*ops[:place], other(), *ops[place + 1 :]], rest)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _COMPUTED and not _text(left) | _text(right):
            yield ast.BinOp(left, _COMPUTED[type(op)](), right)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            if len(values) > 2:
                yield from (ast.BoolOp(op, values[:place] + values[place + 1 :]) for place in range(len(values)))
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(value=float(value)):
            yield ast.Constant(2 * value if value else 1.0)
        case ast.IfExp(test=test, body=body, orelse=other):
            yield ast.IfExp(test, other, body)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _CALLED:
            yield ast.Call(ast.Name(_CALLED[name]), args, keywords)


def _other_statements(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Delete():
            yield "pass"
        case ast.AugAssign(target=target, op=op, value=value):
            yield "pass"
            if type(op) in _COMPUTED:
                yield ast.unparse(ast.AugAssign(target, _COMPUTED[type(op)](), value))
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "pass"
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return None"
        case ast.Break():
            yield "continue"
        case ast.Continue():
            yield "break"


def _text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
