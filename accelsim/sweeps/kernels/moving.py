"""Cycles of stages that only move elements, over whole arrays of machines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Moving(NamedTuple):
    """Stages that only move elements.

    `streams`, int64[streams, 3], are elements, pixels and channels of what each stage makes and reads of a frame,
    those of stage k from `first_stream[k]` to `first_stream[k + 1]`.
    """

    pixels: Ints  # [stages] it fires for in a frame
    row_pixels: Ints  # [stages] of one row of these
    channels: Ints  # [stages] of what it fires for
    is_source: NDArray[np.bool_]  # [stages]
    first_stream: Ints  # [stages + 1]
    streams: Ints


@njit(cache=True)
def slowest_moving(stages: Moving, lanes: Ints) -> Ints:
    """Cycles a frame of the slowest stage, int64[2, machines]: of all stages, and of all but the sources."""
    slowest = np.zeros((2, lanes.size), np.int64)
    for m in range(lanes.size):
        for k in range(stages.pixels.size):
            cycles = _work_cycles(stages, k, lanes[m])
            slowest[0, m] = max(slowest[0, m], cycles)
            if not stages.is_source[k]:
                slowest[1, m] = max(slowest[1, m], cycles)
    return slowest


@njit(cache=True)
def _work_cycles(stages: Moving, k: int, lanes: int) -> int:
    """As many pixels as divide the row and fit the lanes go together, a cycle each time; else each takes its own."""
    row, pixels = stages.row_pixels[k], stages.pixels[k]
    streams = stages.streams[stages.first_stream[k] : stages.first_stream[k + 1]]
    row_cycles = _ceil_div(row * stages.channels[k], lanes)
    widest = 0
    for s in range(streams.shape[0]):
        widest = max(widest, streams[s, 0])
    together = min(row, pixels * lanes // widest) if widest else row
    while together > 0 and row % together:
        together -= 1
    if together > 0:
        if stages.is_source[k] and row > 2 * together * row_cycles:
            return int(pixels // row * row_cycles)
        return int(pixels // together)
    each = 0
    for s in range(streams.shape[0]):
        each = max(each, _ceil_div(streams[s, 1] * _ceil_div(streams[s, 2], lanes), pixels))
    return int(pixels * each)


@njit(cache=True)
def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
