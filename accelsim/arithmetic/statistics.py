"""What the numbers of an integer network are like on example frames: ranges, zeros, ones among bits, idle products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.encodings import Stored
from accelsim.arithmetic.execute import Arrays, Program, checked_feeds, each_frame, program_of
from accelsim.arithmetic.formats import Array, Format
from accelsim.arithmetic.network import IntegerNetwork
from accelsim.arithmetic.operations.place import as_real, by_output
from accelsim.errors import InputError
from accelsim.network.graph import Node
from accelsim.network.layers import Convolution, Dense, Layer, Product, TransposedConvolution, Weighted
from accelsim.network.statistics import LayerStatistics

Mask = NDArray[np.bool_]


def statistics(inet: IntegerNetwork, x: Array | Arrays, threads: int = 1) -> dict[str, LayerStatistics]:
    """Statistics of every layer by its name, over all frames of `x`, which is as `execute` takes it.

    `inet.network.with_statistics(...)` puts them on the network that is mapped and simulated. All counts are exact.
    Raises `InputError` as `execute` does, and where values of a layer in real numbers are not finite.
    """
    program = program_of(inet, threads)
    totals = {node.name: _Totals.of(inet, node) for node in inet.network.nodes}
    for feeds in each_frame(inet, checked_feeds(inet, x)):
        for node, operands, value in program.steps(feeds):
            totals[node.name].add(inet, node, operands, value)
    return {node.name: totals[node.name].figures(inet, node, program) for node in inet.network.nodes}


@dataclass
class _Totals:
    """Counts of one layer over the frames so far; `nonzero_weights` as its kind's `useful_products` takes them."""

    nonzero_weights: Array | None
    least: float = np.inf
    most: float = -np.inf
    elements: int = 0
    zeros: int = 0
    ones: int = 0
    useful: int = 0
    products: int = 0

    @classmethod
    def of(cls, inet: IntegerNetwork, node: Node) -> _Totals:
        return cls(shifted_weights(inet, node) != 0 if isinstance(node.layer, Weighted) else None)

    def add(self, inet: IntegerNetwork, node: Node, operands: Sequence[Array], value: Array) -> None:
        kind = inet.formats.get(node.name)
        reals = as_real(value, kind)
        shifted = _shifted(value, kind)
        self.least, self.most = min(self.least, float(reals.min())), max(self.most, float(reals.max()))
        self.elements += value.size
        self.zeros += value.size - int(np.count_nonzero(shifted))
        if isinstance(kind, Format):
            self.ones += _ones(shifted)
        if isinstance(node.layer, Weighted | Product):
            sources = [_shifted(x, inet.formats.get(name)) != 0 for x, name in zip(operands, node.inputs, strict=True)]
            if self.nonzero_weights is not None:
                sources.append(self.nonzero_weights)
            self.useful += useful_products(node.layer, sources, value.shape[:-1])
            self.products += inet.network.macs_of(node)

    def figures(self, inet: IntegerNetwork, node: Node, program: Program) -> LayerStatistics:
        if not np.isfinite([self.least, self.most]).all():
            raise InputError(f"{inet.name}: {node.name} ({node.kind}) takes values that are not finite")
        kind = inet.formats.get(node.name)
        return LayerStatistics(
            self.least,
            self.most,
            self.zeros / self.elements,
            self.ones / (self.elements * kind.type.bits) if isinstance(kind, Format) else None,
            *_of_weights(inet, node),
            1 - self.useful / self.products if self.products else None,
        )


def _shifted(values: Array, kind: Stored | None) -> Array:
    """Integers without their zero point, or real numbers."""
    return values.astype(np.int64) - kind.zeros if isinstance(kind, Format) else as_real(values, kind)


def _ones(shifted: Array) -> int:
    return int(np.bitwise_count(np.abs(shifted)).sum())


def _of_weights(inet: IntegerNetwork, node: Node) -> tuple[float | None, float | None]:
    """Zero and bit density of a layer's weights."""
    if not isinstance(node.layer, Weighted):
        return None, None
    shifted, kind = shifted_weights(inet, node), inet.weight_formats.get(f"{node.name}.weight")
    zeros = 1 - np.count_nonzero(shifted) / shifted.size
    return float(zeros), None if kind is None else _ones(shifted) / (shifted.size * kind.type.bits)


def shifted_weights(inet: IntegerNetwork, node: Node) -> Array:
    """A layer's weights without their zero points, in the shape they are stored."""
    weight, kind = inet.network.parameters[f"{node.name}.weight"], inet.weight_formats.get(f"{node.name}.weight")
    if kind is None:
        return weight
    return np.asarray(weight.astype(np.int64) - by_output(node.layer, kind.zeros, "weight", weight.shape))


@singledispatch
def useful_products(layer: Layer, nonzero: Sequence[Mask], spatial: Sequence[int]) -> int:
    """Multiplications of two operands that are not 0: of masks of the operands, or of an operand and the weights.

    `spatial` is the space of the output. Raises for a kind of layer that multiplies nothing.
    """
    raise AssertionError(layer)


@useful_products.register
def _(layer: Convolution, nonzero: Sequence[Mask], spatial: Sequence[int]) -> int:
    source, weight = nonzero
    padded = np.pad(source, (*layer.padding, (0, 0)))
    # Weights that are not 0 by (tap, input channel), whatever their output channel.
    grouped = weight.reshape(layer.groups, -1, weight.shape[1], prod(layer.kernel)).sum(axis=1)
    readers = np.moveaxis(grouped, 2, 0).reshape(-1, source.shape[-1])
    total = 0
    for own, taps in zip(readers, product(*(range(k) for k in layer.kernel)), strict=True):
        axes = zip(taps, layer.dilation, layer.stride, spatial, strict=True)
        here = tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, s, o in axes)
        total += int(padded[here].reshape(-1, source.shape[-1]).sum(axis=0) @ own)
    return total


@useful_products.register
def _(layer: TransposedConvolution, nonzero: Sequence[Mask], spatial: Sequence[int]) -> int:
    source, weight = nonzero
    return int(_by_channel(source) @ weight.reshape(weight.shape[0], -1).sum(axis=1))


@useful_products.register
def _(layer: Dense, nonzero: Sequence[Mask], spatial: Sequence[int]) -> int:
    source, weight = nonzero
    return int(_by_channel(source) @ weight.sum(axis=0))


@useful_products.register
def _(layer: Product, nonzero: Sequence[Mask], spatial: Sequence[int]) -> int:
    heads = zip(*(np.split(mask.astype(np.int64), layer.groups, axis=-1) for mask in nonzero), strict=True)
    total = 0
    for first, second in heads:
        inner = second if layer.transposed else second.swapaxes(-1, -2)
        total += int((first.sum(axis=-2) * inner.sum(axis=-2)).sum())
    return total


def _by_channel(mask: Mask) -> NDArray[np.int64]:
    """Elements that are not 0 by channel."""
    return np.asarray(mask.reshape(-1, mask.shape[-1]).sum(axis=0), np.int64)
