"""Layers with fewer products than windows have, exactly: inputs and weights are transformed, and sums transformed back.

A group of outputs is made from a grid of 4x4 vectors of inputs by one matrix from the left and transposed from the
right, value by value products with weights so transformed, sums over the channels, and another matrix on both sides.
Two tables say which. `WINOGRAD` makes 2x2 outputs of a 3x3 convolution with 16 products in place of 36 (Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", 2016). `STRASSEN` makes four points of a matrix product with 49 in
place of 64, four points by four parts of the channels split in two twice (Strassen, "Gaussian Elimination is not
Optimal", 1969, in Winograd's form). All is whole, and sums that wrap round at 32 bits on the way end where they fit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from accelsim.arithmetic.kernels.blocked import pad
from accelsim.arithmetic.kernels.tiles import (
    ADDRESS,
    BYTE,
    WORD,
    Form,
    kept_in_cache,
    load,
    pointer,
    rounded_words,
    splat,
    tile_of,
)

Values = NDArray[Any]
Matrix = tuple[tuple[int, ...], ...]


class Scheme(NamedTuple):
    """Matrices of inputs, weights and sums, of which the last gives 2^`shift` times the outputs."""

    name: str
    inputs: Matrix
    weights: Matrix
    sums: Matrix
    shift: int

    @property
    def products(self) -> int:
        return len(self.inputs) ** 2


#: Weights are transformed by twice the matrix of the paper.
WINOGRAD = Scheme(
    "winograd",
    ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    ((2, 0, 0), (1, 1, 1), (1, -1, 1), (0, 0, 2)),
    ((1, 1, 1, 0), (0, 1, -1, -1)),
    2,
)
#: Columns are (first or second half of the points, of the inputs), (of the inputs, of the outputs) and products; rows
#: of the last (of the points, of the outputs).
STRASSEN = Scheme(
    "strassen",
    ((1, 0, 0, 0), (0, 1, 0, 0), (1, 1, -1, -1), (0, 0, 0, 1), (0, 0, 1, 1), (-1, 0, 1, 1), (1, 0, -1, 0)),
    ((1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, -1, -1, 1), (-1, 1, 0, 0), (1, -1, 0, 1), (0, -1, 0, 1)),
    ((1, 1, 0, 0, 0, 0, 0), (1, 0, 1, 0, 1, 1, 0), (1, 0, 0, -1, 0, 1, 1), (1, 0, 0, 0, 1, 1, 1)),
    0,
)
#: Groups that are multiplied together, and vectors of output channels.
ROWS, VECTORS = 4, 2
#: Bytes of a cache line.
LINE = 64


class Weights(NamedTuple):
    """Transformed weights in words (block, product, step, lane); bias and multiplier an output channel, with slack."""

    words: NDArray[np.int32]
    bias: NDArray[np.int32]
    scale: NDArray[np.float32]


class Groups(NamedTuple):
    """Where groups of outputs and their inputs lie.

    `starts` are the bytes at which a group's inputs begin, `points` its first outputs; `inputs` (2, 4) the bytes and
    `outputs` (2, m) the points that rows and columns of its grid lie farther, `channels` (2, m) their output channels.
    `height` and `width` bound the points; `inner` inputs are in a vector of the grid, `together` groups in the cache.
    """

    starts: NDArray[np.int64]
    points: NDArray[np.int64]
    inputs: NDArray[np.int64]
    outputs: NDArray[np.int64]
    channels: NDArray[np.int64]
    height: int
    width: int
    inner: int
    together: int


@njit(cache=True, nogil=True)
def portable_transform(left: Values, grid: Values, out: Values) -> None:
    """What transforms compute: `left` times `grid` (n, n, channels) times `left` transposed, in the type of `out`."""
    for row in range(left.shape[0]):
        for column in range(left.shape[0]):
            for channel in range(grid.shape[2]):
                total = np.int64(0)
                for y in range(left.shape[1]):
                    for x in range(left.shape[1]):
                        total += left[row, y] * left[column, x] * np.int64(grid[y, x, channel])
                out[row, column, channel] = total


def _combined(builder: Any, matrix: Matrix, vectors: list[Any]) -> list[Any]:
    """The matrix, of ones, minus ones and zeros, times a column of vectors."""
    made = []
    for line in matrix:
        added = [vector for sign, vector in zip(line, vectors, strict=True) if sign > 0]
        taken = [vector for sign, vector in zip(line, vectors, strict=True) if sign < 0]
        total = added[0]
        for vector in added[1:]:
            total = builder.add(total, vector)
        for vector in taken:
            total = builder.sub(total, vector)
        made.append(total)
    return made


def _on_both_sides(builder: Any, matrix: Matrix, columns: list[list[Any]]) -> list[list[Any]]:
    """Rows of matrix * values * transposed matrix, from the columns of the values."""
    halves = [_combined(builder, matrix, column) for column in columns]
    return [_combined(builder, matrix, [half[row] for half in halves]) for row in range(len(matrix))]


def _offsets(builder: Any, table: Any, count: int) -> list[list[Any]]:
    """Those of rows and of columns, from a table (2, count)."""
    places = [[builder.add(table, ADDRESS(8 * (axis * count + k))) for k in range(count)] for axis in range(2)]
    return [[load(builder, place, ADDRESS) for place in line] for line in places]


@intrinsic
def fetch(typing_context: Any, address: Any) -> Any:
    """Asks for a line of memory before it is needed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, number = BYTE.as_pointer(), WORD
        kind = ir.FunctionType(ir.VoidType(), [place, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        reading, near, data = (ir.Constant(number, value) for value in (0, 2, 1))
        builder.call(function, [builder.inttoptr(arguments[0], place), reading, near, data])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@cache
def spreading(scheme: Scheme, lanes: int) -> Any:
    """Writes the transform of a grid of inputs, 2 * lanes channels of 16 bits, to as many planes as products."""

    @intrinsic
    def spread(typing_context: Any, source: Any, offsets: Any, out: Any, plane: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at, table, to, apart = arguments
            kind = ir.VectorType(ir.IntType(16), 2 * lanes)
            down, along = _offsets(builder, table, 4)
            tops = [builder.add(at, offset) for offset in down]
            columns = [[load(builder, builder.add(top, offset), kind) for top in tops] for offset in along]
            made = [value for line in _on_both_sides(builder, scheme.inputs, columns) for value in line]
            for product, value in enumerate(made):
                place = builder.add(to, builder.mul(apart, ADDRESS(product)))
                builder.store(value, pointer(builder, place, kind), align=1)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 4), generate

    return kept_in_cache(spread, "spread", scheme.name, lanes)


@cache
def gathering(scheme: Scheme, lanes: int, whole: bool) -> Any:
    """Writes the outputs of a group, `VECTORS` * lanes channels at every place of its grid, as sums or as bytes.

    `offsets` are bytes of the output, `channels` numbers of output channels.
    """

    @intrinsic
    def gather(
        typing_context: Any, sums: Any, plane: Any, out: Any, offsets: Any, channels: Any, bias: Any, scale: Any,
        least: Any, most: Any, zero: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at, apart, to, table, numbers, bias_at, scale_at = arguments[:7]
            limits = [splat(builder, value, lanes) for value in arguments[7:]]
            side, products = len(scheme.sums), len(scheme.inputs)
            (down, along), (down_channels, along_channels) = (_offsets(builder, t, side) for t in (table, numbers))
            for vector in range(VECTORS):
                start = builder.add(at, ADDRESS(4 * lanes * vector))
                columns = [[_sums(builder, lanes, start, apart, y * products + x) for y in range(products)]
                           for x in range(products)]  # fmt: skip
                for y, line in enumerate(_on_both_sides(builder, scheme.sums, columns)):
                    for x, value in enumerate(line):
                        channel = builder.add(builder.add(down_channels[y], along_channels[x]), ADDRESS(lanes * vector))
                        place = builder.add(to, builder.add(down[y], along[x]))
                        own = [builder.add(base, builder.mul(channel, ADDRESS(4))) for base in (bias_at, scale_at)]
                        total = builder.ashr(value, splat(builder, ir.Constant(WORD, scheme.shift), lanes))
                        _finish(builder, lanes, whole, total, own, limits, builder.add(place, ADDRESS(
                            (4 if whole else 1) * lanes * vector)))  # fmt: skip
            return context.get_dummy_value()

        return types.void(*[types.intp] * 7, types.float32, types.float32, types.int32), generate

    return kept_in_cache(gather, "gather", scheme.name, lanes, whole)


def _sums(builder: Any, lanes: int, start: Any, apart: Any, product: int) -> Any:
    return load(builder, builder.add(start, builder.mul(apart, ADDRESS(product))), ir.VectorType(WORD, lanes))


def _finish(
    builder: Any, lanes: int, whole: bool, total: Any, factors: list[Any], limits: list[Any], place: Any
) -> None:
    """Adds the bias and writes the sum, or the byte it becomes."""
    words, reals = ir.VectorType(WORD, lanes), ir.VectorType(ir.FloatType(), lanes)
    total, kind = builder.add(total, load(builder, factors[0], words)), words
    if not whole:
        kind = ir.VectorType(BYTE, lanes)
        total = rounded_words(builder, lanes, total, load(builder, factors[1], reals), *limits)
        total = builder.trunc(total, kind)
    builder.store(total, pointer(builder, place, kind), align=1)


@njit(cache=True, nogil=True)
def inside(spare: Values, out: Values, groups: Any, point: int, start: int) -> None:
    """Copies what of a group's outputs `spare` (points, lanes) lies within the bounds, from the channel `start`."""
    y, x = point // groups.width, point % groups.width
    side = groups.outputs.shape[1]
    for row in range(side):
        for column in range(side):
            if y + row < groups.height and x + column < groups.width:
                for n in range(min(spare.shape[1], out.shape[1] - start)):
                    out[point + row * groups.width + column, start + n] = spare[row * side + column, n]


#: Runs a layer: (padding, room, groups, weights, out, least, most, zero, threads).
Driver = Callable[..., None]


@cache
def driver(scheme: Scheme, form: Form, whole: bool) -> Driver:
    """What writes sums (`whole`) or bytes, compiled when first used."""
    spread, gather = spreading(scheme, form.lanes), gathering(scheme, form.lanes, whole)
    tile = tile_of(form, ROWS, VECTORS, True)
    products, side, lanes, size = scheme.products, len(scheme.sums), VECTORS * form.lanes, 4 if whole else 1
    step = 2 * form.lanes

    @njit(cache=True, nogil=True)
    def run(
        room: Any, groups: Any, weights: Any, out: Any, least: Any, most: Any, zero: Any, first: Any, last: Any,
        first_block: Any, last_block: Any,
    ) -> None:  # fmt: skip
        channels, steps = out.shape[1], weights.words.shape[2]
        # Arrays whose addresses are taken are named in the loops: they are gone after their last mention.
        # Planes a power of two apart would meet in the same few lines of the cache.
        inputs = np.empty((products, groups.together * 2 * steps + LINE // 2), np.int16)
        sums = np.empty((products, groups.together * lanes + LINE // 4), np.int32)
        spare = np.empty((side * side, lanes), out.dtype)
        row, panel, sums_row = 4 * steps, 4 * steps * lanes, 4 * lanes
        lines, nothing = row * np.arange(ROWS), np.zeros(2 * lanes, np.int32)
        plane, sums_plane = inputs.strides[0], sums.strides[0]
        offsets, apart = groups.inputs.ctypes.data, groups.channels.ctypes.data
        places = size * (groups.outputs * channels + groups.channels)
        spare_places = size * lanes * np.array([[side * k for k in range(side)], [k for k in range(side)]])
        # Of the next product's weights, a part is asked for with every tile, so that they are near when it begins.
        part = (panel * ROWS // max(min(groups.together, last - first), ROWS) + LINE) // LINE * LINE
        for begin in range(first, last, groups.together):
            count = min(groups.together, last - begin)
            for k in range(count):
                at, to = room.ctypes.data + groups.starts[begin + k], inputs.ctypes.data + k * row
                for channel in range(0, groups.inner, step):
                    own = 2 * min(channel, groups.inner - step)
                    spread(at + own, offsets, to + own, plane)
            for block in range(first_block, last_block):
                start = block * lanes
                for product in range(products):
                    taps = weights.words.ctypes.data + (block * products + product) * panel
                    at, to = inputs.ctypes.data + product * plane, sums.ctypes.data + product * sums_plane
                    for k in range(0, count, ROWS):
                        ahead = taps + panel + k // ROWS * part
                        for address in range(ahead, ahead + part, LINE):
                            fetch(address)
                        tile(
                            at + k * row, lines.ctypes.data, nothing.ctypes.data, 1, steps, taps, nothing.ctypes.data,
                            to + k * sums_row, sums_row, nothing.ctypes.data, least, most, zero,
                        )  # fmt: skip
                bias, scale = weights.bias.ctypes.data + 4 * start, weights.scale.ctypes.data + 4 * start
                for k in range(count):
                    at, point = sums.ctypes.data + k * sums_row, groups.points[begin + k]
                    y, x = point // groups.width, point % groups.width
                    if y + side <= groups.height and x + side <= groups.width and start + lanes <= channels:
                        to = out.ctypes.data + (point * channels + start) * size
                        gather(at, sums_plane, to, places.ctypes.data, apart, bias, scale, least, most, zero)
                    else:
                        gather(
                            at, sums_plane, spare.ctypes.data, spare_places.ctypes.data, apart, bias, scale, least,
                            most, zero,
                        )  # fmt: skip
                        inside(spare, out, groups, point, start)

    kept_in_cache(run, "bilinear", scheme.name, form.instruction, whole)

    @njit(cache=True, nogil=True)
    def alone(
        padding: Any, room: Any, groups: Any, weights: Any, out: Any, least: Any, most: Any, zero: Any
    ) -> None:
        pad(padding, 0, room.shape[0] * room.shape[1])
        run(room, groups, weights, out, least, most, zero, 0, groups.starts.size, 0, weights.words.shape[0])

    @njit(cache=True, parallel=True, nogil=True)
    def parallel(
        padding: Any, room: Any, groups: Any, weights: Any, out: Any, least: Any, most: Any, zero: Any, threads: Any
    ) -> None:
        lines, blocks, count = room.shape[0] * room.shape[1], weights.words.shape[0], groups.starts.size
        for part in prange(threads):
            pad(padding, part * lines // threads, (part + 1) * lines // threads)
        by_blocks = count < groups.together * threads and blocks >= threads
        for part in prange(threads):
            if by_blocks:
                first, last = part * blocks // threads, (part + 1) * blocks // threads
                run(room, groups, weights, out, least, most, zero, 0, count, first, last)
            else:
                first, last = part * count // threads, (part + 1) * count // threads
                run(room, groups, weights, out, least, most, zero, first, last, 0, blocks)

    def drive(
        padding: Any, room: Values, groups: Groups, weights: Weights, out: Values, least: Any, most: Any, zero: Any,
        threads: int,
    ) -> None:  # fmt: skip
        if threads > 1:
            parallel(padding, room, groups, weights, out, least, most, zero, threads)
        else:
            alone(padding, room, groups, weights, out, least, most, zero)

    return drive
