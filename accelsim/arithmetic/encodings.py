"""What numbers stand for that no integer kernel takes: floating point of few bits, and scales a block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf, prod

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.formats import INT8, Array, Format, IntegerType, Reals
from accelsim.arithmetic.minifloats import FloatType
from accelsim.errors import InputError

NumberType = IntegerType | FloatType


@dataclass(frozen=True)
class Encoding:
    """real = scale * (number - zero point), computed with as real numbers.

    `shape` is that of the scales and zero points, which are given in raster order: () for one, or as many trailing
    axes of a tensor (*spatial, channels) as they differ along, each of the tensor's own size or of 1. Scales are
    single precision numbers, zero points those of the type: 0 for floating point. Raises `InputError` for others.
    """

    type: NumberType
    scale: tuple[float, ...] = (1.0,)
    zero_point: tuple[int, ...] = (0,)
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.scale) != prod(self.shape):
            raise InputError(f"{len(self.scale)} scales in shape {list(self.shape)}")
        if isinstance(self.type, FloatType) and any(self.zero_point):
            raise InputError(f"a zero point of {self.type.label} other than 0")
        assert self._flat.channels == len(self.scale)

    @cached_property
    def _flat(self) -> Format:
        """The same scales and zero points in a row, of integers where these are none; they are checked there."""
        return Format(self.type if isinstance(self.type, IntegerType) else INT8, self.scale, self.zero_point)

    @property
    def channels(self) -> int:
        """How many scales there are; 1 for a whole tensor."""
        return len(self.scale)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of `shape` (*spatial, channels) may have these scales."""
        own = shape[len(shape) - len(self.shape) :]
        return len(self.shape) <= len(shape) and all(n in (1, m) for n, m in zip(self.shape, own, strict=True))

    @cached_property
    def scales(self) -> Reals:
        return self._flat.scales.reshape(self.shape)

    @cached_property
    def zeros(self) -> NDArray[np.int64]:
        return self._flat.zeros.reshape(self.shape)

    @property
    def label(self) -> str:
        return f"{self.type.label} x {self.scale[0]:.6g}{'...' if self.channels > 1 else ''}"

    @property
    def ends(self) -> tuple[float, float]:
        """Least and greatest real number that a rounding leaves; infinite where it does not saturate."""
        if isinstance(self.type, IntegerType):
            return self._flat.ends
        end = self.type.largest * max(self.scale) if self.type.bounded else inf
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
            quotients = np.asarray(reals, np.float32) / self.scales
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
