"""Sums, products and means of integers, each as the runtime it follows rounds it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from accelsim.arithmetic.kernels.requantise import scaled

Values = NDArray[Any]


#: Adding and subtracting 1.5 * 2^23 rounds a single precision number below 2^22 half to even.
MAGIC = np.float32(12582912.0)


@njit(cache=True, nogil=True, error_model="numpy")
def add_by_float(
    first: Values, second: Values, one: float, other: float, fixed: float, first_last: bool, low: int, high: int,
    out: Values,
) -> None:  # fmt: skip
    """Out = clamp(round(fma(a, one, fma(b, other, fixed)))), or with the operands in the other order.

    A product of an integer and a single precision number, and its sum with one, are exact in double precision:
    rounding that once is a fused multiply-add. Clamping to whole numbers may come before rounding.
    """
    a, b = (first, second) if first_last else (second, first)
    factor, inner_factor = (one, other) if first_last else (other, one)
    wide, inner_wide, start = np.float64(factor), np.float64(inner_factor), np.float64(fixed)
    least, most = np.float32(low), np.float32(high)
    for k in range(out.size):
        inner = np.float32(np.float64(b[k]) * inner_wide + start)
        value = np.float32(np.float64(a[k]) * wide + np.float64(inner))
        value = min(max(value, least), most)
        out[k] = np.int32(np.float32(value + MAGIC) - MAGIC)


@intrinsic
def fused(typing: Any, first: Any, second: Any, third: Any) -> Any:
    """First * second + third, single precision, rounded once: one instruction where the processor has it."""
    number = types.float32
    return number(number, number, number), lambda _, builder, __, values: builder.fma(*values)


@njit(cache=True, nogil=True, error_model="numpy")
def add_fused(
    first: Values, second: Values, one: float, other: float, fixed: float, first_last: bool, low: int, high: int,
    out: Values,
) -> None:  # fmt: skip
    """`add_by_float` for a processor that has fused multiply-adds."""
    a, b = (first, second) if first_last else (second, first)
    factor, inner_factor = (one, other) if first_last else (other, one)
    least, most = np.float32(low), np.float32(high)
    for k in range(out.size):
        value = fused(np.float32(a[k]), factor, fused(np.float32(b[k]), inner_factor, fixed))
        value = min(max(value, least), most)
        out[k] = np.int32(np.float32(value + MAGIC) - MAGIC)


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_by_float(
    first: Values, second: Values, first_zero: int, second_zero: int, ratio: float, zero_point: int, low: int,
    high: int, out: Values,
) -> None:  # fmt: skip
    """Out = clamp(round(float32(product) * ratio + zero point))."""
    least, most, zero = np.float32(low), np.float32(high), np.float32(zero_point)
    for k in range(out.size):
        product = (np.int64(first[k]) - first_zero) * (np.int64(second[k]) - second_zero)
        value = np.float32(np.float32(product) * ratio) + zero
        value = min(max(value, least), most)
        out[k] = np.int32(np.float32(value + MAGIC) - MAGIC)


@njit(cache=True, nogil=True)
def add_by_fixed(
    first: Values,
    second: Values,
    zeros: Values,
    significands: Values,
    shifts: Values,
    left: int,
    sign: int,
    zero_point: int,
    low: int,
    high: int,
    out: Values,
) -> None:
    """Both operands scaled to a common unit with `left` bits to spare, added (`sign` 1) or subtracted, scaled back."""
    # Arrays might overlap for all a compiler knows; what is read once is known not to change.
    zero, other_zero = zeros[0], zeros[1]
    one, two, back = significands[0], significands[1], significands[2]
    shift, other_shift, last_shift = shifts[0], shifts[1], shifts[2]
    for k in range(out.size):
        a = scaled((np.int64(first[k]) - zero) << left, one, shift)
        b = scaled((np.int64(second[k]) - other_zero) << left, two, other_shift)
        value = scaled(a + sign * b, back, last_shift) + zero_point
        out[k] = min(max(value, low), high)


@njit(cache=True, nogil=True)
def multiply_by_fixed(
    first: Values, second: Values, zeros: Values, significand: int, shift: int, zero_point: int, low: int, high: int,
    out: Values,
) -> None:  # fmt: skip
    zero, other_zero = zeros[0], zeros[1]
    for k in range(out.size):
        product = (np.int64(first[k]) - zero) * (np.int64(second[k]) - other_zero)
        value = scaled(product, significand, shift) + zero_point
        out[k] = min(max(value, low), high)


@njit(cache=True, nogil=True)
def looked_up(source: Values, first: int, table: Values, out: Values) -> None:
    """Out = table[source - first], element by element."""
    for k in range(source.size):
        out[k] = table[np.int64(source[k]) - first]


@njit(cache=True, nogil=True)
def rounded_mean(sums: Values, counts: Values, low: int, high: int, out: Values) -> None:
    """Sums (points, channels) divided by `counts` (points), halves away from zero, clamped."""
    for point in range(sums.shape[0]):
        count = counts[point]
        for channel in range(sums.shape[1]):
            total = sums[point, channel]
            mean = (abs(total) + count // 2) // count
            mean = mean if total >= 0 else -mean
            out[point, channel] = min(max(mean, low), high)
