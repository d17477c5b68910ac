"""From sums of products to the integers of the next tensor: multipliers as floats or in fixed point.

A float multiplier is ONNX's: float32(sum) * float32(multiplier), rounded half to even, plus the zero point, clamped.
A fixed-point one is TensorFlow Lite's: a 31-bit significand and a shift. Its reference kernels round the product's
high half and then the shift; those of fully connected layers round once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.formats import Array
from accelsim.arithmetic.kernels import requantise as kernels
from accelsim.errors import InputError

Ints = NDArray[np.int32]
Kernel = Callable[..., Any]


@dataclass(frozen=True)
class FloatMultiplier:
    """One single precision multiplier a channel, or one for all."""

    multiplier: NDArray[np.float32]

    def apply(self, sums: Array, zero_point: int, low: int, high: int, dtype: np.dtype[np.generic]) -> Array:
        """`sums` (any shape, channels innermost) as integers of `dtype` from `low` to `high`."""
        rows = sums.reshape(-1, sums.shape[-1])
        out = np.empty(rows.shape, dtype)
        factors = np.ascontiguousarray(np.broadcast_to(self.multiplier, rows.shape[1:]))
        kernels.by_float(np.ascontiguousarray(rows), factors, zero_point, low, high, out)
        return out.reshape(sums.shape)


@dataclass(frozen=True)
class FixedMultiplier:
    """One significand (31 bits) and shift (positive to the left) a channel, or one for all."""

    significand: Ints
    shift: Ints
    rounded_once: bool = False

    def apply(self, sums: Array, zero_point: int, low: int, high: int, dtype: np.dtype[np.generic]) -> Array:
        rows = sums.reshape(-1, sums.shape[-1])
        out = np.empty(rows.shape, dtype)
        significand, shift = (
            np.ascontiguousarray(np.broadcast_to(array, rows.shape[1:])) for array in (self.significand, self.shift)
        )
        narrow: Kernel = kernels.by_fixed_once if self.rounded_once else kernels.by_fixed
        kernel: Kernel = kernels.by_fixed_wide if sums.dtype == np.int64 else narrow
        kernel(np.ascontiguousarray(rows), significand, shift, zero_point, low, high, out)
        return out.reshape(sums.shape)


Multiplier = FloatMultiplier | FixedMultiplier


def float_multiplier(source: NDArray[np.float32], weight: NDArray[np.float32], output: float) -> FloatMultiplier:
    """Source times weight over output scale, every step in single precision as ONNX Runtime computes it."""
    multiplier = source * weight / np.float32(output)
    if not np.isfinite(multiplier).all():
        raise InputError(f"multiplier {multiplier.max()} of a requantisation is not finite")
    return FloatMultiplier(np.atleast_1d(multiplier).astype(np.float32))


def fixed_point(reals: NDArray[np.float64], rounded_once: bool = False) -> FixedMultiplier:
    """Real multipliers (double precision) in fixed point, each the nearest of 31 significant bits."""
    pairs = [_fixed(float(real)) for real in np.atleast_1d(reals)]
    significand, shift = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    return FixedMultiplier(significand, shift, rounded_once)


def _fixed(real: float) -> tuple[int, int]:
    """Significand in [2^30, 2^31) and power of two; too small to matter is 0, too large the greatest there is."""
    fraction, exponent = frexp(real)
    significand = int(np.floor(fraction * (1 << 31) + 0.5))
    if significand == 1 << 31:
        significand, exponent = 1 << 30, exponent + 1
    if exponent < -31:
        return 0, 0
    if exponent > 30:
        return (1 << 31) - 1, 30
    return significand, exponent
