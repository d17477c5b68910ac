"""What numbers stand for that no integer kernel takes: floating point of few bits, and scales a block."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.formats import Array, Format, IntegerType, Reals
from accelsim.arithmetic.minifloats import FloatType
from accelsim.errors import InputError

NumberType = IntegerType | FloatType


@dataclass(frozen=True, eq=False)
class Encoding:
    """real = scale * (number - zero point), computed with as real numbers.

    `scales` (single precision) and `zeros` have one shape: () for the whole tensor, or as many trailing axes of the
    tensor (*spatial, channels) as they differ along, each of the tensor's size or of 1. Raises `InputError` where a
    scale is not positive and finite, or a zero point is no number of the type or other than 0 of floating point.
    """

    type: NumberType
    scales: Reals = field(default_factory=lambda: np.ones((), np.float32))
    zeros: NDArray[np.int64] = field(default_factory=lambda: np.zeros((), np.int64))

    def __post_init__(self) -> None:
        if self.scales.shape != self.zeros.shape or not self.scales.size:
            raise InputError(f"scales of shape {self.scales.shape} with zero points of shape {self.zeros.shape}")
        positive = np.isfinite(self.scales) & (self.scales > 0)
        if not positive.all():
            raise InputError(f"scale = {self.scales[~positive][0]} is not a positive number")
        low, high = (self.type.low, self.type.high) if isinstance(self.type, IntegerType) else (0, 0)
        outside = self.zeros[(self.zeros < low) | (self.zeros > high)]
        if outside.size:
            raise InputError(f"zero point {outside[0]} of {self.type.label}, where they are {low} to {high}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Encoding):
            return NotImplemented
        return self.type == other.type and same_scales(self, other)

    def __hash__(self) -> int:
        return hash((self.type, self.scales.shape, float(self.scales.flat[0])))

    @property
    def channels(self) -> int:
        """How many scales there are; 1 for a whole tensor."""
        return int(self.scales.size)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of `shape` (*spatial, channels) may have these scales."""
        sizes = self.scales.shape
        own = shape[len(shape) - len(sizes) :]
        return len(sizes) <= len(shape) and all(n in (1, m) for n, m in zip(sizes, own, strict=True))

    @property
    def label(self) -> str:
        return f"{self.type.label} x {self.scales.flat[0]:.6g}{'...' if self.channels > 1 else ''}"

    @property
    def ends(self) -> tuple[float, float]:
        """Least and greatest real number that a rounding leaves; infinite where it does not saturate."""
        scales = self.scales.astype(np.float64)
        if isinstance(self.type, IntegerType):
            low, high = (scales * (end - self.zeros) for end in (self.type.low, self.type.high))
            return float(low.min()), float(high.max())
        end = self.type.largest * float(scales.max()) if self.type.bounded else inf
        return -end, end

    def real(self, numbers: Array) -> Reals:
        """Single precision numbers that numbers of this encoding, of shape (*spatial, channels), stand for."""
        exact = numbers if isinstance(self.type, FloatType) else numbers.astype(np.int64) - self.zeros
        with np.errstate(over="ignore"):
            return np.asarray(exact.astype(np.float32) * self.scales)

    def nearest(self, reals: Array, rounding: str = "even") -> Array:
        """The nearest numbers of this encoding, halves of integers as `Format.nearest` takes them.

        Raises `InputError` for NaN where the type has none.
        """
        with np.errstate(over="ignore"):
            quotients = np.asarray(np.asarray(reals, np.float32) / self.scales)
        if isinstance(self.type, FloatType):
            # ONNX adds the zero point of types without NaN only; of -0 that makes 0.
            return self.type.nearest(quotients + self.zeros if self.type.specials == "none" else quotients)
        return self.type.nearest(quotients, self.zeros, rounding)

    def checked(self, place: str, numbers: Array) -> Array:
        """`numbers` in the type's own array type; any floating point will do that holds nothing else.

        Raises `InputError` where they are none or the type has others only.
        """
        if isinstance(self.type, IntegerType):
            return Format(self.type).checked(place, numbers)
        if numbers.dtype.kind not in "fV" or numbers.dtype.type is np.void:
            raise InputError(f"{place}: values of type {numbers.dtype} where numbers of {self.type.label} are expected")
        exact = numbers.astype(np.float64)
        try:
            held = self.type.nearest(exact)
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        others = (held != exact) & ~(np.isnan(held) & np.isnan(exact))
        if others.any():
            nearest = f"the nearest is {held[others][0]:.9g}"
            raise InputError(f"{place}: {exact[others][0]:.9g} is no {self.type.label}; {nearest}")
        return held


Stored = Format | Encoding


def same_scales(one: Stored, other: Stored) -> bool:
    return np.array_equal(one.scales, other.scales) and np.array_equal(one.zeros, other.zeros)
