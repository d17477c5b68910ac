"""Softmax in fixed point: exponentials and a reciprocal of 31 fractional bits.

Numbers with k bits before the point are int64 holding a 32-bit value of 31 - k fractional bits. The exponential is
that of a Taylor polynomial on (-1/4, 0] times a constant for every power of two below; the reciprocal is three
steps of Newton's method from 48/17 - 32/17 x.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Values = NDArray[Any]

LIMIT = np.int64(2**31 - 1)


@njit(cache=True, nogil=True)
def high_half(a: Any, b: Any) -> Any:
    """Doubled high half of a product of 32-bit numbers, rounded to nearest; the one overflow saturates."""
    if a == b and a == -(2**31):
        return LIMIT
    product = np.int64(a) * np.int64(b)
    if product >= 0:
        return (product + (np.int64(1) << 30)) >> 31
    return -((-(product + np.int64(1) - (np.int64(1) << 30))) >> 31)


@njit(cache=True, nogil=True)
def halved(value: Any, places: Any) -> Any:
    """Value / 2^places, halves away from zero."""
    mask = (np.int64(1) << places) - np.int64(1)
    threshold = (mask >> 1) + (np.int64(1) if value < 0 else np.int64(0))
    return (value >> places) + (np.int64(1) if (value & mask) > threshold else np.int64(0))


@njit(cache=True, nogil=True)
def doubled(value: Any, places: Any) -> Any:
    """Value * 2^places, saturated to 32 bits."""
    return min(max(value << places, -LIMIT - 1), LIMIT)


@njit(cache=True, nogil=True)
def exp_of_quarter(a: Any) -> Any:
    """Exp of a number in (-1/4, 0], without bits before the point: around -1/8."""
    x = a + (np.int64(1) << 28)
    square = high_half(x, x)
    cube = high_half(square, x)
    fourth = high_half(square, square)
    tail = halved(high_half(halved(fourth, 2) + cube, np.int64(715827883)) + square, 1)
    return np.int64(1895147668) + high_half(np.int64(1895147668), x + tail)


@njit(cache=True, nogil=True)
def exp_of_negative(a: Any) -> Any:
    """Exp of a number not above 0 with 5 bits before the point; the result has none."""
    quarter = np.int64(1) << 24
    rest = (a & (quarter - 1)) - quarter
    result = exp_of_quarter(doubled(rest, 5))
    remainder = rest - a
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for k in range(7):
        if remainder & (np.int64(1) << (24 + k)):
            result = high_half(result, np.int64(factors[k]))
    return LIMIT if a == 0 else result


@njit(cache=True, nogil=True)
def reciprocal_above_one(a: Any) -> Any:
    """1 / (1 + x) for x in [0, 1), without bits before the point."""
    total = a + LIMIT
    half = (total + (1 if total >= 0 else -1)) // 2
    x = np.int64(1515870810) + high_half(half, np.int64(-1010580540))
    for _ in range(3):
        rest = (np.int64(1) << 29) - high_half(half, x)
        x = x + doubled(high_half(x, rest), 2)
    return doubled(x, 1)


@njit(cache=True, nogil=True)
def leading_zeros(value: Any) -> Any:
    count = 0
    while count < 32 and not (value >> (31 - count)) & 1:
        count += 1
    return count


@njit(cache=True, nogil=True)
def softmax(rows: Values, significand: Any, shift: Any, least: int, low: int, high: int, out: Values) -> None:
    """Each row's exponentials over their sum, in 1/256; `least` is the difference from which they are 0."""
    for row in range(rows.shape[0]):
        greatest = rows[row, 0]
        for k in range(rows.shape[1]):
            greatest = max(greatest, rows[row, k])
        total = np.int64(0)
        for k in range(rows.shape[1]):
            difference = rows[row, k] - greatest
            if difference >= least:
                scaled = high_half(doubled(difference, shift), np.int64(significand))
                total += halved(exp_of_negative(scaled), 12)
        zeros = leading_zeros(total)
        bits_over = 12 - zeros
        scale = reciprocal_above_one((total << zeros) - (np.int64(1) << 31))
        for k in range(rows.shape[1]):
            difference = rows[row, k] - greatest
            value = np.int64(low)
            if difference >= least:
                scaled = high_half(doubled(difference, shift), np.int64(significand))
                value = halved(high_half(scale, exp_of_negative(scaled)), bits_over + 31 - 8) + low
            out[row, k] = min(max(value, low), high)
