"""Hard-swish of 8-bit integers in 16-bit fixed point, as TensorFlow Lite's reference kernel computes it.

x * min(max(x + 3, 0), 6) / 6: the input is raised by 7 bits, scaled once to the output and once to (-1, 1) for the
clamped factor, and their product shifted back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.formats import Array, Format
from accelsim.arithmetic.requantise import fixed_point

Ints = NDArray[np.int64]
LOW, HIGH = -(1 << 15), (1 << 15) - 1


def hard_swish_table(source: Format, output: Format) -> Array:
    """The output for every integer of an 8-bit input, from the lowest."""
    raised = (np.arange(source.type.low, source.type.high + 1, dtype=np.int64) - source.zero_point[0]) << 7
    fine = source.scale[0] / 128
    output_multiplier, output_shift = _short(fine / output.scale[0])
    factor_multiplier, factor_shift = _short(fine / (3 / (1 << 15)))
    scaled = _high_half(raised, output_multiplier)
    factor = raised
    if factor_shift > 0:
        factor = _high_half(_raised(factor, factor_shift - 1), factor_multiplier)
        factor = _raised(factor, 1)
    else:
        factor = _halved(_high_half(factor, factor_multiplier), -factor_shift)
    factor = (factor + (1 << 15)) >> 1
    product = factor * scaled
    # Division towards zero; both factors are never the lowest number at once.
    high = np.where(product >= 0, product >> 15, -(-product >> 15))
    result = _halved(high, -output_shift) if output_shift <= 0 else _raised(high, output_shift)
    clamped = np.clip(result + output.zero_point[0], output.type.low, output.type.high)
    return np.asarray(clamped.astype(output.type.dtype))


def _short(real: float) -> tuple[int, int]:
    """A multiplier with a significand of 15 bits, and its power of two."""
    made = fixed_point(np.array([real]))
    full = int(made.significand[0])
    return (HIGH if full >= (1 << 31) - 1 - (1 << 15) else (full + (1 << 15)) >> 16), int(made.shift[0])


def _high_half(values: Ints, multiplier: int) -> Ints:
    """Doubled high half of products of 16-bit numbers, rounded."""
    product = values * multiplier
    raised = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return np.asarray(np.clip(np.where(raised >= 0, raised >> 15, -(-raised >> 15)), LOW, HIGH))


def _raised(values: Ints, places: int) -> Ints:
    made: Ints = np.clip(values << places, LOW, HIGH)
    return made


def _halved(values: Ints, places: int) -> Ints:
    """Values / 2^places, halves away from zero."""
    half = (1 << places) >> 1
    made: Ints = np.where(values >= 0, (values + half) >> places, -((-values + half) >> places))
    return made
