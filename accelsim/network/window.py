"""Which input coordinates an output coordinate reads, one axis at a time."""

from __future__ import annotations

from collections.abc import Callable
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


def interpolated(size: int, outputs: int, taps: int, coordinates: str = "half_pixel") -> Span:
    """Resampling with `taps` neighbours (1 nearest, 2 linear, 4 cubic) at `coordinates` as ONNX names them.

    Nearest rounds down where `ROUNDED_DOWN` says so, else to the nearest, halves down. A sample that falls on
    an input point reads that alone: its other neighbours weigh nothing.
    """
    position, scale = CENTRES[coordinates](np.arange(outputs, dtype=np.int64), size, outputs)
    below, rest = np.divmod(position, scale)
    if taps == 1:
        rounded = below if coordinates in ROUNDED_DOWN else below + (2 * rest > scale)
        first = last = rounded
    else:
        first = np.where(rest > 0, below - (taps // 2 - 1), below)
        last = np.where(rest > 0, below + taps // 2, below)
    return Span(np.clip(first, 0, size - 1), np.clip(last, 0, size - 1))


def _half_pixel(output: Coordinates, size: int, outputs: int) -> tuple[Coordinates, int]:
    return (2 * output + 1) * size - outputs, 2 * outputs


def _pytorch_half_pixel(output: Coordinates, size: int, outputs: int) -> tuple[Coordinates, int]:
    return _half_pixel(output, size, outputs) if outputs > 1 else (output, 1)


#: Where an output coordinate lies in the input, as numerators and a denominator, by ONNX's name
#: (Resize, attribute coordinate_transformation_mode); sizes stand for scales.
CENTRES: dict[str, Callable[[Coordinates, int, int], tuple[Coordinates, int]]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": lambda output, size, outputs: (output * (size - 1), max(outputs - 1, 1)),
    "asymmetric": lambda output, size, outputs: (output * size, outputs),
    "tf_half_pixel_for_nn": lambda output, size, outputs: ((2 * output + 1) * size, 2 * outputs),
}
ROUNDED_DOWN = ("asymmetric", "tf_half_pixel_for_nn")
