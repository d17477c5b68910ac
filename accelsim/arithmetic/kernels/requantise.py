"""Sums to integers, element by element over (rows, channels)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Values = NDArray[Any]

#: Adding and subtracting 1.5 * 2^23 rounds a single precision number below 2^22 half to even.
MAGIC = np.float32(12582912.0)


@njit(cache=True, nogil=True, error_model="numpy")
def by_float(sums: Values, multiplier: Values, zero_point: int, low: int, high: int, out: Values) -> None:
    """Out = clamp(round half even(float32(sum) * multiplier) + zero point), clamped before it is rounded."""
    least, most = np.float32(low - zero_point), np.float32(high - zero_point)
    for row in range(sums.shape[0]):
        for channel in range(sums.shape[1]):
            value = np.float32(sums[row, channel]) * multiplier[channel]
            value = min(max(value, least), most)
            rounded = np.float32(value + MAGIC) - MAGIC
            out[row, channel] = np.int32(rounded) + zero_point


@njit(cache=True, nogil=True)
def scaled(value: Any, significand: Any, shift: Any) -> Any:
    """A 32-bit value times significand * 2^(shift - 31): the doubled high half rounded, then the shift rounded.

    The high half goes to the nearest, halves up; the shift to the nearest, halves away from zero. The value raised by
    a positive shift saturates at 32 bits.
    """
    left, right = max(np.int64(shift), np.int64(0)), max(-np.int64(shift), np.int64(0))
    raised = np.int64(value) << left
    raised = min(max(raised, np.int64(-(2**31))), np.int64(2**31 - 1))
    high = (raised * np.int64(significand) + (np.int64(1) << 30)) >> 31
    mask = (np.int64(1) << right) - np.int64(1)
    threshold = (mask >> 1) + np.int64(high < 0)
    return (high >> right) + np.int64((high & mask) > threshold)


@njit(cache=True, nogil=True)
def by_fixed(
    sums: Values, significand: Values, shift: Values, zero_point: int, low: int, high: int, out: Values
) -> None:
    for row in range(sums.shape[0]):
        for channel in range(sums.shape[1]):
            value = scaled(sums[row, channel], significand[channel], shift[channel]) + zero_point
            out[row, channel] = min(max(value, low), high)


@njit(cache=True, nogil=True)
def by_fixed_once(
    sums: Values, significand: Values, shift: Values, zero_point: int, low: int, high: int, out: Values
) -> None:
    """The same with a single rounding, halves up."""
    for row in range(sums.shape[0]):
        for channel in range(sums.shape[1]):
            total = np.int64(31 - shift[channel])
            product = np.int64(sums[row, channel]) * np.int64(significand[channel])
            value = (product + (np.int64(1) << (total - 1))) >> total
            out[row, channel] = min(max(value + zero_point, low), high)


@njit(cache=True, nogil=True)
def by_fixed_wide(
    sums: Values, significand: Values, shift: Values, zero_point: int, low: int, high: int, out: Values
) -> None:
    """For sums of more than 32 bits: the significand is first rounded to 16 bits, the shift rounds half up."""
    for row in range(sums.shape[0]):
        for channel in range(sums.shape[1]):
            full = np.int64(significand[channel])
            short = (full + (np.int64(1) << 15)) >> 16 if full < 0x7FFF0000 else np.int64(0x7FFF)
            total = np.int64(15 - shift[channel])
            value = (np.int64(sums[row, channel]) * short + (np.int64(1) << (total - 1))) >> total
            out[row, channel] = min(max(value + zero_point, low), high)


@njit(cache=True, nogil=True, error_model="numpy")
def rounded(reals: Values, scale: Any, zero_point: int, low: int, high: int, away: bool, out: Values) -> bool:
    """Out = clamp(round(real / scale) + zero point), halves to even or `away` from zero; whether all were numbers."""
    least, most = np.float32(low - zero_point), np.float32(high - zero_point)
    numbers = True
    for k in range(out.size):
        quotient = np.float32(reals[k]) / scale
        number = quotient == quotient
        numbers = numbers and number
        value = min(max(quotient, least), most) if number else least
        if away:
            whole = np.trunc(np.float32(value + np.copysign(np.float32(0.5), value)))
        else:
            whole = np.float32(value + MAGIC) - MAGIC
        out[k] = np.int32(whole) + zero_point
    return numbers
