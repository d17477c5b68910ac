"""How real numbers stand as integers: widths, scales, zero points, and the width sums are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.kernels import requantise as kernels
from accelsim.errors import InputError

Array = NDArray[Any]
Reals = NDArray[np.float32]

#: Widths a tensor's elements may have, and widths sums may be kept in.
WIDEST_TENSOR_BITS = 16
WIDEST_ACCUMULATOR_BITS = 64

#: What becomes of sums that an accumulator does not hold.
Overflow = Literal["error", "wrap", "saturate"]


@dataclass(frozen=True, slots=True)
class IntegerType:
    """Signed (two's complement) or unsigned integers of `bits`; `narrow` leaves out the one farthest from zero."""

    bits: int
    signed: bool = True
    narrow: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= WIDEST_ACCUMULATOR_BITS:
            raise InputError(f"an integer of {self.bits} bits; widths are 1 to {WIDEST_ACCUMULATOR_BITS}")
        if self.low > self.high or self.low == self.high == 0:
            raise InputError(f"{self.label} holds no number but 0; give it one bit more")

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) + self.narrow if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1 - self.narrow

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest NumPy type that holds every value."""
        size = next(size for size in (8, 16, 32, 64) if size >= self.bits)
        return np.dtype(f"{'int' if self.signed else 'uint'}{size}")

    @property
    def label(self) -> str:
        """As errors name it.

        >>> IntegerType(4, signed=False).label
        'uint4'
        """
        return f"{'' if self.signed else 'u'}int{self.bits}{' (narrow)' if self.narrow else ''}"

    def nearest(self, quotients: Reals, zeros: NDArray[np.int64], rounding: str = "even") -> Array:
        """The nearest integers to `quotients`, plus `zeros`, clamped to the range. Raises `InputError` for NaN."""
        if np.isnan(quotients).any():
            raise InputError("NaN has no integer")
        half = np.copysign(np.float32(0.5), quotients)
        rounded = np.rint(quotients) if rounding == "even" else np.trunc(quotients + half)
        low, high = ((end - zeros).astype(np.float32) for end in (self.low, self.high))
        clamped = np.clip(rounded, low, high).astype(np.int64)
        return np.asarray((clamped + zeros).astype(self.dtype))


INT8, UINT8 = IntegerType(8), IntegerType(8, signed=False)
INT16, UINT16, INT32 = IntegerType(16), IntegerType(16, signed=False), IntegerType(32)


@dataclass(frozen=True)
class Format:
    """What the integers of a tensor stand for: real = scale * (integer - zero point).

    `scale` and `zero_point` have one entry for the whole tensor or one a channel (for weights, one an output
    channel). Scales are single precision numbers. Raises `InputError` where one is not positive and finite, or a
    zero point is no value of the type. Other types and other scales are an `Encoding`.
    """

    type: IntegerType
    scale: tuple[float, ...] = (1.0,)
    zero_point: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if not self.scale or len(self.scale) != len(self.zero_point):
            raise InputError(f"{len(self.scale)} scales with {len(self.zero_point)} zero points")
        for scale in self.scale:
            if not (isfinite(scale) and scale > 0):
                raise InputError(f"scale = {scale} is not a positive number")
        if not isinstance(self.type, IntegerType):
            raise InputError(f"{self.type} is no IntegerType; an Encoding takes other numbers")
        wide = IntegerType(self.type.bits, self.type.signed)
        for zero in self.zero_point:
            if not wide.low <= zero <= wide.high:
                raise InputError(f"zero point {zero} is outside {wide.label} ({wide.low} to {wide.high})")

    @property
    def channels(self) -> int:
        """How many scales there are; 1 for a whole tensor."""
        return len(self.scale)

    @property
    def symmetric(self) -> bool:
        return not any(self.zero_point)

    @cached_property
    def scales(self) -> Reals:
        return np.array(self.scale, np.float32)

    @cached_property
    def zeros(self) -> NDArray[np.int64]:
        return np.array(self.zero_point, np.int64)

    @property
    def ends(self) -> tuple[float, float]:
        """Least and greatest real number that a rounding leaves."""
        pairs = list(zip(self.scale, self.zero_point, strict=True))
        low, high = self.type.low, self.type.high
        return min(scale * (low - zero) for scale, zero in pairs), max(scale * (high - zero) for scale, zero in pairs)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of `shape`, channels last, may have these scales."""
        return self.channels in (1, shape[-1])

    @property
    def label(self) -> str:
        return f"{self.type.label} x {self.scale[0]:.6g}{'...' if self.channels > 1 else ''}"

    def real(self, integers: Array) -> Reals:
        """Single precision numbers that integers of this format, channels innermost, stand for."""
        shifted = integers.astype(np.int64) - self.zeros
        return np.asarray(shifted.astype(np.float32) * self.scales)

    def nearest(self, reals: Array, rounding: str = "even") -> Array:
        """The nearest integers of this format, clamped to its range.

        `rounding` of halves: "even", or "away" from zero as TensorFlow Lite rounds. Raises `InputError` for NaN.
        """
        values = np.asarray(reals, np.float32)
        if self.channels > 1 or self.type.bits > WIDEST_TENSOR_BITS:
            with np.errstate(over="ignore"):
                return self.type.nearest(values / self.scales, self.zeros, rounding)
        out = np.empty(values.shape, self.type.dtype)
        flat = np.ascontiguousarray(values).reshape(-1)
        ends = self.zero_point[0], self.type.low, self.type.high
        if not kernels.rounded(flat, self.scales[0], *ends, rounding == "away", out.reshape(-1)):
            raise InputError("NaN has no integer")
        return out

    def checked(self, place: str, integers: Array) -> Array:
        """`integers` in the type's own array type. Raises `InputError` where they are none or outside its range."""
        if integers.dtype.name in ("int4", "uint4", "int2", "uint2"):
            integers = integers.astype(np.int8)
        if integers.dtype.kind not in "iu":
            raise InputError(f"{place}: values of type {integers.dtype} where {self.type.label} is expected")
        if integers.size:
            least, most = int(integers.min()), int(integers.max())
            if least < self.type.low or most > self.type.high:
                held = f"{self.type.label} holds {self.type.low} to {self.type.high}"
                raise InputError(f"{place}: values from {least} to {most}; {held}")
        return integers.astype(self.type.dtype, copy=False)


@dataclass(frozen=True, slots=True)
class Accumulator:
    """The width in which products are summed and what happens to sums that do not fit.

    "error" raises, "wrap" keeps the low bits, and "saturate" stops at the end of the range after every single
    addition, in the order bias, then kernel taps in raster order, then input channels.
    """

    bits: int = 32
    overflow: Overflow = "error"

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= WIDEST_ACCUMULATOR_BITS:
            raise InputError(f"an accumulator of {self.bits} bits; widths are 2 to {WIDEST_ACCUMULATOR_BITS}")
        if self.overflow not in ("error", "wrap", "saturate"):
            raise InputError(f"overflow = '{self.overflow}' is not error, wrap or saturate")

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1

    def holds(self, least: int, most: int) -> bool:
        return self.low <= least and most <= self.high

    def settled(self, place: str, sums: Array) -> Array:
        """Exact `sums` (int64) as an accumulator that wraps or refuses leaves them."""
        if not sums.size or self.holds(int(sums.min()), int(sums.max())):
            return sums
        if self.overflow == "wrap":
            spread = np.uint64(WIDEST_ACCUMULATOR_BITS - self.bits)
            return (sums.astype(np.uint64) << spread).astype(np.int64) >> spread.astype(np.int64)
        least, most = int(sums.min()), int(sums.max())
        raise InputError(
            f"{place}: sums from {least:,} to {most:,} overflow an accumulator of {self.bits} bits; widen it, or say "
            "overflow='wrap' or 'saturate'"
        )
