"""Whole layers out of tiles: every block of output channels, and in it every run of output points.

A layer is cut into rectangles, some tiles of points by some blocks of output channels, which the threads of a team
take; before, they take lines of the padded copy. Points are counted from the last when fewer than a tile is left, so
that some are computed twice and none apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelsim.arithmetic.kernels.parts import Padding, in_parts, pad, pad_on, pads_of, served
from accelsim.arithmetic.kernels.team import close_work, join_in, lent, open_work, put_up, taken
from accelsim.arithmetic.kernels.tiles import DEPTHWISE_ROWS, Form, depthwise_tile_of, kept_in_cache, tile_of

Values = NDArray[Any]

#: Points of a tile, by the lanes of a vector, as many as there are registers for; where a layer has fewer, of one.
ROWS = {16: 7, 8: 6}
#: Vectors of output channels in a tile, by the lanes of a vector.
WIDTHS = {16: (4, 2, 1), 8: (2, 1, 1)}


class Plan(NamedTuple):
    """What a layer is told that stays from call to call.

    `points` and `segments` are byte offsets of every output point's window and of a window's segments of `steps` words.
    `together` tiles of points meet every block before the next ones do; depthwise layers go tile by tile.

    `words` are weights, block after block: `blocks` holds (first channel, channels, vectors, first word, byte offset of
    its group's inputs); for depthwise layers (first channel, channels, lanes, first word, first bias). `limits` are
    least and most of a requantised sum, `zero` its zero point; `cut` is parts by points and by blocks.
    """

    points: NDArray[np.int64]
    segments: NDArray[np.int64]
    words: NDArray[np.int32]
    blocks: NDArray[np.int64]
    bias: NDArray[np.int32]
    scale: NDArray[np.float32]
    limits: NDArray[np.float32]
    steps: int
    together: int
    zero: int
    reach: int
    cut: tuple[int, int]


#: Runs a layer: (board, seats, source, room, out, padding, plan), the last two plain tuples.
Driver = Callable[..., None]


@cache
def driver(form: Form, whole: bool) -> Driver:
    """What writes sums (`whole`) or bytes with one instruction, compiled when first used."""
    wide, middle, narrow = (tile_of(form, ROWS[form.lanes], width, whole) for width in WIDTHS[form.lanes])
    wide_one, middle_one, narrow_one = (tile_of(form, 1, width, whole) for width in WIDTHS[form.lanes])
    four, two, _ = WIDTHS[form.lanes]
    lanes, rows_of, size = form.lanes, ROWS[form.lanes], 4 if whole else 1

    @njit(cache=True, nogil=True, error_model="numpy")
    def run(
        source: Any, plan: Any, out: Any, spare: Any, first: Any, last: Any, first_block: Any, last_block: Any
    ) -> None:
        blocks, (points, channels) = plan.blocks, out.shape
        rows = rows_of if points >= rows_of else 1
        least, most, zero = plan.limits[0], plan.limits[1], np.int32(plan.zero)
        parts, many, steps = plan.segments.ctypes.data, plan.segments.size, plan.steps
        for begin in range(first, last, plan.together):
            end = min(begin + plan.together, last)
            for block in range(first_block, last_block):
                # One by one: a row of an array is an object of its own, which is counted.
                start, count, vectors = blocks[block, 0], blocks[block, 1], blocks[block, 2]
                word, group = blocks[block, 3], blocks[block, 4]
                direct = count == vectors * lanes
                stride = (channels if direct else four * lanes) * size
                at, weights = source + group, plan.words.ctypes.data + 4 * word
                bias, scale = plan.bias.ctypes.data + 4 * start, plan.scale.ctypes.data + 4 * start
                for tile in range(begin, end):
                    point = min(tile * rows, points - rows)
                    to = out.ctypes.data + (point * channels + start) * size if direct else spare.ctypes.data
                    where = plan.points.ctypes.data + 8 * point
                    if rows == rows_of:
                        if vectors == four:
                            wide(at, where, parts, many, steps, weights, bias, to, stride, scale, least, most, zero)
                        elif vectors == two:
                            middle(at, where, parts, many, steps, weights, bias, to, stride, scale, least, most, zero)
                        else:
                            narrow(at, where, parts, many, steps, weights, bias, to, stride, scale, least, most, zero)
                    elif vectors == four:
                        wide_one(at, where, parts, many, steps, weights, bias, to, stride, scale, least, most, zero)
                    elif vectors == two:
                        middle_one(at, where, parts, many, steps, weights, bias, to, stride, scale, least, most, zero)
                    else:
                        narrow_one(at, where, parts, many, steps, weights, bias, to, stride, scale, least, most, zero)
                    if not direct:
                        for row in range(rows):
                            for k in range(count):
                                out[point + row, start + k] = spare[row, k]

    return _shared(run, rows_of, four * lanes, "driver", form.instruction, whole)


@cache
def depthwise_driver(forms: tuple[Form, ...], whole: bool) -> Driver:
    """The same for depthwise layers, with the two or three forms of an instruction from widest to narrowest."""
    three = (forms[0], forms[1], forms[-1])
    wide, middle, narrow = (depthwise_tile_of(form, DEPTHWISE_ROWS, whole) for form in three)
    wide_one, middle_one, narrow_one = (depthwise_tile_of(form, 1, whole) for form in three)
    most_lanes, rows_of, size = forms[0].lanes, DEPTHWISE_ROWS, 4 if whole else 1
    depth, value_size = forms[0].depth, forms[0].bits // 8

    @njit(cache=True, nogil=True, error_model="numpy")
    def run(
        source: Any, plan: Any, out: Any, spare: Any, first: Any, last: Any, first_block: Any, last_block: Any
    ) -> None:
        blocks, (points, channels) = plan.blocks, out.shape
        rows, stride = rows_of if points >= rows_of else 1, channels * size
        least, most, zero = plan.limits[0], plan.limits[1], np.int32(plan.zero)
        parts, many = plan.segments.ctypes.data, plan.segments.size // depth
        for tile in range(first, last):
            point = min(tile * rows, points - rows)
            where = plan.points.ctypes.data + 8 * point
            for block in range(first_block, last_block):
                start, lanes, word, along = blocks[block, 0], blocks[block, 2], blocks[block, 3], blocks[block, 4]
                to = out.ctypes.data + (point * channels + start) * size
                at, weights = source + start * value_size, plan.words.ctypes.data + 4 * word
                bias, scale = plan.bias.ctypes.data + 4 * along, plan.scale.ctypes.data + 4 * along
                if rows == rows_of:
                    if lanes == most_lanes:
                        wide(at, where, parts, many, 0, weights, bias, to, stride, scale, least, most, zero)
                    elif 2 * lanes == most_lanes:
                        middle(at, where, parts, many, 0, weights, bias, to, stride, scale, least, most, zero)
                    else:
                        narrow(at, where, parts, many, 0, weights, bias, to, stride, scale, least, most, zero)
                elif lanes == most_lanes:
                    wide_one(at, where, parts, many, 0, weights, bias, to, stride, scale, least, most, zero)
                elif 2 * lanes == most_lanes:
                    middle_one(at, where, parts, many, 0, weights, bias, to, stride, scale, least, most, zero)
                else:
                    narrow_one(at, where, parts, many, 0, weights, bias, to, stride, scale, least, most, zero)

    return _shared(run, DEPTHWISE_ROWS, 0, "depthwise driver", forms[0].instruction, whole)


def _shared(run: Callable[..., None], rows_of: int, width: int, *key: Any) -> Driver:
    """A layer in parts; a tile is `rows_of` points, `width` channels at most where they do not fill it."""
    kept_in_cache(run, *key)

    @njit(cache=True, nogil=True, error_model="numpy")
    def do(source: Any, room: Any, padding: Any, operands: Any, seat: Any, x: Any, y: Any, made: Any) -> Any:
        at, out, spare, plan = operands
        points, blocks, (by_points, by_blocks) = out.shape[0], plan.blocks.shape[0], plan.cut
        rows = rows_of if points >= rows_of else 1
        tiles = (points + rows - 1) // rows
        first, last = x * tiles // by_points, (x + 1) * tiles // by_points
        if by_blocks == 1 and first < last and room.size > 0:
            begin, end = plan.points[min(first * rows, points - rows)], plan.points[min(last * rows, points) - 1]
            line = room.shape[2] * room.shape[3] * room.itemsize
            lines = min((end + plan.reach) // line + 1, room.shape[0] * room.shape[1])
            made = pad_on(source, room, padding, begin // line, lines, made)
        run(at, plan, out, spare[seat], first, last, y * blocks // by_blocks, (y + 1) * blocks // by_blocks)
        return made

    work = in_parts(do, *key)

    @njit(cache=True, nogil=True)
    def alone(source: Any, room: Any, out: Any, numbers: Any, arrays: Any) -> None:
        # Plain tuples cost half as much to hand over as named ones.
        padding, plan = Padding(*numbers), Plan(*arrays)
        at = room.ctypes.data if room.size > 0 else source.ctypes.data
        rows = rows_of if out.shape[0] >= rows_of else 1
        pad(source, room, padding, 0, room.shape[0] * room.shape[1])
        spare = np.empty((rows, width), out.dtype)
        run(at, plan, out, spare, 0, (out.shape[0] + rows - 1) // rows, 0, plan.blocks.shape[0])

    @njit(cache=True, nogil=True)
    def together(words: Any, seats: Any, source: Any, room: Any, out: Any, numbers: Any, arrays: Any) -> bool:
        padding, own = Padding(*numbers), Plan(*arrays)
        plan = Plan(
            lent(own.points), lent(own.segments), lent(own.words), lent(own.blocks), lent(own.bias), lent(own.scale),
            lent(own.limits), own.steps, own.together, own.zero, own.reach, own.cut,
        )  # fmt: skip
        at = room.ctypes.data if room.size > 0 else source.ctypes.data
        spare = np.empty((seats, rows_of, width), out.dtype)
        pads = pads_of(room, seats, plan.cut)
        told = (lent(source), lent(room), padding, pads, plan.cut, (at, lent(out), lent(spare), plan))
        board = taken(words)
        address = board.ctypes.data
        put_up(address, work, told)
        open_work(address, seats, (pads, plan.cut[0] * plan.cut[1]))
        join_in(address, 0)
        # Named last, so that it stays until here.
        return close_work(board) and spare.size >= 0

    kept_in_cache(alone, "alone", *key)
    kept_in_cache(together, "together", *key)

    def drive(
        words: Values, seats: int, source: Values, room: Values, out: Values, padding: tuple[Any, ...],
        plan: tuple[Any, ...],
    ) -> None:  # fmt: skip
        if seats > 1:
            served(together(words, seats, source, room, out, padding, plan))
        else:
            alone(source, room, out, padding, plan)

    return drive
