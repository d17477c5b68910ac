"""3x3 convolutions by squares of outputs, where that takes fewer instructions than windows do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np

from accelsim.arithmetic.formats import Array
from accelsim.arithmetic.kernels import winograd
from accelsim.arithmetic.kernels.parts import Padding
from accelsim.arithmetic.kernels.tiles import PAIRS_256
from accelsim.arithmetic.kernels.winograd import PRODUCTS, ROWS, VECTORS, Scratch, Squares, Weights, transformed
from accelsim.arithmetic.operations.fast import LEAST_PRODUCTS, Blocked, Ints, Rooms
from accelsim.arithmetic.operations.team import TEAM
from accelsim.network.layers import Convolution, Layer
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

#: Fewer inputs or outputs than these cost more to transform than they save in products.
LEAST_INPUTS, LEAST_OUTPUTS = 32, 16
#: Bytes of transformed inputs that are worked on together, most squares they are of, and least tiles.
TOGETHER_BYTES, MOST_TOGETHER, LEAST_TOGETHER = 192 << 10, 64, 4


@dataclass(frozen=True)
class Shape:
    """What depends on the shape of the input."""

    rooms: Rooms
    padding: Padding
    squares: Squares


@dataclass
class Squared:
    """A layer by squares of outputs; maps that are no wider or higher than one output go by way of `windows`."""

    windows: Blocked
    #: Memory to work in that is not in use.
    _kept: list[Scratch] = field(default_factory=list)
    _shapes: dict[tuple[object, ...], Shape] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.windows.finished

    def __call__(self, layer: Layer, values: Array) -> Array:
        assert isinstance(layer, Convolution)
        own = self.windows
        height, width = layer.output((Tensor(values.shape[-1], values.shape[:-1]),)).spatial
        if min(height, width) < 2:
            return own(layer, values)
        shape = self._shape(layer, values.shape, height, width)
        source, room = own.raw(values).reshape(1, *values.shape), shape.rooms.taken()
        out = np.empty((height * width, own.stored), own.kind)
        work = self._kept.pop() if self._kept else self._scratch(values.shape[-1])
        seats = TEAM.seats(min(own.threads, prod(shape.squares.cut)))
        self._driver(
            TEAM.board, seats, source, room, work, out, shape.padding, shape.squares, self._weights, self._limits
        )
        self._kept.append(work)
        shape.rooms.back(room)
        return own.read(out, (height, width, own.channels))

    def _shape(self, layer: Convolution, given: tuple[int, ...], height: int, width: int) -> Shape:
        key = (layer.padding, given)
        if key not in self._shapes:
            rows, columns = ceil_div(height, 2), ceil_div(width, 2)
            rooms = self.windows.rooms((1, 2 * rows + 2, 2 * columns + 2, given[-1]))
            squares = Squares(height, width, columns, rows * columns, self._together, self._cut(rows * columns))
            self._shapes[key] = Shape(
                rooms, self.windows.padding((0, layer.padding[0][0], layer.padding[1][0])), squares
            )
        return self._shapes[key]

    def _cut(self, number: int) -> tuple[int, int]:
        """Parts by squares and by blocks; by blocks, which all transform all inputs, where weights outweigh those."""
        threads, words = self.windows.threads, self._weights.words
        inputs = int(self.windows.weights.shape[4])
        if threads == 1 or number * 4 * self.windows.weights.size < 2 * LEAST_PRODUCTS:
            return 1, 1
        if words.nbytes > 4 * PRODUCTS * inputs * number and len(words) >= threads:
            return 1, min(len(words), 2 * threads)
        return ceil_div(ceil_div(number, self._together), threads) * threads, 1

    @cached_property
    def _together(self) -> int:
        inputs = int(self.windows.weights.shape[4])
        fitting = min(TOGETHER_BYTES // (2 * PRODUCTS * inputs), MOST_TOGETHER)
        return max(fitting // ROWS, LEAST_TOGETHER) * ROWS

    def _scratch(self, inputs: int) -> Scratch:
        own = self.windows
        return winograd.scratch(inputs, self._together, own.form.lanes, max(own.threads, 1))

    @cached_property
    def _limits(self) -> tuple[np.float32, np.float32, np.int32]:
        least, most = self.windows.limits
        return least, most, np.int32(self.windows.zero)

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
