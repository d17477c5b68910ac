"""Convolutions and fully connected layers by register-blocked tiles, where the processor has instructions for them.

Signed 8-bit values are moved up by 128, which the bias takes back along with the zero point; 16-bit ones have their
zero point taken away as they are copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.formats import Array, Format
from accelsim.arithmetic.kernels import blocked
from accelsim.arithmetic.kernels.blocked import Geometry, Packed, Padding
from accelsim.arithmetic.kernels.tiles import DEPTHWISE_ROWS, Form, depthwise_order
from accelsim.arithmetic.operations.place import Place
from accelsim.arithmetic.operations.pooling import three
from accelsim.arithmetic.operations.processor import Instructions, instructions
from accelsim.arithmetic.requantise import FloatMultiplier
from accelsim.network.layers import Convolution, Dense, Layer
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

Ints = NDArray[np.int64]
#: Bytes that tiles may read behind the last value, weight, bias or multiplier.
SLACK = 256
#: Bytes of a cache line: vectors that start with one are read from one.
LINE = 64
#: Shapes of a layer that are remembered; streaming has a few a layer.
MOST_SHAPES = 64

NO_BYTES = np.empty((0, 0, 0, 0), np.uint8)
#: No copy to be made.
NOTHING = Padding(NO_BYTES, 0, 0, 0, np.uint8(0), np.uint8(0), NO_BYTES)

_KINDS: dict[int, np.dtype[Any]] = {8: np.dtype(np.int8), 16: np.dtype(np.int16)}


@dataclass(frozen=True)
class Shape:
    """All that depends on the shape of the input: its padded copy, where windows lie, the output and its tiles."""

    source: tuple[int, int, int, int]
    padded: tuple[int, int, int, int]
    padded_bytes: int
    before: tuple[int, int, int]
    copies: bool
    geometry: Geometry
    spatial: tuple[int, ...]
    points: int
    tiles: int


@dataclass
class Blocked:
    """A layer with packed weights. Its call gives bytes (`finished`) or exact 32-bit sums."""

    form: Form
    depthwise: tuple[Form, Form, Form] | None
    weights: Ints
    bias: Ints
    source: Format
    output: Format | None
    multiplier: FloatMultiplier | None
    threads: int = 1
    _shapes: dict[tuple[Layer, tuple[int, ...]], Shape] = field(default_factory=dict)
    #: Copies no longer in use, since new memory costs as much as copying into it.
    _rooms: list[NDArray[np.uint8]] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.multiplier is not None

    @cached_property
    def channels(self) -> int:
        return int(self.weights.shape[0] * self.weights.shape[-1])

    @property
    def size(self) -> int:
        """Bytes of a value."""
        return self.form.bits // 8

    @property
    def depth(self) -> int:
        """Values of a word."""
        return 4 // self.size

    @cached_property
    def along_rows(self) -> bool:
        """Whether the taps of a window's row lie side by side, so that they make one segment."""
        return bool(self.weights.shape[0] == 1)

    @cached_property
    def offset(self) -> int:
        """What is added to a value before it is stored: 128 makes signed bytes unsigned ones."""
        if self.size == 2:
            return -self.source.zero_point[0]
        return 128 if self.source.type.signed else 0

    @cached_property
    def filling(self) -> int:
        return self.source.zero_point[0] + self.offset

    def __call__(self, layer: Layer, values: Array) -> Array:
        shape = self._shape(layer, values)
        out = np.empty((shape.points, self.channels), self._kind)
        side_by_side = not isinstance(layer, Convolution) or layer.dilation[-1:] in ((), (1,))
        packed = self.packed if side_by_side else self.packed_by_tap
        padding, source = self._padding(np.ascontiguousarray(values), shape)
        jobs = shape.tiles * len(packed.blocks)
        self._driver(padding, source, shape.geometry, packed, out, *self._limits, jobs, self.threads)
        if shape.copies:
            self._rooms.append(source)
        return out.view(self._type).reshape(*shape.spatial, self.channels)

    @cached_property
    def _kind(self) -> np.dtype[Any]:
        """What tiles write: bytes, whatever their sign, or sums."""
        return np.dtype(np.int32 if self.multiplier is None else np.uint8)

    @cached_property
    def _type(self) -> np.dtype[Any]:
        return self._kind if self.output is None or self.multiplier is None else self.output.type.dtype

    @cached_property
    def _driver(self) -> Callable[..., None]:
        whole = self.multiplier is None
        if self.depthwise is not None:
            return blocked.depthwise_driver(self.depthwise, whole)
        return blocked.driver(self.form, whole)

    @cached_property
    def _limits(self) -> tuple[np.float32, np.float32, np.int32]:
        if self.output is None or self.multiplier is None:
            return np.float32(0), np.float32(0), np.int32(0)
        zero = self.output.zero_point[0]
        return np.float32(self.output.type.low - zero), np.float32(self.output.type.high - zero), np.int32(zero)

    def _padding(self, values: Array, shape: Shape) -> tuple[Padding, Array]:
        """What is still to be copied, and the bytes tiles read: a copy with its padding, or the map itself."""
        if not shape.copies:
            return NOTHING, values.view(np.uint8).reshape(-1)
        buffer = self._rooms.pop() if self._rooms else np.empty(0, np.uint8)
        if buffer.size < shape.padded_bytes + SLACK:
            buffer = _aligned(shape.padded_bytes + SLACK)
        room, source = buffer[: shape.padded_bytes], values.reshape(shape.source)
        if self.size == 1:
            return Padding(source.view(np.uint8), *shape.before, *self._bytes, room.reshape(shape.padded)), buffer
        words = room.view(np.int16).reshape(shape.padded)
        blocked.padded_words(source, shape.before, np.int32(self.source.zero_point[0]), words)
        return NOTHING, buffer

    @cached_property
    def _bytes(self) -> tuple[np.uint8, np.uint8]:
        """What bytes are exclusive-or'd with, and what surrounds them."""
        return np.uint8(128 if self.offset else 0), np.uint8(self.filling)

    def _shape(self, layer: Layer, values: Array) -> Shape:
        key = (layer, values.shape)
        found = self._shapes.get(key)
        if found is None:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.clear()
            found = self._shapes[key] = self._measured(layer, values)
        return found

    def _measured(self, layer: Layer, values: Array) -> Shape:
        spatial = layer.output((Tensor(values.shape[-1], values.shape[:-1]),)).spatial
        above, below = three(spatial), three(values.shape[:-1])
        stride, dilation = (1, 1, 1), (1, 1, 1)
        before = after = (0, 0, 0)
        if isinstance(layer, Convolution):
            stride, dilation = three(layer.stride), three(layer.dilation)
            before, after = (three([p[k] for p in layer.padding], 0) for k in (0, 1))
        padded = tuple(n + b + a for n, b, a in zip(below, before, after, strict=True))
        strides = self.size * values.shape[-1] * np.array([padded[1] * padded[2], padded[2], 1])
        starts = np.indices(above).reshape(3, -1).T * np.array(stride)
        points = (starts * strides).sum(axis=1).astype(np.int64)
        segments, steps = self._segments(strides, dilation)
        words = self.size * values.shape[-1] % 4 == 0 and self.size == 1
        copies = bool(any(before) or any(after) or self.offset or not words or self.depthwise is not None)
        width = (padded[0], padded[1], padded[2], values.shape[-1])
        source = (*below, values.shape[-1])
        count = prod(width) * self.size
        rows = DEPTHWISE_ROWS if self.depthwise else blocked.ROWS
        tiles = ceil_div(len(points), rows) if len(points) >= rows else len(points)
        geometry = Geometry(points, segments, steps)
        return Shape(source, width, count, before, copies, geometry, spatial, len(points), tiles)

    def _segments(self, strides: Ints, dilation: tuple[int, int, int]) -> tuple[Ints, int]:
        _, depth, height, width, inputs, _ = self.weights.shape
        taps = np.indices((depth, height, width)).reshape(3, -1).T * np.array(dilation)
        offsets = (taps * strides).sum(axis=1).astype(np.int64)
        if self.depthwise is not None:
            spare = -len(offsets) % 4
            return np.concatenate([offsets, np.zeros(spare, np.int64)]), 0
        if self.along_rows and dilation[2] == 1:
            return np.ascontiguousarray(offsets[::width]), -(-width * inputs // self.depth)
        return offsets, -(-inputs // self.depth)

    @cached_property
    def packed(self) -> Packed:
        if self.depthwise is not None:
            return self._packed_depthwise()
        return self._packed(self.along_rows)

    @cached_property
    def packed_by_tap(self) -> Packed:
        return self.packed if self.depthwise is not None or not self.along_rows else self._packed(False)

    def _packed(self, along_rows: bool) -> Packed:
        """Weights in words for blocks of output channels; with `along_rows` a row of taps is one segment."""
        groups, depth, height, width, inputs, outputs = self.weights.shape
        runs = (depth * height, width * inputs) if along_rows else (depth * height * width, inputs)
        steps = -(-runs[1] // self.depth)
        words, blocks, first = [], [], 0
        for group in range(groups):
            taps = np.zeros((runs[0], steps * self.depth, outputs), np.int64)
            taps[:, : runs[1]] = self.weights[group].reshape(*runs, outputs)
            for start, count, vectors in _blocks(outputs, self.form.lanes):
                room = np.zeros((runs[0], steps, vectors * self.form.lanes, self.depth), _KINDS[self.form.bits])
                part = taps[..., start : start + count].reshape(runs[0], steps, self.depth, count)
                room[:, :, :count] = part.swapaxes(2, 3)
                words.append(room.reshape(-1).view(np.int32))
                blocks.append((group * outputs + start, count, vectors, first, group * inputs * self.size))
                first += words[-1].size
        bias, scale = self._per_channel(np.arange(self.channels))
        return Packed(np.concatenate(words), np.array(blocks, np.int64), bias, scale)

    def _packed_depthwise(self) -> Packed:
        assert self.depthwise is not None
        channels = self.channels
        taps = self.weights.reshape(channels, -1)
        groups = -(-taps.shape[1] // 4)
        quads = np.zeros((channels, groups, 4), np.int8)
        quads.reshape(channels, -1)[:, : taps.shape[1]] = taps
        words, blocks, first = [], [], 0
        order: list[Ints] = []
        for start, lanes in _depthwise_blocks(channels, [form.lanes for form in self.depthwise]):
            own = start + depthwise_order(lanes)
            words.append(np.ascontiguousarray(quads[own].swapaxes(0, 1)).reshape(-1).view(np.int32))
            blocks.append((start, 4 * lanes, lanes, first, sum(len(part) for part in order)))
            order.append(own)
            first += words[-1].size
        bias, scale = self._per_channel(np.concatenate(order))
        return Packed(np.concatenate(words), np.array(blocks, np.int64), bias, scale)

    def _per_channel(self, order: Ints) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Bias with offset and zero point taken back, and multiplier, in the given order of channels."""
        total: Ints = self.weights.sum(axis=(1, 2, 3, 4)).reshape(-1)
        offset = self.filling if self.size == 1 else 0
        # Sums wrap round at 32 bits on the way; where they end they fit.
        bias = (self.bias - offset * total)[order].astype(np.int32)
        factors = np.ones(1, np.float32) if self.multiplier is None else self.multiplier.multiplier
        scale = np.broadcast_to(factors, (self.channels,))[order]
        return np.concatenate([bias, np.zeros(SLACK, np.int32)]), np.concatenate([scale, np.zeros(SLACK, np.float32)])


def _aligned(size: int) -> NDArray[np.uint8]:
    """Memory that starts with a cache line."""
    room = np.empty(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size]


def _blocks(outputs: int, lanes: int) -> list[tuple[int, int, int]]:
    """First channel, channels and vectors of every block: as wide as fits, the last with lanes to spare."""
    blocks = []
    start, widths = 0, blocked.WIDTHS[lanes]
    while start < outputs:
        left = outputs - start
        vectors = min((w for w in widths if w * lanes >= left), default=widths[0])
        count = min(left, vectors * lanes)
        blocks.append((start, count, vectors))
        start += count
    return blocks


def _depthwise_blocks(channels: int, lanes: list[int]) -> list[tuple[int, int]]:
    """First channel and lanes of every block, the last moved back to end with the last channel."""
    blocks, start = [], 0
    while start < channels:
        left = channels - start
        own = next((n for n in lanes if 4 * n <= left), lanes[-1])
        start = min(start, channels - 4 * own)
        blocks.append((start, own))
        start += 4 * own
    return blocks


def prepared(
    place: Place, source: Format, weights: Ints, bias: Ints, fits_32_bits: bool, multiplier: FloatMultiplier | None
) -> Blocked | None:
    """The layer in blocked form; None where its numbers are too wide or the processor has no instructions for it."""
    if not fits_32_bits or not isinstance(place.layer, Convolution | Dense):
        return None
    if isinstance(place.layer, Convolution) and len(place.layer.kernel) > 3:
        return None
    own, depthwise = instructions(), weights.shape[4] == weights.shape[5] == 1 and weights.shape[0] > 1
    form = _form(own, source, weights)
    if form is None:
        return None
    quick = own.depthwise if depthwise and form == own.bytes and weights.shape[0] >= 4 * 4 else None
    if depthwise and quick is None:
        return None
    output = place.output if multiplier is not None else None
    return Blocked(form, quick, weights, bias, source, output, multiplier, place.threads)


def _form(own: Instructions, source: Format, weights: Ints) -> Form | None:
    least, most = int(weights.min(initial=0)), int(weights.max(initial=0))
    if own.bytes is not None and source.type.bits <= 8 and least >= -128 and most <= 127:
        return own.bytes
    low, high = source.type.low - source.zero_point[0], source.type.high - source.zero_point[0]
    fits = min(least, low) >= -(1 << 15) and max(most, high) < 1 << 15
    return own.pairs if fits else None
