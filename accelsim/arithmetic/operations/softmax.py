"""Softmax over channels: in fixed point as TensorFlow Lite computes it, or by a table as ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Sequence
from math import frexp, log

import numpy as np

from accelsim.arithmetic.formats import Array, Format
from accelsim.arithmetic.kernels import softmax as kernels
from accelsim.arithmetic.operations.place import Operation, Place
from accelsim.network.layers import Layer, Softmax

#: Bits before the point of differences to the greatest value, and of their sum.
DIFFERENCE_BITS, SUM_BITS = 5, 12


def softmax(place: Place) -> Operation | None:
    """None for forms that no runtime computes in integers: these go by way of real numbers."""
    layer, source, output = place.layer, place.sources[0], place.output
    assert isinstance(layer, Softmax)
    if source is None or output is None or not place.in_integers or layer.log or layer.over != "channels":
        return None
    if source.type.bits > 8 or output.type.bits > 8:
        return None
    return _in_fixed_point(source, output) if place.fixed else _by_table(source, output)


def _by_table(source: Format, output: Format) -> Operation:
    """Exponentials from a table in single precision, as ONNX Runtime's QLinearSoftmax sums and divides them."""
    steps = source.type.high - source.type.low
    unit = np.floor(np.float32(1) / output.scales[0])

    def run(own: Layer, operands: Sequence[Array]) -> Array:
        assert isinstance(own, Softmax)
        rows = operands[0].reshape(-1, operands[0].shape[-1] // own.groups).astype(np.int64)
        # The greatest value is moved to the table's end, which is as large as a sum of so many can be.
        room = max(0.0, log(np.finfo(np.float32).max / np.float32(rows.shape[1])) - 5)
        table = np.exp((np.arange(steps + 1) - steps) * np.float64(source.scales[0]) + room).astype(np.float32)
        parts = table[rows - rows.max(axis=1, keepdims=True) + steps]
        # A running sum adds one after the other, as a loop does.
        total = np.cumsum(parts, axis=1, dtype=np.float32)[:, -1:]
        with np.errstate(over="ignore"):
            made = np.rint(parts * unit / total) + output.zero_point[0]
        clamped = np.clip(made, output.type.low, output.type.high).astype(output.type.dtype)
        return np.asarray(clamped.reshape(operands[0].shape))

    return run


def _in_fixed_point(source: Format, output: Format) -> Operation | None:
    if output.scale[0] != 1 / 256 or output.zero_point[0] != output.type.low:
        return None
    real = min(source.scale[0] * (1 << (31 - DIFFERENCE_BITS)), float((1 << 31) - 1))
    fraction, shift = frexp(real)
    significand = int(np.floor(fraction * (1 << 31) + 0.5))
    if significand == 1 << 31:
        significand, shift = 1 << 30, shift + 1
    # Differences beyond this are too far below for their exponential to count.
    least = -int(np.floor(((1 << DIFFERENCE_BITS) - 1) * (1 << (31 - DIFFERENCE_BITS)) / (1 << shift)))

    def run(own: Layer, operands: Sequence[Array]) -> Array:
        assert isinstance(own, Softmax)
        rows = np.ascontiguousarray(operands[0]).reshape(-1, operands[0].shape[-1] // own.groups).astype(np.int64)
        out = np.empty(rows.shape, output.type.dtype)
        kernels.softmax(rows, significand, shift, least, output.type.low, output.type.high, out)
        return out.reshape(operands[0].shape)

    return run
