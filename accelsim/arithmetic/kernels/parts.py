"""Layers in parts that threads take, and the padded copies of maps that parts read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from accelsim.arithmetic.kernels.team import next_part, part_done, wait_for
from accelsim.arithmetic.kernels.tiles import kept, kept_in_cache

#: Parts of a padded copy that each thread makes where every part of the layer needs all of it.
PADS = 2


class Padding(NamedTuple):
    """How a padded copy is made: values go to (`front`, `top`, `left`) of it.

    They are exclusive-or'd with `flip`, moved by `shift`, repeated `repeats` times channel by channel and surrounded by
    `filling`.
    """

    front: int
    top: int
    left: int
    flip: Any
    shift: Any
    filling: int
    repeats: int


@kept
@njit(cache=True, nogil=True)
def pad(source: Any, room: Any, padding: Any, first: Any, last: Any) -> None:
    """Fills lines `first` to `last` of the room (D, H, W, C), counted over depth and height.

    `source` are the values (d, h, w, c).
    """
    flip, shift, filling = padding.flip, np.int64(padding.shift), padding.filling
    depth, height, width, channels = source.shape
    stored, repeats = room.shape[3], padding.repeats
    left, right = padding.left * stored, (padding.left + width) * stored
    for number in range(first, last):
        z, y = number // room.shape[1], number % room.shape[1]
        line = room[z, y].reshape(-1)
        iz, iy = z - padding.front, y - padding.top
        if iz < 0 or iz >= depth or iy < 0 or iy >= height:
            line[:] = filling
            continue
        line[:left] = filling
        line[right:] = filling
        middle = line[left:right]
        if stored == channels:
            inner = source[iz, iy].reshape(-1)
            for k in range(inner.size):
                middle[k] = np.int64(inner[k] ^ flip) + shift
            continue
        # Each value is written once: another thread may be reading the line, and finds it as it will be.
        for x in range(width):
            for k in range(channels):
                value = np.int64(source[iz, iy, x, k] ^ flip) + shift
                for copy in range(repeats):
                    middle[x * stored + k * repeats + copy] = value
            for k in range(channels * repeats, stored):
                middle[x * stored + k] = filling


@kept
@njit(cache=True, nogil=True)
def pad_on(source: Any, room: Any, padding: Any, first: Any, last: Any, made: Any) -> Any:
    """Fills lines `first` to `last` but those before `made`, where the lines filled just before ended; where these do.

    Lines that two threads need are written twice, with the same bytes.
    """
    pad(source, room, padding, made if first <= made <= last else first, last)
    return last


def in_parts(do: Callable[..., Any], *key: Any) -> Callable[..., None]:
    """Work of a team: all parts of a layer, told (source, room, padding, pads, cut, operands).

    `cut` is the number of parts by points and by blocks of output channels. A part is done by do(source, room, padding,
    operands, seat, x, y, made), which pads what it needs and returns where that ended (as `made` of the next), unless
    all is padded before, in `pads` parts. Arrays among what is told are `lent`; `key` is what the cache on disk knows
    `do` by.
    """
    kept_in_cache(do, "do", *key)

    @njit(cache=True, nogil=True, error_model="numpy")
    def work(board: Any, seat: Any, told: Any) -> None:
        source, room, padding, pads, cut, operands = told
        lines, parts = room.shape[0] * room.shape[1], cut[0] * cut[1]
        part = next_part(board, 0, seat, pads)
        while part < pads:
            pad(source, room, padding, part * lines // pads, (part + 1) * lines // pads)
            part_done(board, 0)
            part = next_part(board, 0, seat, pads)
        wait_for(board, 0, pads)
        part, made = next_part(board, 1, seat, parts), np.int64(0)
        while part < parts:
            made = do(source, room, padding, operands, seat, part % cut[0], part // cut[0], made)
            part = next_part(board, 1, seat, parts)

    made: Callable[..., None] = kept_in_cache(work, "work", *key)
    return made


@kept
@njit(cache=True, nogil=True)
def pads_of(room: Any, seats: Any, cut: Any) -> Any:
    """Parts in which a room is padded before any part of a layer is done."""
    return min(room.shape[0] * room.shape[1], PADS * seats) if cut[1] > 1 else 0


def served(well: bool) -> None:
    """Raises for a thread that could not: what parts ask of others is memory."""
    if not well:
        raise MemoryError("a thread had no memory for its part of a layer")
