"""Whole layers out of tiles: every block of output channels, and in it every run of output points.

A job is a block of output channels and a tile of points; a range of jobs can be given to each of several threads.
Points are counted from the last when fewer than a tile is left, so that some are computed twice and none apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from accelsim.arithmetic.kernels.tiles import DEPTHWISE_ROWS, Form, depthwise_tile_of, kept_in_cache, tile_of

Values = NDArray[Any]

#: Points of a tile, by the lanes of a vector, as many as there are registers for; where a layer has fewer, of one.
ROWS = {16: 7, 8: 6}
#: Vectors of output channels in a tile, by the lanes of a vector.
WIDTHS = {16: (4, 2, 1), 8: (2, 1, 1)}


class Packed(NamedTuple):
    """Weights in words, block after block.

    `blocks` holds (first channel, channels, vectors, first word, byte offset of its group's inputs); for depthwise
    layers (first channel, channels, lanes, first word, first bias).
    """

    words: NDArray[np.int32]
    blocks: NDArray[np.int64]
    bias: NDArray[np.int32]
    scale: NDArray[np.float32]


class Geometry(NamedTuple):
    """Byte offsets of every output point's window and of a window's segments; `steps` words in each segment.

    `together` tiles of points meet every block before the next ones do; depthwise layers go tile by tile.
    """

    points: NDArray[np.int64]
    segments: NDArray[np.int64]
    steps: int
    together: int


class Padding(NamedTuple):
    """A copy still to be made: values (d, h, w, c) go into `room` (D, H, W, C) at (`front`, `top`, `left`).

    They are exclusive-or'd with `flip`, moved by `shift`, repeated `repeats` times channel by channel and surrounded by
    `filling`. A room of no lines asks for nothing.
    """

    source: Values
    front: int
    top: int
    left: int
    flip: Any
    shift: Any
    filling: Any
    repeats: int
    room: Values


@njit(cache=True, nogil=True)
def pad(padding: Any, first: Any, last: Any) -> None:
    """Fills lines `first` to `last` of the room, counted over depth and height."""
    source, room, flip, shift = padding.source, padding.room, padding.flip, np.int64(padding.shift)
    depth, height, width, channels = source.shape
    stored, repeats = room.shape[3], padding.repeats
    left, right = padding.left * stored, (padding.left + width) * stored
    for number in range(first, last):
        z, y = number // room.shape[1], number % room.shape[1]
        line = room[z, y].reshape(-1)
        iz, iy = z - padding.front, y - padding.top
        if iz < 0 or iz >= depth or iy < 0 or iy >= height:
            line[:] = padding.filling
            continue
        line[:left] = padding.filling
        line[right:] = padding.filling
        middle = line[left:right]
        if stored == channels:
            inner = source[iz, iy].reshape(-1)
            for k in range(inner.size):
                middle[k] = np.int64(inner[k] ^ flip) + shift
            continue
        middle[:] = padding.filling
        for x in range(width):
            for k in range(channels):
                value = np.int64(source[iz, iy, x, k] ^ flip) + shift
                for copy in range(repeats):
                    middle[x * stored + k * repeats + copy] = value


@njit(cache=True, nogil=True)
def pad_for(padding: Any, geometry: Any, first: Any, last: Any) -> None:
    """Fills the lines that the windows of points `first` to `last` lie in."""
    room = padding.room
    lines, size = room.shape[0] * room.shape[1], room.shape[2] * room.shape[3] * room.itemsize
    if lines and first < last:
        end = geometry.points[last - 1] + geometry.segments.max()
        pad(padding, geometry.points[first] // size, min(end // size + 1, lines))


#: Runs a layer on a number of threads: (padding, source, geometry, packed, out, least, most, zero, jobs, threads).
Driver = Callable[..., None]


@cache
def driver(form: Form, whole: bool) -> Driver:
    """What writes sums (`whole`) or bytes with one instruction, compiled when first used."""
    wide, middle, narrow = (tile_of(form, ROWS[form.lanes], width, whole) for width in WIDTHS[form.lanes])
    wide_one, middle_one, narrow_one = (tile_of(form, 1, width, whole) for width in WIDTHS[form.lanes])
    four, two, _ = WIDTHS[form.lanes]
    lanes, rows_of, size = form.lanes, ROWS[form.lanes], 4 if whole else 1

    @njit(cache=True, nogil=True)
    def run(
        source: Any, geometry: Any, packed: Any, out: Any, least: Any, most: Any, zero: Any, first: Any, last: Any
    ) -> None:
        blocks, (points, channels) = packed.blocks, out.shape
        rows = rows_of if points >= rows_of else 1
        tiles, together = (points + rows - 1) // rows, geometry.together
        spare = np.empty((rows, four * lanes), out.dtype)
        begin = first // (together * blocks.shape[0]) * together
        end = min(begin + together, tiles)
        block, tile = divmod(first - begin * blocks.shape[0], max(end - begin, 1))
        for _ in range(first, last):
            # One by one: a row of an array is an object of its own, which is counted.
            start, count, vectors = blocks[block, 0], blocks[block, 1], blocks[block, 2]
            word, group = blocks[block, 3], blocks[block, 4]
            point = min((begin + tile) * rows, points - rows)
            direct = count == vectors * lanes
            to = out.ctypes.data + (point * channels + start) * size if direct else spare.ctypes.data
            stride = (channels if direct else four * lanes) * size
            where, at = geometry.points.ctypes.data + 8 * point, source.ctypes.data + group
            parts, many, steps = geometry.segments.ctypes.data, geometry.segments.size, geometry.steps
            weights = packed.words.ctypes.data + 4 * word
            bias, scale = packed.bias.ctypes.data + 4 * start, packed.scale.ctypes.data + 4 * start
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
            tile += 1
            if begin + tile == end:
                block, tile = block + 1, 0
                if block == blocks.shape[0]:
                    block, begin, end = 0, end, min(end + together, tiles)

    return _threaded(kept_in_cache(run, "driver", form.instruction, whole), 0)


@cache
def depthwise_driver(forms: tuple[Form, ...], whole: bool) -> Driver:
    """The same for depthwise layers, with the two or three forms of an instruction from widest to narrowest."""
    three = (forms[0], forms[1], forms[-1])
    wide, middle, narrow = (depthwise_tile_of(form, DEPTHWISE_ROWS, whole) for form in three)
    wide_one, middle_one, narrow_one = (depthwise_tile_of(form, 1, whole) for form in three)
    most_lanes, rows_of, size = forms[0].lanes, DEPTHWISE_ROWS, 4 if whole else 1
    depth, value_size = forms[0].depth, forms[0].bits // 8

    @njit(cache=True, nogil=True)
    def run(
        source: Any, geometry: Any, packed: Any, out: Any, least: Any, most: Any, zero: Any, first: Any, last: Any
    ) -> None:
        blocks, (points, channels) = packed.blocks, out.shape
        rows = rows_of if points >= rows_of else 1
        tile, block = first // blocks.shape[0], first % blocks.shape[0]
        for _ in range(first, last):
            start, lanes, word, along = blocks[block, 0], blocks[block, 2], blocks[block, 3], blocks[block, 4]
            point = min(tile * rows, points - rows)
            to = out.ctypes.data + (point * channels + start) * size
            stride = channels * size
            where, at = geometry.points.ctypes.data + 8 * point, source.ctypes.data + start * value_size
            parts, many = geometry.segments.ctypes.data, geometry.segments.size // depth
            weights = packed.words.ctypes.data + 4 * word
            bias, scale = packed.bias.ctypes.data + 4 * along, packed.scale.ctypes.data + 4 * along
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
            block += 1
            if block == blocks.shape[0]:
                tile, block = tile + 1, 0

    return _threaded(kept_in_cache(run, "depthwise driver", forms[0].instruction, whole), DEPTHWISE_ROWS)


def _threaded(run: Callable[..., None], rows: int) -> Driver:
    """All jobs on one thread, or cut into as many ranges as there are threads.

    Where jobs go from point to point, `rows` a tile, a thread makes the part of the padded copy that its own points
    lie in; lines that two of them need are written twice, with the same bytes. With `rows` 0 every job may need all, so
    that the copy is made by all threads before the first.
    """

    @njit(cache=True, nogil=True)
    def alone(
        padding: Any, source: Any, geometry: Any, packed: Any, out: Any, least: Any, most: Any, zero: Any, jobs: Any
    ) -> None:
        pad(padding, 0, padding.room.shape[0] * padding.room.shape[1])
        run(source, geometry, packed, out, least, most, zero, 0, jobs)

    @njit(cache=True, parallel=True, nogil=True)
    def parallel(
        padding: Any, source: Any, geometry: Any, packed: Any, out: Any, least: Any, most: Any, zero: Any, jobs: Any,
        threads: Any,
    ) -> None:  # fmt: skip
        lines = padding.room.shape[0] * padding.room.shape[1]
        if rows == 0 and lines > 0:
            for part in prange(threads):
                pad(padding, part * lines // threads, (part + 1) * lines // threads)
        for part in prange(threads):
            first, last = part * jobs // threads, (part + 1) * jobs // threads
            if rows > 0 and first < last:
                points, blocks = out.shape[0], packed.blocks.shape[0]
                own = rows if points >= rows else 1
                begin = min(first // blocks * own, points - own)
                pad_for(padding, geometry, begin, min(((last - 1) // blocks + 1) * own, points))
            run(source, geometry, packed, out, least, most, zero, first, last)

    def drive(
        padding: Padding, source: Values, geometry: Geometry, packed: Packed, out: Values, least: Any, most: Any,
        zero: Any, jobs: int, threads: int,
    ) -> None:  # fmt: skip
        if threads > 1:
            parallel(padding, source, geometry, packed, out, least, most, zero, jobs, threads)
        else:
            alone(padding, source, geometry, packed, out, least, most, zero, jobs)

    return drive
