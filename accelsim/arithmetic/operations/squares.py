"""3x3 convolutions by squares of outputs, where that takes fewer instructions than windows do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from accelsim.arithmetic.formats import Array
from accelsim.arithmetic.kernels import winograd
from accelsim.arithmetic.kernels.tiles import PAIRS_256
from accelsim.arithmetic.kernels.winograd import PRODUCTS, ROWS, VECTORS, Scratch, Squares, Weights, transformed
from accelsim.arithmetic.operations.fast import Blocked, Ints
from accelsim.network.layers import Convolution, Layer
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

#: Fewer inputs or outputs than these cost more to transform than they save in products.
LEAST_INPUTS, LEAST_OUTPUTS = 32, 16
#: Bytes of transformed inputs that are worked on together, most squares they are of, and least tiles.
TOGETHER_BYTES, MOST_TOGETHER, LEAST_TOGETHER = 192 << 10, 64, 4


@dataclass
class Squared:
    """A layer by squares of outputs; maps that are no wider or higher than one output go by way of `windows`."""

    windows: Blocked
    #: Memory to work in that is not in use.
    _kept: list[Scratch] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.windows.finished

    def __call__(self, layer: Layer, values: Array) -> Array:
        assert isinstance(layer, Convolution)
        own = self.windows
        height, width = layer.output((Tensor(values.shape[-1], values.shape[:-1]),)).spatial
        if min(height, width) < 2:
            return own(layer, values)
        squares = self._squares(height, width)
        channels = values.shape[-1]
        padded = (1, 2 * ceil_div(height, 2) + 2, 2 * squares.columns + 2, channels)
        before = (0, layer.padding[0][0], layer.padding[1][0])
        source = np.ascontiguousarray(values, own.source.type.dtype).reshape(1, *values.shape)
        padding, copy = own.copied(source, before, padded)
        out = np.empty((height * width, own.stored), own.kind)
        work = self._kept.pop() if self._kept else self._scratch(channels)
        self._driver(padding, padding.room, work, squares, self._weights, out, *own.limits, own.threads)
        self._kept.append(work)
        own.kept.append(copy)
        return out.view(own.type).reshape(height, width, own.channels)

    def _squares(self, height: int, width: int) -> Squares:
        columns = ceil_div(width, 2)
        return Squares(height, width, columns, ceil_div(height, 2) * columns, self._together)

    @cached_property
    def _together(self) -> int:
        inputs = int(self.windows.weights.shape[4])
        fitting = min(TOGETHER_BYTES // (2 * PRODUCTS * inputs), MOST_TOGETHER)
        return max(fitting // ROWS, LEAST_TOGETHER) * ROWS

    def _scratch(self, inputs: int) -> Scratch:
        own = self.windows
        return winograd.scratch(inputs, self._together, own.form.lanes, max(own.threads, 1))

    @cached_property
    def _driver(self) -> Callable[..., None]:
        return winograd.driver(self.windows.form, not self.finished)

    @cached_property
    def _weights(self) -> Weights:
        own = self.windows
        inputs, outputs = own.weights.shape[4:]
        lanes = VECTORS * own.form.lanes
        steps, blocks = ceil_div(inputs, 2), ceil_div(outputs, lanes)
        room = np.zeros((PRODUCTS, 2 * steps, blocks * lanes), np.int16)
        room[:, :inputs, :outputs] = transformed(own.weights[0, 0]).reshape(PRODUCTS, inputs, outputs)
        pairs = room.reshape(PRODUCTS, steps, 2, blocks, lanes).transpose(3, 0, 1, 4, 2)
        words = np.ascontiguousarray(pairs).view(np.int32)[..., 0]
        return Weights(words, *own.per_channel(np.arange(outputs)))


def by_squares(layer: Layer, windows: Blocked) -> Blocked | Squared:
    """The layer by squares where it can be, exactly, and is worth it."""
    plain = isinstance(layer, Convolution) and layer.kernel == (3, 3) and layer.stride == (1, 1) == layer.dilation
    groups, *_, inputs, outputs = windows.weights.shape
    if not plain or windows.form is not PAIRS_256 or groups > 1 or inputs < LEAST_INPUTS or outputs < LEAST_OUTPUTS:
        return windows
    return Squared(windows) if _fits(windows) else windows


def _fits(windows: Blocked) -> bool:
    """Whether transformed values have 16 bits and four times a sum 31."""
    kind, zero = windows.source.type, windows.source.zero_point[0]
    largest = max(abs(kind.low - zero), abs(kind.high - zero))
    weights: Ints = windows.weights[0, 0]
    sums = int(np.abs(weights).sum(axis=(0, 1, 2)).max(initial=0)) * largest
    return 4 * largest < 1 << 15 and int(np.abs(transformed(weights)).max(initial=0)) < 1 << 15 and 4 * sums < 1 << 31
