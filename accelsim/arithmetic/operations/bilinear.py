"""Layers made with fewer products, where that takes fewer instructions than windows do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from accelsim.arithmetic.formats import Array
from accelsim.arithmetic.kernels import bilinear
from accelsim.arithmetic.kernels.bilinear import ROWS, STRASSEN, VECTORS, WINOGRAD, Groups, Scheme, Weights
from accelsim.arithmetic.kernels.tiles import PAIRS_256
from accelsim.arithmetic.operations.fast import MOST_SHAPES, Blocked, Ints
from accelsim.network.layers import Convolution, Dense, Layer
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

#: Bytes of transformed inputs that are worked on together, and most groups they are of.
TOGETHER_BYTES, MOST_TOGETHER = 192 << 10, 64
#: Fewer inputs or outputs of a 3x3 layer cost more to transform than they save in products.
LEAST_INPUTS, LEAST_OUTPUTS = 32, 16
#: Likewise fewer inputs and points of a matrix product, whose outputs are in four parts of whole tiles.
DEEP, MANY_POINTS = 256, 128
_LANES = VECTORS * PAIRS_256.lanes


@dataclass(frozen=True)
class Shape:
    """A padded copy (d, h, w, inputs) with the map (d, h, w, inputs) at `before`, and the groups of outputs."""

    source: tuple[int, ...]
    padded: tuple[int, ...]
    before: tuple[int, int, int]
    groups: Groups
    spatial: tuple[int, ...]
    #: Points that are written, of which those behind the last are none.
    points: int


@dataclass
class Bilinear:
    """A layer by a scheme of fewer products; shapes it does not pay for go by way of `windows`."""

    windows: Blocked
    scheme: Scheme
    _shapes: dict[tuple[Layer, tuple[int, ...]], Shape | None] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.windows.finished

    def __call__(self, layer: Layer, values: Array) -> Array:
        shape, own = self._shape(layer, values), self.windows
        if shape is None:
            return own(layer, values)
        source = np.ascontiguousarray(values, own.source.type.dtype).reshape(shape.source)
        padding, copy = own.copied(source, shape.before, shape.padded)
        out = np.empty((shape.points, own.stored), own.kind)
        self._driver(padding, padding.room, shape.groups, self._weights, out, *own.limits, own.threads)
        own.kept.append(copy)
        return out[: prod(shape.spatial)].view(own.type).reshape(*shape.spatial, own.channels)

    def _shape(self, layer: Layer, values: Array) -> Shape | None:
        key = (layer, values.shape)
        if key not in self._shapes:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.clear()
            spatial = layer.output((Tensor(values.shape[-1], values.shape[:-1]),)).spatial
            if self.scheme is STRASSEN:
                self._shapes[key] = _quadruples(values.shape, spatial, self.windows.channels)
            else:
                assert isinstance(layer, Convolution)
                self._shapes[key] = _squares(layer, values.shape, spatial)
        return self._shapes[key]

    @cached_property
    def _driver(self) -> Callable[..., None]:
        return bilinear.driver(self.scheme, self.windows.form, not self.finished)

    @cached_property
    def _weights(self) -> Weights:
        products, inner, outputs = (made := _transformed(self.scheme, self.windows.weights)).shape
        steps, blocks = ceil_div(inner, 2), ceil_div(outputs, _LANES)
        room = np.zeros((products, 2 * steps, blocks * _LANES), np.int16)
        room[:, :inner, :outputs] = made
        pairs = room.reshape(products, steps, 2, blocks, _LANES).transpose(3, 0, 1, 4, 2)
        words = np.ascontiguousarray(pairs).view(np.int32)[..., 0]
        return Weights(words, *self.windows.per_channel(np.arange(self.windows.channels)))


def with_fewer_products(layer: Layer, windows: Blocked) -> Blocked | Bilinear:
    """The layer by the scheme it can be made by, exactly, and that is worth it for some shape of its map."""
    scheme = _scheme(layer, windows)
    return windows if scheme is None or not _fits(windows, scheme) else Bilinear(windows, scheme)


def _scheme(layer: Layer, windows: Blocked) -> Scheme | None:
    groups, *kernel, inputs, outputs = windows.weights.shape
    if windows.form is not PAIRS_256 or groups > 1:
        return None
    strides = (*layer.stride, *layer.dilation) if isinstance(layer, Convolution) else ()
    padding = layer.padding if isinstance(layer, Convolution) else ()
    if any(n > 1 for n in strides) or not isinstance(layer, Convolution | Dense):
        return None
    if kernel == [1, 3, 3] and len(strides) == 4 and inputs >= LEAST_INPUTS and outputs >= LEAST_OUTPUTS:
        return WINOGRAD
    parts = inputs % 4 == 0 and outputs % (4 * _LANES) == 0
    point = kernel == [1, 1, 1] and not any(n for pair in padding for n in pair)
    return STRASSEN if point and parts and inputs >= DEEP else None


def _transformed(scheme: Scheme, weights: Ints) -> Ints:
    """Transformed weights (products, inner, outputs of a grid's place) of weights (1, *taps, inputs, outputs)."""
    matrix = np.array(scheme.weights)
    if scheme is WINOGRAD:
        made = np.einsum("ia,jb,abkn->ijkn", matrix, matrix, weights[0, 0])
    else:
        inner, outputs = weights.shape[4] // 4, weights.shape[5] // 4
        halves, parts = matrix.reshape(-1, 2, 2), weights.reshape(2, 2, inner, 2, 2, outputs)
        made = np.einsum("iac,jbd,abkcdn->ijkn", halves, halves, parts)
    return np.asarray(made.reshape(scheme.products, *made.shape[2:]))


def _fits(windows: Blocked, scheme: Scheme) -> bool:
    """Whether transformed values have 16 bits, and sums times a power of two 32."""
    kind, zero = windows.source.type, windows.source.zero_point[0]
    largest = max(abs(kind.low - zero), abs(kind.high - zero))
    spread = max(sum(abs(n) for n in line) for line in scheme.inputs) ** 2
    weights = int(np.abs(_transformed(scheme, windows.weights)).max(initial=0))
    sums = int(np.abs(windows.weights).sum(axis=(0, 1, 2, 3, 4)).max(initial=0)) * largest
    return spread * largest < 1 << 15 and weights < 1 << 15 and sums << scheme.shift < 1 << 31


def _together(scheme: Scheme, inner: int) -> int:
    fitting = min(TOGETHER_BYTES // (2 * scheme.products * inner), MOST_TOGETHER) // ROWS * ROWS
    return max(fitting, 4 * ROWS)


def _squares(layer: Convolution, shape: tuple[int, ...], spatial: tuple[int, ...]) -> Shape | None:
    """Squares of 2x2 outputs; none for maps that are one point high or wide."""
    (height, width), inputs = spatial, shape[-1]
    if min(height, width) < 2:
        return None
    rows, columns = ceil_div(height, 2), ceil_div(width, 2)
    padded = (1, 2 * rows + 2, 2 * columns + 2, inputs)
    y, x = (2 * axis.reshape(-1) for axis in np.indices((rows, columns)))
    line, pixel = 2 * padded[2] * inputs, 2 * inputs
    four, two = np.arange(4), np.arange(2)
    groups = Groups(
        starts=y * line + x * pixel, points=y * width + x, inputs=np.array([four * line, four * pixel]),
        outputs=np.array([two * width, two]), channels=np.zeros((2, 2), np.int64), height=height, width=width,
        inner=inputs, together=_together(WINOGRAD, inputs),
    )  # fmt: skip
    return Shape((1, *shape), padded, (0, layer.padding[0][0], layer.padding[1][0]), groups, spatial, height * width)


def _quadruples(shape: tuple[int, ...], spatial: tuple[int, ...], outputs: int) -> Shape | None:
    """Every four points in turn, in four parts of their inputs; none where there are few."""
    points, inputs = prod(spatial), shape[-1]
    if points < MANY_POINTS:
        return None
    count = ceil_div(points, 4)
    half, part = (axis.reshape(-1) for axis in np.indices((2, 2)))
    groups = Groups(
        starts=8 * inputs * np.arange(count), points=4 * np.arange(count),
        inputs=np.array([2 * (2 * half + part / 2) * inputs, 2 * (half + part / 4) * inputs]).astype(np.int64),
        outputs=np.array([2 * half, half]), channels=np.array([part * outputs // 2, part * outputs // 4]),
        height=4, width=4 * count, inner=inputs // 4, together=_together(STRASSEN, inputs // 4),
    )  # fmt: skip
    return Shape((1, 1, points, inputs), (1, 1, 4 * count, inputs), (0, 0, 0), groups, spatial, 4 * count)
