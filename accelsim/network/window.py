"""Which input coordinates an output coordinate reads, one axis at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Coordinates = NDArray[np.int64]


class Span(NamedTuple):
    """First and last input coordinate read by every output coordinate of one axis.

    Where `last < first` nothing of the input is read (the window lies in the padding).
    """

    first: Coordinates
    last: Coordinates


def output_size(size: int, kernel: int, stride: int, dilation: int, padding: int, ceil_mode: bool = False) -> int:
    """Windows that fit on an axis of `size` with `padding` in total on both ends.

    With `ceil_mode` a partial window at the far end counts too.
    """
    room = size + padding - dilation * (kernel - 1) - 1
    return (-(-room // stride) if ceil_mode else room // stride) + 1


def sliding(size: int, outputs: int, kernel: int, stride: int, dilation: int, before: int) -> Span:
    """Windows of `kernel` taps moving by `stride`; only taps that fall on the input count."""
    start = np.arange(outputs, dtype=np.int64) * stride - before
    first_tap = np.maximum(0, -(start // dilation))
    last_tap = np.minimum(kernel - 1, (size - 1 - start) // dilation)
    return Span(start + first_tap * dilation, start + last_tap * dilation)


def transposed(size: int, outputs: int, kernel: int, stride: int, dilation: int, before: int) -> Span:
    """Inputs i with output = i * stride - before + tap * dilation for some tap."""
    position = np.arange(outputs, dtype=np.int64) + before
    first, last = np.full(outputs, size), np.full(outputs, -1)
    for tap in range(kernel):
        source, phase = np.divmod(position - tap * dilation, stride)
        hit = (phase == 0) & (source >= 0) & (source < size)
        first = np.where(hit, np.minimum(first, source), first)
        last = np.where(hit, np.maximum(last, source), last)
    return Span(first, last)


def identity(size: int) -> Span:
    """Each output coordinate reads its own input coordinate."""
    here = np.arange(size, dtype=np.int64)
    return Span(here, here)


def whole(size: int, outputs: int) -> Span:
    """Every output coordinate reads the whole axis."""
    return Span(np.zeros(outputs, np.int64), np.full(outputs, size - 1, np.int64))


def repeated(size: int, outputs: int, times: int) -> Span:
    """Nearest repeat: output y reads input y // times, cropped to what there is."""
    source = np.minimum(np.arange(outputs, dtype=np.int64) // times, size - 1)
    return Span(source, source)


def shifted(size: int, outputs: int, offset: int, step: int = 1) -> Span:
    """Output y reads input offset + y * step; outside the input nothing is read."""
    source = offset + np.arange(outputs, dtype=np.int64) * step
    inside = (source >= 0) & (source < size)
    return Span(np.where(inside, source, size), np.where(inside, source, -1))


def interpolated(size: int, outputs: int, taps: int) -> Span:
    """Resampling with `taps` neighbours (1 nearest, 2 linear, 4 cubic), half-pixel centres."""
    scale = size / outputs
    centre = (np.arange(outputs, dtype=np.float64) + 0.5) * scale - 0.5
    if taps == 1:
        nearest = np.clip(np.floor(centre + 0.5), 0, size - 1).astype(np.int64)
        return Span(nearest, nearest)
    lowest = np.floor(centre).astype(np.int64) - (taps // 2 - 1)
    return Span(np.clip(lowest, 0, size - 1), np.clip(lowest + taps - 1, 0, size - 1))
