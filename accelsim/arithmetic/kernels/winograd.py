"""3x3 convolutions with 16 products where sliding windows take 36, exactly.

Four outputs, a square of 2x2, are made from 4x4 inputs: both these and the weights are transformed, multiplied value by
value and summed over the channels, and the sums transformed back (F(2x2, 3x3) of Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks", 2016). Weights are transformed by twice the matrix of the paper, so that everything is
an integer and the result four times too large; with 32 bits that wrap round, it is exact below 2^29.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from accelsim.arithmetic.kernels.parts import Padding, in_parts, pad, pad_on, pads_of, served
from accelsim.arithmetic.kernels.team import close_work, join_in, lent, open_work, put_up, taken
from accelsim.arithmetic.kernels.tiles import (
    ADDRESS,
    BYTE,
    WORD,
    Form,
    kept,
    kept_in_cache,
    load,
    pointer,
    rounded_words,
    splat,
    tile_of,
)

Values = NDArray[Any]
Matrix = tuple[tuple[int, ...], ...]

#: Of inputs, twice that of weights, and of sums; each is applied from the left, and transposed from the right.
INPUTS: Matrix = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
WEIGHTS: Matrix = ((2, 0, 0), (1, 1, 1), (1, -1, 1), (0, 0, 2))
SUMS: Matrix = ((1, 1, 1, 0), (0, 1, -1, -1))
#: Products of a square: as many as it has inputs.
PRODUCTS = 16
#: Bytes of a cache line.
LINE = 64
#: Squares that are multiplied together, and vectors of output channels.
ROWS, VECTORS = 4, 2


class Weights(NamedTuple):
    """Transformed weights in words (block, product, step, lane); bias and multiplier an output channel, with slack."""

    words: NDArray[np.int32]
    bias: NDArray[np.int32]
    scale: NDArray[np.float32]


class Scratch(NamedTuple):
    """Transformed inputs (threads, product, values) and sums (threads, product, sums) of squares taken together."""

    inputs: NDArray[np.int16]
    sums: NDArray[np.int32]


def scratch(inputs: int, together: int, lanes: int, threads: int) -> Scratch:
    """Memory to work in. Planes a power of two apart would meet in the same few lines of the cache."""
    values, sums = together * (inputs + inputs % 2) + LINE // 2, together * VECTORS * lanes + LINE // 4
    return Scratch(np.zeros((threads, PRODUCTS, values), np.int16), np.zeros((threads, PRODUCTS, sums), np.int32))


class Squares(NamedTuple):
    """A map (`height`, `width`) of outputs in squares, `columns` a row, of which `together` are in the cache.

    `cut` is parts by squares and by blocks of output channels.
    """

    height: int
    width: int
    columns: int
    number: int
    together: int
    cut: tuple[int, int]


def transformed(weights: Values) -> Values:
    """Four times the transform (4, 4, inputs, outputs) of weights (3, 3, inputs, outputs)."""
    matrix = np.array(WEIGHTS)
    made: Values = np.einsum("ia,jb,abkn->ijkn", matrix, matrix, weights)
    return made


@kept
@njit(cache=True, nogil=True)
def portable_transform(matrix: Values, grid: Values, out: Values) -> None:
    """What the transforms compute: `matrix` times `grid` (n, n, channels) times `matrix` transposed."""
    for row in range(matrix.shape[0]):
        for column in range(matrix.shape[0]):
            for channel in range(grid.shape[2]):
                total = np.int64(0)
                for y in range(matrix.shape[1]):
                    for x in range(matrix.shape[1]):
                        total += matrix[row, y] * matrix[column, x] * np.int64(grid[y, x, channel])
                out[row, column, channel] = total


def _combined(builder: Any, matrix: Matrix, vectors: list[Any]) -> list[Any]:
    """The matrix, of ones, minus ones and zeros, times a column of vectors."""
    made = []
    for line in matrix:
        total = None
        for sign, vector in sorted(zip(line, vectors, strict=True), key=lambda pair: -pair[0]):
            if sign and total is None:
                assert sign > 0
                total = vector
            elif sign:
                total = builder.add(total, vector) if sign > 0 else builder.sub(total, vector)
        made.append(total)
    return made


def _on_both_sides(builder: Any, matrix: Matrix, columns: list[list[Any]]) -> list[list[Any]]:
    """Rows of matrix * values * transposed matrix, from the columns of the values."""
    halves = [_combined(builder, matrix, column) for column in columns]
    return [_combined(builder, matrix, [half[row] for half in halves]) for row in range(len(matrix))]


@kept
@intrinsic
def fetch(typing_context: Any, address: Any) -> Any:
    """Asks for a line of memory before it is needed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        reading, near, data = (ir.Constant(number, value) for value in (0, 2, 1))
        builder.call(function, [builder.inttoptr(arguments[0], place), reading, near, data])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@cache
def spreading(lanes: int) -> Any:
    """Writes the transform of 4x4 inputs, for 2 * lanes channels of 16 bits, to as many planes."""

    @intrinsic
    def spread(typing_context: Any, source: Any, line: Any, pixel: Any, out: Any, plane: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at, down, along, to, apart = arguments
            kind = ir.VectorType(ir.IntType(16), 2 * lanes)
            columns = []
            for x in range(4):
                top = builder.add(at, builder.mul(along, ADDRESS(x)))
                column = [builder.add(top, builder.mul(down, ADDRESS(y))) for y in range(4)]
                columns.append([load(builder, place, kind) for place in column])
            for row, line_made in enumerate(_on_both_sides(builder, INPUTS, columns)):
                for column_number, value in enumerate(line_made):
                    place = builder.add(to, builder.mul(apart, ADDRESS(4 * row + column_number)))
                    builder.store(value, pointer(builder, place, kind), align=1)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 5), generate

    return kept_in_cache(spread, "spread", lanes)


@cache
def gathering(lanes: int, whole: bool) -> Any:
    """Writes the four outputs of a square, `VECTORS` * lanes channels each, as sums or as bytes."""

    @intrinsic
    def gather(
        typing_context: Any, sums: Any, plane: Any, first: Any, second: Any, third: Any, fourth: Any, bias: Any,
        scale: Any, least: Any, most: Any, zero: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at, apart, *places, bias_at, scale_at = arguments[:8]
            limits = [splat(builder, value, lanes) for value in arguments[8:]]
            words, reals = ir.VectorType(WORD, lanes), ir.VectorType(ir.FloatType(), lanes)
            two = splat(builder, ir.Constant(WORD, 2), lanes)
            for vector in range(VECTORS):
                along = ADDRESS(4 * lanes * vector)
                start = builder.add(at, along)
                planes = [builder.add(start, builder.mul(apart, ADDRESS(product))) for product in range(PRODUCTS)]
                columns = [[load(builder, place, words) for place in planes[x::4]] for x in range(4)]
                made = [value for line in _on_both_sides(builder, SUMS, columns) for value in line]
                own = load(builder, builder.add(bias_at, along), words)
                factor = load(builder, builder.add(scale_at, along), reals)
                for place, value in zip(places, made, strict=True):
                    total = builder.add(builder.ashr(value, two), own)
                    size, kind = 4, words
                    if not whole:
                        size, kind = 1, ir.VectorType(BYTE, lanes)
                        total = builder.trunc(rounded_words(builder, lanes, total, factor, *limits), kind)
                    here = builder.add(place, ADDRESS(size * lanes * vector))
                    builder.store(total, pointer(builder, here, kind), align=1)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8, types.float32, types.float32, types.int32), generate

    return kept_in_cache(gather, "gather", lanes, whole)


@kept
@njit(cache=True, nogil=True)
def inside(square: Values, out: Values, squares: Squares, top: int, left: int, start: int) -> None:
    """Copies what of a square (4, lanes) lies in `out` (points, channels), from the channel `start`."""
    for corner in range(4):
        y, x = top + corner // 2, left + corner % 2
        if y < squares.height and x < squares.width:
            for n in range(min(square.shape[1], out.shape[1] - start)):
                out[y * squares.width + x, start + n] = square[corner, n]


#: Runs a layer: (board, seats, source, room, scratch, out, padding, squares, weights, limits and zero point).
Driver = Callable[..., None]


@cache
def driver(form: Form, whole: bool) -> Driver:
    """What writes sums (`whole`) or bytes, compiled when first used."""
    spread, gather, tile = spreading(form.lanes), gathering(form.lanes, whole), tile_of(form, ROWS, VECTORS, True)
    lanes, size = VECTORS * form.lanes, 4 if whole else 1
    step = 2 * form.lanes

    @njit(cache=True, nogil=True)
    def run(
        room: Any, inputs: Any, sums: Any, squares: Any, weights: Any, out: Any, least: Any, most: Any, zero: Any,
        first: Any, last: Any, first_block: Any, last_block: Any,
    ) -> None:  # fmt: skip
        channels, outputs, steps = room.shape[3], out.shape[1], weights.words.shape[2]
        pixel, line = 2 * channels, 2 * channels * room.shape[2]
        # Arrays whose addresses are taken are named in the loops: they are gone after their last mention.
        spare = np.empty((4, lanes), out.dtype)
        row, panel, sums_row = 4 * steps, 4 * steps * lanes, 4 * lanes
        points, nothing = row * np.arange(ROWS), np.zeros(2 * lanes, np.int32)
        plane, sums_plane = inputs.strides[0], sums.strides[0]
        # Of the next product's weights, a part is asked for with every tile, so that they are near when it begins.
        part = (panel * ROWS // max(min(squares.together, last - first), ROWS) + LINE) // LINE * LINE
        for begin in range(first, last, squares.together):
            count = min(squares.together, last - begin)
            y, x = begin // squares.columns, begin % squares.columns
            for k in range(count):
                at, to = room.ctypes.data + 2 * y * line + 2 * x * pixel, inputs.ctypes.data + k * row
                for channel in range(0, channels, step):
                    own = 2 * min(channel, channels - step)
                    spread(at + own, line, pixel, to + own, plane)
                x += 1
                if x == squares.columns:
                    y, x = y + 1, 0
            for block in range(first_block, last_block):
                start = block * lanes
                for product in range(PRODUCTS):
                    taps = weights.words.ctypes.data + (block * PRODUCTS + product) * panel
                    at, to = inputs.ctypes.data + product * plane, sums.ctypes.data + product * sums_plane
                    for k in range(0, count, ROWS):
                        ahead = taps + panel + k // ROWS * part
                        for address in range(ahead, ahead + part, LINE):
                            fetch(address)
                        tile(
                            at + k * row, points.ctypes.data, nothing.ctypes.data, 1, steps, taps, nothing.ctypes.data,
                            to + k * sums_row, sums_row, nothing.ctypes.data, least, most, zero,
                        )  # fmt: skip
                bias, scale = weights.bias.ctypes.data + 4 * start, weights.scale.ctypes.data + 4 * start
                y, x = 2 * (begin // squares.columns), 2 * (begin % squares.columns)
                for k in range(count):
                    at = sums.ctypes.data + k * sums_row
                    if y + 1 < squares.height and x + 1 < squares.width and start + lanes <= outputs:
                        to = out.ctypes.data + ((y * squares.width + x) * outputs + start) * size
                        right, down = outputs * size, squares.width * outputs * size
                        gather(
                            at, sums_plane, to, to + right, to + down, to + down + right, bias, scale, least, most, zero
                        )
                    else:
                        to, right = spare.ctypes.data, lanes * size
                        gather(
                            at, sums_plane, to, to + right, to + 2 * right, to + 3 * right, bias, scale, least, most,
                            zero,
                        )  # fmt: skip
                        inside(spare, out, squares, y, x, start)
                    x += 2
                    if x >= squares.width:
                        y, x = y + 2, 0

    key = "winograd", form.instruction, whole
    kept_in_cache(run, *key)

    @njit(cache=True, nogil=True, error_model="numpy")
    def do(source: Any, room: Any, padding: Any, operands: Any, seat: Any, x: Any, y: Any, made: Any) -> Any:
        inputs, sums, squares, weights, out, limits = operands
        (by_points, by_blocks), blocks = squares.cut, weights.words.shape[0]
        first, last = x * squares.number // by_points, (x + 1) * squares.number // by_points
        if by_blocks == 1 and first < last:
            begin, end = first // squares.columns, (last - 1) // squares.columns
            made = pad_on(source, room, padding, 2 * begin, 2 * end + 4, made)
        run(
            room, inputs[seat], sums[seat], squares, weights, out, *limits, first, last,
            y * blocks // by_blocks, (y + 1) * blocks // by_blocks,
        )  # fmt: skip
        return made

    work = in_parts(do, *key)

    @njit(cache=True, nogil=True)
    def alone(
        source: Any, room: Any, scratch: Any, out: Any, padding: Any, squares: Any, weights: Any, limits: Any
    ) -> None:
        pad(source, room, padding, 0, room.shape[0] * room.shape[1])
        inputs, sums, blocks = scratch.inputs[0], scratch.sums[0], weights.words.shape[0]
        run(room, inputs, sums, squares, weights, out, *limits, 0, squares.number, 0, blocks)

    @njit(cache=True, nogil=True)
    def together(
        words: Any, seats: Any, source: Any, room: Any, scratch: Any, out: Any, padding: Any, squares: Any,
        weights: Any, limits: Any,
    ) -> bool:  # fmt: skip
        own = Weights(lent(weights.words), lent(weights.bias), lent(weights.scale))
        operands = (lent(scratch.inputs), lent(scratch.sums), squares, own, lent(out), limits)
        pads = pads_of(room, seats, squares.cut)
        told = (lent(source), lent(room), padding, pads, squares.cut, operands)
        board = taken(words)
        address = board.ctypes.data
        put_up(address, work, told)
        open_work(address, seats, (pads, squares.cut[0] * squares.cut[1]))
        join_in(address, 0)
        well: bool = close_work(board)
        return well

    kept_in_cache(alone, "alone", *key)
    kept_in_cache(together, "together", *key)

    def drive(
        words: Values, seats: int, source: Values, room: Values, scratch: Scratch, out: Values, padding: Padding,
        squares: Squares, weights: Weights, limits: tuple[Any, Any, Any],
    ) -> None:  # fmt: skip
        if seats > 1:
            served(together(words, seats, source, room, scratch, out, padding, squares, weights, limits))
        else:
            alone(source, room, scratch, out, padding, squares, weights, limits)

    return drive
