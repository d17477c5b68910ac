"""Softmax over channels in fixed point, as TensorFlow Lite's reference kernel computes it."""

from __future__ import annotations

from collections.abc import Sequence
from math import frexp

import numpy as np

from accelsim.arithmetic.formats import Array
from accelsim.arithmetic.kernels import softmax as kernels
from accelsim.arithmetic.operations.place import Operation, Place
from accelsim.network.layers import Layer, Softmax

#: Bits before the point of differences to the greatest value, and of their sum.
DIFFERENCE_BITS, SUM_BITS = 5, 12


def softmax(place: Place) -> Operation | None:
    """None where the network follows a runtime that computes softmax in real numbers, or a form it has not."""
    layer, source, output = place.layer, place.sources[0], place.output
    assert isinstance(layer, Softmax)
    if not (place.fixed and place.in_integers) or layer.log or layer.over != "channels":
        return None
    assert source is not None
    assert output is not None
    if (
        source.type.bits > 8
        or output.type.bits > 8
        or output.scale[0] != 1 / 256
        or output.zero_point[0] != output.type.low
    ):
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
