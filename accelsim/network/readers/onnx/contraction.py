"""Products that sum over shared axes: MatMul, Gemm and Einsum in one form.

Every axis of an operand has a label. A label of both operands that the result lacks is summed over;
one of both that the result keeps is a batch; the rest are rows of one operand or columns of the other.
With constant weights this is a fully connected layer, with two activations a `Product`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from accelsim.errors import InputError
from accelsim.network.layers import Dense, Product
from accelsim.network.readers.onnx.builder import Builder, Groups, Weight
from accelsim.network.readers.onnx.folding import reshaped
from accelsim.network.readers.onnx.operator import NotReadable
from accelsim.network.readers.onnx.tensors import Array
from accelsim.network.readers.onnx.view import Factors, View
from accelsim.network.tensor import Tensor

Labels = tuple[str, ...]
#: Label of an axis of size 1 that only aligns other axes.
ONE = ""


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor with a label an axis."""

    value: View | Weight
    labels: Labels

    def size(self, label: str) -> int:
        return self.value.shape[self.labels.index(label)]

    def factors(self, labels: Sequence[str]) -> Factors:
        assert isinstance(self.value, View)
        return self.value.factors_of(self.labels.index(label) for label in labels if label in self.labels)


def contract(build: Builder, first: Operand, second: Operand, result: Labels, bias: Array | None = None) -> View:
    """Product of two operands, at least one an activation; where both are, `first` streams past `second`."""
    if isinstance(first.value, Weight):
        first, second = second, first
    summed = tuple(label for label in first.labels if label in second.labels and label not in result and label != ONE)
    _check(first, second, result, summed)
    batch = [label for label in first.labels if label in second.labels and label in result and label != ONE]
    if isinstance(second.value, Weight) and not batch:
        return _dense(build, first, second, result, summed, bias)
    return _product(build, first, second, result, batch, summed)


def _check(first: Operand, second: Operand, result: Labels, summed: Labels) -> None:
    for own, other in ((first, second), (second, first)):
        for label in own.labels:
            if label != ONE and label not in other.labels and label not in result:
                raise NotReadable("sums over an axis of one operand")
            if label in other.labels and label != ONE and own.size(label) != other.size(label):
                raise InputError(f"products of {own.size(label)} with {other.size(label)} values do not match")
    if not summed:
        raise NotReadable("sums over no axis")


def _dense(build: Builder, first: Operand, second: Operand, result: Labels, summed: Labels, bias: Array | None) -> View:
    assert isinstance(first.value, View)
    assert isinstance(second.value, Weight)
    source = build.pixelwise(first.value, [first.labels.index(label) for label in summed])
    outputs = tuple(label for label in second.labels if label not in summed and label != ONE)
    sizes = tuple(second.size(label) for label in outputs)
    arrays = {"weight": _matrix(build, second, outputs, summed)} | ({} if bias is None else {"bias": bias})
    node = build.add(Dense(prod(sizes), bias is not None), (source.node,), arrays)
    rows = {label: axis for label, axis in zip(first.labels, source.axes, strict=True) if label not in summed}
    return _view(node, source.factors[: source.space], rows, list(zip(outputs, sizes, strict=True)), result)


def _matrix(build: Builder, weights: Operand, outputs: Labels, summed: Labels) -> Array:
    """Weights as (outputs, inputs)."""
    assert isinstance(weights.value, Weight)
    array = weights.value.array
    order = [weights.labels.index(label) for label in (*outputs, *summed)]
    order += [axis for axis in range(array.ndim) if axis not in order]
    rows = prod(weights.size(label) for label in outputs)
    made = reshaped(array.transpose(order), (rows, prod(array.shape) // max(rows, 1)))
    return build.derived(array, f"matrix {order} {rows}", made)


def _view(
    node: str, space: Factors, rows: dict[str, Factors], channels: Sequence[tuple[str, int]], result: Labels
) -> View:
    """View of a product: spatial factors as the first operand has them, channels made up of labels."""
    factors = list(space)
    where = {label: axis for label, axis in rows.items() if label != ONE}
    for label, size in channels:
        where[label] = (len(factors),) if size > 1 else ()
        factors += [size] if size > 1 else []
    return View(node, tuple(factors), len(space), tuple(where.get(label, ()) for label in result))


def _product(
    build: Builder, first: Operand, second: Operand, result: Labels, batch: Sequence[str], summed: Labels
) -> View:
    assert isinstance(first.value, View)
    groups = sorted((label for label in batch if _in_channels(first, label)), key=lambda label: first.factors([label]))
    leading = [label for label in batch if label not in groups]
    rows = [label for label in first.labels if label not in (*batch, *summed, ONE)]
    columns = [label for label in second.labels if label not in (*batch, *summed, ONE)]
    last = (len(first.value.factors),)
    spatial = sorted((*leading, *rows), key=lambda label: first.factors([label]) or last)
    if rows and spatial[-1] in leading:
        streaming = next(label for label in reversed(spatial) if label in rows)
        spatial = [label for label in spatial if label != streaming] + [streaming]
    source = _streaming(build, first, spatial, bool(rows), leading, (*groups, *summed))
    outer = spatial[:-1] if rows else spatial
    transposed = isinstance(second.value, Weight) or all(_in_channels(second, label) for label in summed)
    inner, pixel = (columns, summed) if transposed else (summed, columns)
    stationary = _stationary(build, second, [k for k in outer if k in second.labels], outer, inner, (*groups, *pixel))
    count = prod(first.size(label) for label in groups)
    node = build.add(Product(count, transposed), (source.node, stationary))
    own = {label: axis for label, axis in zip(first.labels, source.axes, strict=True) if label in spatial}
    channels = [(k, first.size(k)) for k in groups] + [(k, second.size(k)) for k in columns]
    return _view(node, source.factors[: source.space], own, channels, result)


def _in_channels(operand: Operand, label: str) -> bool:
    view = operand.value
    return isinstance(view, View) and all(factor >= view.space for factor in operand.factors([label]))


def _streaming(
    build: Builder, first: Operand, spatial: Sequence[str], has_rows: bool, leading: Sequence[str], pixel: Labels
) -> View:
    """The first operand with `spatial` axes, the last of them streaming, and `pixel` as channels."""
    assert isinstance(first.value, View)
    channels = first.factors(pixel)
    view = first.value
    if not leading and build.tensors[view.node].spatial and set(view.channels) == set(channels):
        return build.arranged(view, build.groups(view), channels)
    groups: Groups = tuple(first.factors([label]) for label in spatial)
    return build.fitting(first.value, groups if has_rows else (*groups, ()), channels, least=1)


def _stationary(
    build: Builder, second: Operand, own: Sequence[str], outer: Sequence[str], inner: Sequence[str], pixel: Labels
) -> str:
    """The second operand with axes for `outer` (size 1 where it has none), one for all of `inner`, and channels."""
    if isinstance(second.value, Weight):
        return _constant(build, second, outer if own else (), inner, pixel)
    groups: Groups = tuple(second.factors([label]) for label in outer) if own else ()
    source, channels = second.value, second.factors(pixel)
    stationary = (*groups, second.factors(inner))
    return build.fitting(source, stationary, channels, least=1).node


def _constant(build: Builder, second: Operand, outer: Sequence[str], inner: Sequence[str], pixel: Labels) -> str:
    assert isinstance(second.value, Weight)
    array = second.value.array
    named = [label for label in (*outer, *inner, *pixel) if label in second.labels]
    order = [second.labels.index(label) for label in named]
    order += [axis for axis in range(array.ndim) if axis not in order]
    sizes = [second.size(label) if label in second.labels else 1 for label in outer]
    spatial = (*sizes, prod(second.size(label) for label in inner))
    channels = prod(second.size(label) for label in pixel if label in second.labels)
    laid = reshaped(np.transpose(array, order), (*spatial, channels))
    return build.constant(laid, Tensor(channels, spatial), second.value.stored)
