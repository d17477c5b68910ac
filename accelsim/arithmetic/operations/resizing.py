"""Bilinear interpolation of integers with positions in 1/1024, as TensorFlow Lite computes it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.formats import Array
from accelsim.network.layers import Layer, Resize

#: Parts of the distance between two points.
UNIT = 1 << 10


class Taps(NamedTuple):
    """Neighbours along one axis, and the weight of the upper one in 1/1024."""

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    weight: NDArray[np.int64]


def interpolated_in_fixed_point(layer: Layer, source: Array) -> Array:
    """A map (height, width, channels) resampled to the layer's size, halves away from zero."""
    assert isinstance(layer, Resize)
    rows, columns = (_taps(n, size, layer.coordinates) for n, size in zip(source.shape, layer.spatial, strict=False))
    values = source.astype(np.int64)
    by_row = [values[taps] for taps in (rows.lower, rows.upper)]
    down, along = rows.weight[:, None, None], columns.weight[None, :, None]
    upper, lower = ([row[:, taps] for taps in (columns.lower, columns.upper)] for row in by_row)
    total = (
        upper[0] * (UNIT - down) * (UNIT - along) + upper[1] * (UNIT - down) * along
        + lower[0] * down * (UNIT - along) + lower[1] * down * along
    )  # fmt: skip
    whole = UNIT * UNIT
    rounded = (np.abs(total) + whole // 2) // whole
    return np.asarray(np.where(total > 0, rounded, -rounded).astype(source.dtype))


def _taps(size: int, outputs: int, coordinates: str) -> Taps:
    here = np.arange(outputs, dtype=np.int64)
    scale = (UNIT * size + outputs // 2) // outputs
    if coordinates == "align_corners" and outputs > 1:
        scale = (UNIT * (size - 1) + (outputs - 1) // 2) // (outputs - 1)
    position = here * scale
    if coordinates == "half_pixel":
        position = position + scale // 2 - UNIT // 2
    # Division towards zero, as the runtime's language divides.
    lower = np.maximum(np.trunc(position / UNIT).astype(np.int64), 0)
    upper = np.minimum(np.trunc((position + UNIT - 1) / UNIT).astype(np.int64), size - 1)
    return Taps(lower, upper, position - UNIT * lower)
