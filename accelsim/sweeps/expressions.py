"""Conditions such as `engine.multipliers <= 4096 and tile_attention.rows != 1`, over whole columns at once.

They are read with Python's own parser and evaluated here, over a table of operations: names, numbers, text, sums,
products and comparisons. Numbers are doubles, truths 1 and 0, shapes text such as '1,3,224,224'. A comparison with a
missing value fails, but for `!=`; what is missing is found by `== null`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.sweeps.axes import Column, column
from accelsim.units import parse_bytes, parse_hertz
from accelsim.yaml_file import suggestion

LONGEST_TEXT = 1000

ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
#: Words of YAML that are values, no names.
WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
RULE = "use names, numbers, + - * /, < <= > >= == !=, and, or, not"


@dataclass(frozen=True)
class Condition:
    """What must hold; `names` are the columns it reads."""

    text: str
    names: frozenset[str]

    def holds(self, columns: Mapping[str, Column | Any], rows: int) -> NDArray[np.bool_]:
        """For each of `rows` whether it is met. Raises `InputError` where text is compared with numbers."""
        try:
            with np.errstate(all="ignore"):
                result = _value(ast.parse(self.text, mode="eval").body, columns)
        except TypeError:
            raise InputError(f"'{self.text}': text and numbers do not compare") from None
        return np.broadcast_to(np.asarray(result, bool), (rows,))


def condition(text: str, known: Iterable[str]) -> Condition:
    """`text` as a condition on `known` columns. Raises `InputError` that names what is wrong."""
    if len(text) > LONGEST_TEXT:
        raise InputError(f"{len(text):,} characters; the most is {LONGEST_TEXT:,}")
    try:
        tree = ast.parse(text, mode="eval").body
        names = frozenset(_names(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"'{text}' is no condition; {RULE}") from None
    if not _is_truth(tree):
        raise InputError(f"'{text}' is neither true nor false; compare it with something")
    columns = list(known)
    unknown = sorted(names.difference(columns))
    if unknown:
        raise InputError(f"'{text}': unknown name {unknown[0]}{suggestion(unknown[0], columns)}")
    return Condition(text, names)


def _is_truth(tree: ast.AST) -> bool:
    if isinstance(tree, ast.BoolOp):
        return all(_is_truth(part) for part in tree.values)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        return _is_truth(tree.operand)
    return isinstance(tree, ast.Compare)


def _names(tree: ast.AST) -> Iterable[str]:
    """The dotted names in a tree of known operations; `ValueError` for any other."""
    match tree:
        case ast.Name(id=word) if word in WORDS:
            pass
        case ast.Name() | ast.Attribute():
            yield _dotted(tree)
        case ast.Constant(value=bool() | int() | float() | str() | None):
            pass
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            yield from [*_names(left), *_names(right)]
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield from _names(operand)
        case ast.BoolOp(values=values):
            yield from [name for value in values for name in _names(value)]
        case ast.Compare(left=left, ops=ops, comparators=right) if all(type(op) in COMPARISONS for op in ops):
            yield from [name for value in (left, *right) for name in _names(value)]
        case _:
            raise ValueError(type(tree).__name__)


def _dotted(tree: ast.AST) -> str:
    if isinstance(tree, ast.Attribute):
        return f"{_dotted(tree.value)}.{tree.attr}"
    if isinstance(tree, ast.Name):
        return tree.id
    raise ValueError(type(tree).__name__)


def _value(tree: ast.AST, columns: Mapping[str, Any]) -> Any:
    match tree:
        case ast.Name() | ast.Attribute():
            name = _dotted(tree)
            return _numbers(WORDS[name] if name in WORDS else columns[name])
        case ast.Constant(value=value):
            return _numbers(_quantity(value))
        case ast.BinOp(left=left, op=op, right=right):
            values = [_value(left, columns), _value(right, columns)]
            if any(_is_text(value) for value in values):
                raise TypeError(op)
            return ARITHMETIC[type(op)](*values)
        case ast.UnaryOp(op=op, operand=operand):
            value = _value(operand, columns)
            return np.logical_not(value) if isinstance(op, ast.Not) else np.negative(value)
        case ast.BoolOp(op=op, values=values):
            join = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return join.reduce(np.broadcast_arrays(*(_value(value, columns) for value in values)))
        case ast.Compare():
            return _compared(tree, columns)
    raise AssertionError(tree)


def _compared(tree: ast.Compare, columns: Mapping[str, Any]) -> Any:
    """All comparisons of a chain such as `1 < x <= 8`."""
    parts = (tree.left, *tree.comparators)
    found = [_pair(op, a, b, columns) for op, a, b in zip(tree.ops, parts, parts[1:], strict=False)]
    return np.logical_and.reduce(np.broadcast_arrays(*found))


def _pair(op: ast.cmpop, left: ast.AST, right: ast.AST, columns: Mapping[str, Any]) -> Any:
    values = [_value(left, columns), _value(right, columns)]
    if isinstance(op, ast.Eq | ast.NotEq) and (_is_null(left) or _is_null(right)):
        return COMPARISONS[type(op)](*(_missing(value) for value in values))
    if not _is_null(left) and not _is_null(right) and _is_text(values[0]) != _is_text(values[1]):
        raise TypeError(op)
    return COMPARISONS[type(op)](*values)


def _is_null(tree: ast.AST) -> bool:
    return (isinstance(tree, ast.Name) and tree.id == "null") or (isinstance(tree, ast.Constant) and tree.value is None)


def _is_text(values: Any) -> bool:
    return bool(values.dtype == object)


def _missing(values: Any) -> Any:
    return COMPARISONS[ast.Eq](values, None) if _is_text(values) else np.isnan(values)


def _quantity(value: Any) -> Any:
    """Text with a unit as the number it is in bytes or hertz, other text as it is."""
    if isinstance(value, str):
        for parse in (parse_bytes, parse_hertz):
            with suppress(InputError):
                return parse(value)
    return value


def _numbers(value: Any) -> NDArray[Any]:
    """Numbers as doubles, missing ones as NaN; text, and shapes as text, as objects."""
    cells = value if isinstance(value, np.ndarray) else column((value,)).reshape(())
    if cells.dtype != object:
        return cells.astype(np.float64)
    if not {type(cell) for cell in cells.ravel()} & {str, tuple}:
        return cells.astype(np.float64)
    texts = [",".join(map(str, cell)) if isinstance(cell, tuple) else cell for cell in cells.ravel()]
    return column(tuple(texts)).reshape(cells.shape)
