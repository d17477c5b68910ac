"""Sums, products and means of integers, each as the runtime it follows rounds it."""

from __future__ import annotations

import numpy as np
from numba import njit

from accelsim.arithmetic.kernels.requantise import scaled


@njit(cache=True, nogil=True, error_model="numpy")
def add_by_float(first, second, one, other, fixed, first_last, low, high, out):
    """clamp(round(fma(a, one, fma(b, other, fixed)))), or with the operands in the other order.

    A product of an integer and a single precision number, and its sum with one, are exact in double precision:
    rounding that once is a fused multiply-add.
    """
    for k in range(out.size):
        a, b = np.float64(first[k]), np.float64(second[k])
        if first_last:
            inner = np.float32(b * np.float64(other) + np.float64(fixed))
            value = np.float32(a * np.float64(one) + np.float64(inner))
        else:
            inner = np.float32(a * np.float64(one) + np.float64(fixed))
            value = np.float32(b * np.float64(other) + np.float64(inner))
        rounded = np.rint(np.float64(value))
        out[k] = np.int64(min(max(rounded, np.float64(low)), np.float64(high)))


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_by_float(first, second, first_zero, second_zero, ratio, zero_point, low, high, out):
    """clamp(round(float32(product) * ratio + zero point))."""
    for k in range(out.size):
        product = np.int64(np.int64(first[k]) - first_zero) * np.int64(np.int64(second[k]) - second_zero)
        value = np.float32(np.float32(product) * ratio) + np.float32(zero_point)
        rounded = np.rint(np.float64(value))
        out[k] = np.int64(min(max(rounded, np.float64(low)), np.float64(high)))


@njit(cache=True, nogil=True)
def add_by_fixed(first, second, zeros, significands, shifts, left, sign, zero_point, low, high, out):
    """Both operands scaled to a common unit with `left` bits to spare, added (`sign` 1) or subtracted, scaled back."""
    for k in range(out.size):
        a = scaled((np.int64(first[k]) - zeros[0]) << left, significands[0], shifts[0])
        b = scaled((np.int64(second[k]) - zeros[1]) << left, significands[1], shifts[1])
        value = scaled(a + sign * b, significands[2], shifts[2]) + zero_point
        out[k] = min(max(value, low), high)


@njit(cache=True, nogil=True)
def multiply_by_fixed(first, second, zeros, significand, shift, zero_point, low, high, out):
    for k in range(out.size):
        product = (np.int64(first[k]) - zeros[0]) * (np.int64(second[k]) - zeros[1])
        value = scaled(product, significand, shift) + zero_point
        out[k] = min(max(value, low), high)


@njit(cache=True, nogil=True)
def looked_up(source, first, table, out):
    """Out = table[source - first], element by element."""
    for k in range(source.size):
        out[k] = table[np.int64(source[k]) - first]


@njit(cache=True, nogil=True)
def rounded_mean(sums, counts, low, high, out):
    """Sums (points, channels) divided by `counts` (points), halves away from zero, clamped."""
    for point in range(sums.shape[0]):
        count = counts[point]
        for channel in range(sums.shape[1]):
            total = sums[point, channel]
            if total >= 0:
                mean = (total + count // 2) // count
            else:
                mean = -((-total + count // 2) // count)
            out[point, channel] = min(max(mean, low), high)
