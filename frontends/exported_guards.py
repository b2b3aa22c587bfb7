"""Conditions on input sizes under which an exported program is what the model was, read as data."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from snncc.errors import CannotTrace

Sizes = Mapping[str, tuple[int, ...]]

OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
MAXIMUM_LENGTH = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """A condition such as ``L['x'].size()[1] != 7``."""

    text: str
    tree: ast.expr

    def holds(self, sizes: Sizes) -> bool:
        """Whether inputs of these *sizes* fulfill it."""
        return bool(value(self.tree, sizes, self.text))


def parse_guard(text: str) -> Guard:
    """The guard *text*. Raises `CannotTrace` where it is more than arithmetic on sizes."""
    if len(text) > MAXIMUM_LENGTH:
        raise CannotTrace(f"has a guard of {len(text)} characters")
    try:
        guard = Guard(text, ast.parse(text, mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        raise CannotTrace(f"has a guard that snncc does not understand: {text[:200]}") from None
    guard.holds(Anything())
    return guard


class Anything(dict[str, tuple[int, ...]]):
    """Sizes of any input, to try what a guard looks at."""

    def __missing__(self, name: str) -> tuple[int, ...]:
        return (2,) * 16


def value(tree: ast.expr, sizes: Sizes, text: str) -> Any:
    match tree:
        case ast.Constant(value=int(number)) if abs(number) < 1 << 62:
            return number
        case ast.BoolOp(op=op, values=values):
            every = [bool(value(item, sizes, text)) for item in values]
            return all(every) if isinstance(op, ast.And) else any(every)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not value(operand, sizes, text)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value(left, sizes, text), value(right, sizes, text))
        case ast.Compare(left=left, ops=ops, comparators=others):
            numbers = [value(item, sizes, text) for item in (left, *others)]
            if all(type(op) in OPERATORS for op in ops):
                pairs = zip(ops, numbers, numbers[1:], strict=False)
                return all(OPERATORS[type(op)](a, b) for op, a, b in pairs)
        case ast.Subscript(
            value=ast.Call(
                func=ast.Attribute(
                    value=ast.Subscript(value=ast.Name(id="L"), slice=ast.Constant(value=str(name))),
                    attr="size",
                ),
                args=[],
                keywords=[],
            ),
            slice=ast.Constant(value=int(axis)),
        ):
            return sizes[name][axis]
    raise CannotTrace(f"has a guard that snncc does not understand: {text[:200]}")
