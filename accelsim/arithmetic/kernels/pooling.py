"""Windows that take a maximum or a sum, over three axes of space, channels innermost."""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

from accelsim.arithmetic.kernels.convolution import Window

Values = NDArray[Any]


@njit(cache=True, nogil=True)
def maximum(source: Values, window: Window, lowest: int, out: Values) -> None:
    """Greatest value of each window; `lowest` where a window lies in the padding."""
    depth, height, width, channels = out.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                for n in range(channels):
                    out[z, y, x, n] = lowest
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
                            for n in range(channels):
                                out[z, y, x, n] = max(out[z, y, x, n], source[iz, iy, ix, n])


@njit(cache=True, nogil=True)
def total(source: Values, window: Window, sums: Values, counts: Values) -> None:
    """Sum of each window (int64) and how many of its taps lie on the map."""
    depth, height, width, channels = sums.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                taps = 0
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
                            taps += 1
                            for n in range(channels):
                                sums[z, y, x, n] += source[iz, iy, ix, n]
                counts[z, y, x] = taps
