"""MatMul, Gemm and Einsum as labelled contractions."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from accelsim.errors import InputError
from accelsim.network.readers.onnx.builder import Builder, Value, Weight
from accelsim.network.readers.onnx.contraction import ONE, Labels, Operand, contract
from accelsim.network.readers.onnx.folding import reshaped
from accelsim.network.readers.onnx.joining import combine
from accelsim.network.readers.onnx.operator import NotReadable, Operator
from accelsim.network.readers.onnx.values import Values, operand, optional
from accelsim.network.readers.onnx.view import View

Shape = tuple[int, ...]


def matmul(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    """As NumPy's: the last axis with the last but one, leading axes broadcast."""
    left, right = operand(inputs, 0), operand(inputs, 1)
    if not left.shape or not right.shape:
        raise InputError("a product needs operands with at least one axis")
    first, second = _labelled(left.shape, right.shape)
    outer: list[str] = []
    for index in range(max(len(left.shape), len(right.shape)) - 2, 0, -1):
        name = f"b{index}"
        outer.append(name if name in first or name in second else ONE)
    rows = ("m",) if len(left.shape) > 1 else ()
    columns = ("n",) if len(right.shape) > 1 else ()
    return [contract(build, Operand(left, first), Operand(right, second), (*outer, *rows, *columns))]


def _labelled(left: Shape, right: Shape) -> tuple[Labels, Labels]:
    """Labels of both operands; batch axes are numbered from the inside, those of size 1 stand for nothing."""

    def outer(own: Shape) -> Labels:
        count = max(len(own) - 2, 0)
        return tuple(f"b{count - axis}" if own[axis] > 1 else ONE for axis in range(count))

    first = (*outer(left), *(("m", "k") if len(left) > 1 else ("k",)))
    second = (*outer(right), *(("k", "n") if len(right) > 1 else ("k",)))
    return first, second


def gemm(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    """Alpha A' B' + beta C; with constant weights and a C along the columns, a fully connected layer."""
    left, right = operand(inputs, 0), operand(inputs, 1)
    if len(left.shape) != 2 or len(right.shape) != 2:
        raise InputError(f"needs matrices, not shapes {list(left.shape)} and {list(right.shape)}")
    alpha, beta = op.real("alpha", 1.0), op.real("beta", 1.0)
    first: Labels = ("k", "m") if op.integer("transA", 0) else ("m", "k")
    second: Labels = ("n", "k") if op.integer("transB", 0) else ("k", "n")
    added = optional(inputs, 2)
    if isinstance(right, Weight) and alpha != 1.0:
        right = Weight(build.derived(right.array, f"times {alpha}", right.array * np.float32(alpha)), right.stored)
    elif alpha != 1.0:
        raise NotReadable(f"alpha = {alpha} with two activations")
    columns = right.shape[second.index("n")]
    bias = _bias(added, columns, beta) if isinstance(right, Weight) and isinstance(left, View) else None
    with build.inner("" if bias is not None or added is None else "product"):
        arrays = None if bias is None else bias.array
        result = contract(build, Operand(left, first), Operand(right, second), ("m", "n"), arrays)
    if added is None or bias is not None:
        return [result]
    if beta != 1.0:
        raise NotReadable(f"beta = {beta} with a computed or two-dimensional addend")
    assert isinstance(added, View | Weight)
    return [combine(build, "add", [result, added])]


def _bias(added: Value | None, columns: int, beta: float) -> Weight | None:
    """The addend as one number a column, where it is that."""
    if not isinstance(added, Weight) or added.array.size != columns or added.shape[-1:] != (columns,):
        return None
    flat = added.array if added.array.ndim == 1 else reshaped(added.array, (columns,))
    return Weight(flat if beta == 1.0 else flat * np.float32(beta), added.stored)


def einsum(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    """A transposition of one operand, or a product of two; other sums are refused."""
    equation = op.text("equation", "").replace(" ", "")
    operands = [operand(inputs, position) for position in range(len(inputs))]
    written = _without_ellipsis(equation, [len(operand.shape) for operand in operands])
    match = re.fullmatch(r"([A-Za-z0-9]+)(?:,([A-Za-z0-9]+))?->([A-Za-z0-9]*)", written)
    if match is None:
        raise NotReadable(f"equation '{equation}'")
    terms = [tuple(term) for term in match.groups()[:2] if term]
    result = tuple(match.group(3))
    for term in (*terms, result):
        if len(set(term)) < len(term) or not set(result) <= {label for term in terms for label in term}:
            raise NotReadable(f"equation '{equation}'")
    if len(operands) != len(terms) or any(len(o.shape) != len(t) for o, t in zip(operands, terms, strict=True)):
        raise InputError(f"equation '{equation}' does not fit the shapes of its operands")
    if len(terms) == 1:
        source = operands[0]
        if len(result) < len(terms[0]) or not isinstance(source, View):
            raise NotReadable(f"equation '{equation}'")
        return [source.transposed([terms[0].index(label) for label in result])]
    first, second = (Operand(o, t) for o, t in zip(operands, terms, strict=True))
    return [contract(build, first, second, result)]


def _without_ellipsis(equation: str, ranks: Sequence[int]) -> str:
    """Digits for the axes that `...` stands for in operands that all have as many of them."""
    left, arrow, right = equation.partition("->")
    counts = {rank - len(term.replace("...", "")) for term, rank in zip(left.split(","), ranks, strict=False)
              if "..." in term}  # fmt: skip
    if len(counts) != 1 or not 0 <= max(counts) < 10:
        return equation
    return f"{left}{arrow}{right}".replace("...", "0123456789"[: max(counts)])
