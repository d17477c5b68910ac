"""Convolutions and fully connected layers by register-blocked tiles, where the processor has instructions for them.

Products of bytes take unsigned values: signed ones are moved up by 128, which the bias takes back along with the zero
point. Products of 16-bit pairs take values whose zero point is taken away as they are copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.formats import Array, Format
from accelsim.arithmetic.kernels import blocked
from accelsim.arithmetic.kernels.blocked import Plan
from accelsim.arithmetic.kernels.parts import Padding
from accelsim.arithmetic.kernels.tiles import DEPTHWISE_ROWS, Form, depthwise_order
from accelsim.arithmetic.operations.place import Place
from accelsim.arithmetic.operations.pooling import three
from accelsim.arithmetic.operations.processor import Instructions, instructions
from accelsim.arithmetic.operations.team import TEAM
from accelsim.arithmetic.requantise import FloatMultiplier
from accelsim.network.layers import Convolution, Dense, Layer
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

Ints = NDArray[np.int64]
#: Bytes that tiles may read behind the last value, weight, bias or multiplier.
SLACK = 256
#: Bytes of a cache line: vectors that start with one are read from one.
LINE = 64
#: Bytes of windows of 16-bit values that meet all weights while they are in a cache, and least tiles they make.
TOGETHER_BYTES, LEAST_TOGETHER = 128 << 10, 8
#: Products of the least part of a layer that is worth a thread's while, and parts for each thread at most.
LEAST_PRODUCTS, LEAST_CHANNEL_PRODUCTS, MOST_PARTS = 1 << 20, 1 << 18, 8
#: Shapes of a layer that are remembered; streaming has a few a layer.
MOST_SHAPES = 64

#: No copy to be made.
NO_ROOM = np.empty((0, 0, 0, 0), np.uint8)

_KINDS: dict[int, np.dtype[Any]] = {8: np.dtype(np.int8), 16: np.dtype(np.int16)}
_FLIPS: dict[int, type[np.unsignedinteger[Any]]] = {1: np.uint8, 2: np.uint16}


class Packed(NamedTuple):
    """Weights in words and what goes with them, as a `Plan` has them."""

    words: NDArray[np.int32]
    blocks: NDArray[np.int64]
    bias: NDArray[np.int32]
    scale: NDArray[np.float32]


@dataclass(frozen=True)
class Rooms:
    """Padded copies of one shape. New memory costs as much as copying into it, so that they are used again."""

    shape: tuple[int, ...]
    kind: np.dtype[Any]
    _kept: list[Array] = field(default_factory=list)

    def taken(self) -> Array:
        return self._kept.pop() if self._kept else self._made()

    def back(self, room: Array) -> None:
        self._kept.append(room)

    def _made(self) -> Array:
        size = prod(self.shape) * self.kind.itemsize
        memory = np.empty(size + SLACK + LINE, np.uint8)
        start = -memory.ctypes.data % LINE
        return memory[start : start + size].view(self.kind).reshape(self.shape)


@dataclass(frozen=True)
class Shape:
    """All that depends on the shape of the input: its padded copy, if it has one, the output, and what tiles do."""

    source: tuple[int, int, int, int]
    rooms: Rooms | None
    out: tuple[int, int]
    made: tuple[int, ...]
    seats: int
    #: Fields of its `Padding` and its `Plan`.
    operands: tuple[tuple[Any, ...], tuple[Any, ...]]


@dataclass
class Blocked:
    """A layer with packed weights. Its call gives bytes (`finished`) or exact 32-bit sums."""

    form: Form
    #: Forms of a layer whose every output channel has one input, from widest to narrowest; none for others.
    depthwise: tuple[Form, ...]
    weights: Ints
    bias: Ints
    source: Format
    output: Format | None
    multiplier: FloatMultiplier | None
    threads: int = 1
    #: Output channels a depthwise layer has of every input channel.
    repeats: int = 1
    _shapes: dict[tuple[Layer, tuple[int, ...]], Shape] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.multiplier is not None

    @cached_property
    def channels(self) -> int:
        return len(self.bias)

    @cached_property
    def stored(self) -> int:
        """Output channels as tiles write them: more than the layer has where it has fewer than they do."""
        return int(self.weights.shape[0] * self.weights.shape[-1])

    @property
    def size(self) -> int:
        """Bytes of a value."""
        return self.form.bits // 8

    @cached_property
    def along_rows(self) -> bool:
        """Whether the taps of a window's row lie side by side, so that they make one segment."""
        return bool(self.weights.shape[0] == 1)

    @cached_property
    def flip(self) -> int:
        """What makes unsigned values of signed ones, so many more, by exclusive or."""
        return 1 << (8 * self.source.type.dtype.itemsize - 1) if self.source.type.signed else 0

    @cached_property
    def filling(self) -> int:
        """A zero as tiles read it."""
        return self.source.zero_point[0] + self.flip if self.size == 1 else 0

    def __call__(self, layer: Layer, values: Array) -> Array:
        shape = self._shape(layer, values)
        out = np.empty(shape.out, self.kind)
        source = self.raw(values).reshape(shape.source)
        room = shape.rooms.taken() if shape.rooms else NO_ROOM
        self._driver(TEAM.board, TEAM.seats(shape.seats), source, room, out, *shape.operands)
        if shape.rooms:
            shape.rooms.back(room)
        return self.read(out, shape.made)

    def raw(self, values: Array) -> Array:
        """Values as bytes or halves without a sign."""
        own, unsigned = self._raw
        whole = np.ascontiguousarray(values, own)
        return whole if own is unsigned else whole.view(unsigned)

    @cached_property
    def _raw(self) -> tuple[np.dtype[Any], np.dtype[Any]]:
        own = self.source.type.dtype
        return own, np.dtype(f"u{own.itemsize}") if self.source.type.signed else own

    def read(self, out: Array, shape: tuple[int, ...]) -> Array:
        """What tiles wrote as a map of the layer's channels."""
        made = out if self.stored == self.channels else np.ascontiguousarray(out[:, : self.channels])
        return (made if self.type is self.kind else made.view(self.type)).reshape(shape)

    @cached_property
    def kind(self) -> np.dtype[Any]:
        """What tiles write: bytes, whatever their sign, or sums."""
        return np.dtype(np.int32 if self.multiplier is None else np.uint8)

    @cached_property
    def type(self) -> np.dtype[Any]:
        """What they are read as."""
        return self.kind if self.output is None or self.multiplier is None else self.output.type.dtype

    @cached_property
    def _driver(self) -> Callable[..., None]:
        whole = self.multiplier is None
        if self.depthwise:
            return blocked.depthwise_driver(self.depthwise, whole)
        return blocked.driver(self.form, whole)

    @cached_property
    def limits(self) -> NDArray[np.float32]:
        """Least and greatest of a requantised sum, before the zero point is added to it."""
        if self.output is None or self.multiplier is None:
            return np.zeros(2, np.float32)
        kind = self.output.type
        return np.array([kind.low - self.zero, kind.high - self.zero], np.float32)

    @cached_property
    def zero(self) -> int:
        return 0 if self.output is None else self.output.zero_point[0]

    def padding(self, before: tuple[int, int, int]) -> Padding:
        """How values are copied to a place of a larger map."""
        flip = _FLIPS[self.source.type.dtype.itemsize](self.flip)
        shift = np.int32(0 if self.size == 1 else -self.flip - self.source.zero_point[0])
        return Padding(*before, flip, shift, self.filling, self.repeats)

    def rooms(self, padded: tuple[int, ...]) -> Rooms:
        return Rooms(padded, np.dtype(np.uint8 if self.size == 1 else np.int16))

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
        inputs = self.stored if self.depthwise else values.shape[-1]
        strides = self.size * inputs * np.array([padded[1] * padded[2], padded[2], 1])
        starts = np.indices(above).reshape(3, -1).T * np.array(stride)
        points = (starts * strides).sum(axis=1).astype(np.int64)
        segments, steps = self._segments(strides, dilation)
        words = self.size * values.shape[-1] % 4 == 0 and self.size == 1
        copies = bool(any(before) or any(after) or self.flip or not words or self.depthwise)
        rows = DEPTHWISE_ROWS if self.depthwise else blocked.ROWS[self.form.lanes]
        tiles = ceil_div(len(points), rows) if len(points) >= rows else len(points)
        together = min(tiles, TOGETHER_BYTES // (rows * steps * 4 * len(segments) or 1)) if self.size == 2 else tiles
        side_by_side = not isinstance(layer, Convolution) or layer.dilation[-1:] in ((), (1,))
        packed = self.packed if side_by_side else self.packed_by_tap
        cut = self._cut(max(len(points), rows), tiles, self.size * values.size, packed)
        plan = Plan(
            points, segments, *packed, self.limits, steps, max(together, LEAST_TOGETHER), self.zero,
            int(segments.max()), cut,
        )  # fmt: skip
        rooms = self.rooms((*padded, inputs)) if copies else None
        return Shape(
            (*below, values.shape[-1]), rooms, (len(points), self.stored), (*spatial, self.channels),
            min(self.threads, prod(cut)), (tuple(self.padding(before)), tuple(plan)),
        )  # fmt: skip

    def _cut(self, points: int, tiles: int, source: int, packed: Packed) -> tuple[int, int]:
        """Parts by points and by blocks: whichever a thread reads less for, where they share out evenly."""
        threads, blocks = self.threads, len(packed.blocks)
        least = LEAST_CHANNEL_PRODUCTS if self.depthwise else LEAST_PRODUCTS
        wanted = min(points * self.weights.size // least, MOST_PARTS * threads)
        if threads == 1 or wanted < 2:
            return 1, 1
        parts = ceil_div(wanted, threads) * threads
        heavy = packed.words.nbytes > 2 * source and blocks % threads == 0
        if blocks >= 2 * threads and (heavy or tiles < 4 * threads):
            return 1, min(blocks, parts)
        return min(tiles, parts), 1

    def _segments(self, strides: Ints, dilation: tuple[int, int, int]) -> tuple[Ints, int]:
        _, depth, height, width, inputs, _ = self.weights.shape
        taps = np.indices((depth, height, width)).reshape(3, -1).T * np.array(dilation)
        offsets = (taps * strides).sum(axis=1).astype(np.int64)
        if self.depthwise:
            spare = -len(offsets) % self.form.depth
            return np.concatenate([offsets, np.zeros(spare, np.int64)]), 0
        if self.along_rows and dilation[2] == 1:
            return np.ascontiguousarray(offsets[::width]), -(-width * inputs // self.form.depth)
        return offsets, -(-inputs // self.form.depth)

    @cached_property
    def packed(self) -> Packed:
        if self.depthwise:
            return self._packed_depthwise()
        return self._packed(self.along_rows)

    @cached_property
    def packed_by_tap(self) -> Packed:
        return self.packed if self.depthwise or not self.along_rows else self._packed(False)

    def _packed(self, along_rows: bool) -> Packed:
        """Weights in words for blocks of output channels; with `along_rows` a row of taps is one segment."""
        groups, depth, height, width, inputs, outputs = self.weights.shape
        runs = (depth * height, width * inputs) if along_rows else (depth * height * width, inputs)
        steps = -(-runs[1] // self.form.depth)
        words, blocks, first = [], [], 0
        for group in range(groups):
            taps = np.zeros((runs[0], steps * self.form.depth, outputs), np.int64)
            taps[:, : runs[1]] = self.weights[group].reshape(*runs, outputs)
            for start, count, vectors in _blocks(outputs, self.form.lanes):
                room = np.zeros((runs[0], steps, vectors * self.form.lanes, self.form.depth), _KINDS[self.form.bits])
                part = taps[..., start : start + count].reshape(runs[0], steps, self.form.depth, count)
                room[:, :, :count] = part.swapaxes(2, 3)
                words.append(room.reshape(-1).view(np.int32))
                blocks.append((group * outputs + start, count, vectors, first, group * inputs * self.size))
                first += words[-1].size
        bias, scale = self.per_channel(np.arange(self.stored))
        return Packed(np.concatenate(words), np.array(blocks, np.int64), bias, scale)

    def _packed_depthwise(self) -> Packed:
        taps, depth = self.weights.reshape(self.stored, -1), self.form.depth
        runs = np.zeros((self.stored, ceil_div(taps.shape[1], depth), depth), _KINDS[self.form.bits])
        runs.reshape(self.stored, -1)[:, : taps.shape[1]] = taps
        words, blocks, first = [], [], 0
        order: list[Ints] = []
        for start, form in _depthwise_blocks(self.stored, self.depthwise):
            own = start + depthwise_order(form)
            words.append(np.ascontiguousarray(runs[own].swapaxes(0, 1)).reshape(-1).view(np.int32))
            blocks.append((start, len(own), form.lanes, first, sum(len(part) for part in order)))
            order.append(own)
            first += words[-1].size
        bias, scale = self.per_channel(np.concatenate(order))
        return Packed(np.concatenate(words), np.array(blocks, np.int64), bias, scale)

    def per_channel(self, order: Ints) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Bias with offset and zero point taken back, and multiplier, in the given order of channels."""
        total: Ints = self.weights.sum(axis=(1, 2, 3, 4)).reshape(-1)
        offset = self.filling if self.size == 1 else 0
        # Sums wrap round at 32 bits on the way; where they end they fit.
        own = np.pad(self.bias, (0, self.stored - self.channels))
        bias = (own - offset * total)[order].astype(np.int32)
        factors = np.ones(1, np.float32) if self.multiplier is None else self.multiplier.multiplier
        scale = np.pad(np.broadcast_to(factors, (self.channels,)), (0, self.stored - self.channels))[order]
        return np.concatenate([bias, np.zeros(SLACK, np.int32)]), np.concatenate([scale, np.zeros(SLACK, np.float32)])


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


def _depthwise_blocks(channels: int, forms: tuple[Form, ...]) -> list[tuple[int, Form]]:
    """First channel and form of every block, the last moved back to end with the last channel."""
    blocks, start = [], 0
    while start < channels:
        own = next((form for form in forms if form.depth * form.lanes <= channels - start), forms[-1])
        start = min(start, channels - own.depth * own.lanes)
        blocks.append((start, own))
        start += own.depth * own.lanes
    return blocks


def prepared(
    place: Place, source: Format, weights: Ints, bias: Ints, fits_32_bits: bool, multiplier: FloatMultiplier | None
) -> Blocked | None:
    """The layer in blocked form; None where its numbers are too wide or the processor has no instructions for it."""
    if not fits_32_bits or not isinstance(place.layer, Convolution | Dense):
        return None
    if isinstance(place.layer, Convolution) and len(place.layer.kernel) > 3:
        return None
    own = instructions()
    form = _form(own, source, weights)
    if form is None:
        return None
    output = place.output if multiplier is not None else None
    groups, inputs, repeats = weights.shape[0], *weights.shape[4:]
    if groups == 1 or inputs > 1:
        return Blocked(form, (), weights, bias, source, output, multiplier, place.threads)
    forms = own.byte_channels if form == own.bytes else own.pair_channels
    if not forms:
        return None
    taps = _by_output(weights, forms[-1].depth * forms[-1].lanes)
    return Blocked(forms[0], forms, taps, bias, source, output, multiplier, place.threads, repeats)


def _by_output(weights: Ints, least: int) -> Ints:
    """Weights (groups, *taps, 1, outputs) with a group for every output, `least` of them or more."""
    single: Ints = np.moveaxis(weights, -1, 1).reshape(-1, *weights.shape[1:-1], 1)
    spare = max(0, least - len(single))
    return np.pad(single, ((0, spare), *((0, 0),) * (single.ndim - 1)))


def _form(own: Instructions, source: Format, weights: Ints) -> Form | None:
    least, most = int(weights.min(initial=0)), int(weights.max(initial=0))
    if own.bytes is not None and source.type.bits <= 8 and least >= -128 and most <= 127:
        return own.bytes
    low, high = source.type.low - source.zero_point[0], source.type.high - source.zero_point[0]
    fits = min(least, low) >= -(1 << 15) and max(most, high) < 1 << 15
    return own.pairs if fits else None
