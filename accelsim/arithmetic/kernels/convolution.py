"""Convolutions as they are written down: over three axes of space (outer ones of size 1), channels innermost.

Values arrive with their zero points taken away, so that padding is zero. Sums are exact where the type of
`sums` holds them, which the caller has checked; the saturating ones stop at a range after every addition.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import njit
from numpy.typing import NDArray

Values = NDArray[Any]


class Window(NamedTuple):
    """Sizes along (depth, height, width)."""

    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]
    before: tuple[int, int, int]
    dilation: tuple[int, int, int]


@njit(cache=True, nogil=True)
def convolve(source: Values, weights: Values, window: Window, sums: Values) -> None:
    """Adds to `sums` (D, H, W, groups, outputs) the windows of `source` (d, h, w, groups, inputs).

    `weights` are (groups, kd, kh, kw, inputs, outputs).
    """
    depth, height, width, groups, outputs = sums.shape
    inputs = source.shape[4]
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                for a in range(window.kernel[0]):
                    iz = z * window.stride[0] - window.before[0] + a * window.dilation[0]
                    if iz < 0 or iz >= source.shape[0]:
                        continue
                    for b in range(window.kernel[1]):
                        iy = y * window.stride[1] - window.before[1] + b * window.dilation[1]
                        if iy < 0 or iy >= source.shape[1]:
                            continue
                        for c in range(window.kernel[2]):
                            ix = x * window.stride[2] - window.before[2] + c * window.dilation[2]
                            if ix < 0 or ix >= source.shape[2]:
                                continue
                            for g in range(groups):
                                for k in range(inputs):
                                    value = source[iz, iy, ix, g, k]
                                    for n in range(outputs):
                                        sums[z, y, x, g, n] += value * weights[g, a, b, c, k, n]


@njit(cache=True, nogil=True)
def convolve_saturating(source: Values, weights: Values, window: Window, low: int, high: int, sums: Values) -> None:
    """The same, stopping at `low` and `high` after every addition; all arrays are int64."""
    depth, height, width, groups, outputs = sums.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                for a in range(window.kernel[0]):
                    iz = z * window.stride[0] - window.before[0] + a * window.dilation[0]
                    if iz < 0 or iz >= source.shape[0]:
                        continue
                    for b in range(window.kernel[1]):
                        iy = y * window.stride[1] - window.before[1] + b * window.dilation[1]
                        if iy < 0 or iy >= source.shape[1]:
                            continue
                        for c in range(window.kernel[2]):
                            ix = x * window.stride[2] - window.before[2] + c * window.dilation[2]
                            if ix < 0 or ix >= source.shape[2]:
                                continue
                            for g in range(groups):
                                for k in range(source.shape[4]):
                                    for n in range(outputs):
                                        total = sums[z, y, x, g, n]
                                        total += source[iz, iy, ix, g, k] * weights[g, a, b, c, k, n]
                                        sums[z, y, x, g, n] = min(max(total, low), high)


@njit(cache=True, nogil=True)
def convolve_transposed(source: Values, weights: Values, window: Window, low: int, high: int, sums: Values) -> None:
    """Output o gathers every input i with i * stride - before + tap * dilation = o, taps in raster order.

    Sums stop at `low` and `high`, which a caller whose sums fit sets to the ends of int64.
    """
    depth, height, width, groups, outputs = sums.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                for a in range(window.kernel[0]):
                    nz = z + window.before[0] - a * window.dilation[0]
                    if nz < 0 or nz % window.stride[0] != 0 or nz // window.stride[0] >= source.shape[0]:
                        continue
                    for b in range(window.kernel[1]):
                        ny = y + window.before[1] - b * window.dilation[1]
                        if ny < 0 or ny % window.stride[1] != 0 or ny // window.stride[1] >= source.shape[1]:
                            continue
                        for c in range(window.kernel[2]):
                            nx = x + window.before[2] - c * window.dilation[2]
                            if nx < 0 or nx % window.stride[2] != 0 or nx // window.stride[2] >= source.shape[2]:
                                continue
                            iz, iy, ix = nz // window.stride[0], ny // window.stride[1], nx // window.stride[2]
                            for g in range(groups):
                                for k in range(source.shape[4]):
                                    for n in range(outputs):
                                        total = sums[z, y, x, g, n]
                                        total += source[iz, iy, ix, g, k] * weights[g, a, b, c, k, n]
                                        sums[z, y, x, g, n] = min(max(total, low), high)


@njit(cache=True, nogil=True)
def product(first: Values, second: Values, low: int, high: int, sums: Values) -> None:
    """Adds to sums (batch, m, n) first (batch, m, k) * second (batch, k, n), stopping at `low` and `high`."""
    for batch in range(sums.shape[0]):
        for row in range(sums.shape[1]):
            for k in range(first.shape[2]):
                value = first[batch, row, k]
                for column in range(sums.shape[2]):
                    total = sums[batch, row, column] + value * second[batch, k, column]
                    sums[batch, row, column] = min(max(total, low), high)
