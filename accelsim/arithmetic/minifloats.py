"""Floating point numbers of few bits: what they hold, and the nearest of them to a real number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError

#: Codes that stand for no number: of the greatest exponent, two infinities and NaN, as in IEEE 754; NaN alone, where
#: all bits but the sign are ones; NaN alone, in the place of -0; or none.
Specials = Literal["infinities", "nan", "negative_zero", "none"]

SUFFIXES: dict[Specials, str] = {"infinities": "", "nan": "fn", "negative_zero": "fnuz", "none": ""}
#: Least power of two and greatest exponent that single precision holds.
SINGLE_ENDS = -149, 127


@dataclass(frozen=True, slots=True)
class FloatType:
    """A sign, `exponent` bits less a `bias`, and `mantissa` bits; below exponent 1 numbers are subnormal.

    A number beyond the largest becomes the largest if the type `saturates` or has nothing else, and infinity or NaN
    if not. Arrays of such numbers hold the numbers themselves, in the smallest NumPy type that holds them all.
    Raises `InputError` for widths that are none, and for numbers beyond single precision.
    """

    exponent: int
    mantissa: int
    bias: int
    specials: Specials = "none"
    saturates: bool = True

    def __post_init__(self) -> None:
        if self.specials not in get_args(Specials):
            raise InputError(f"specials = '{self.specials}' is not {', '.join(get_args(Specials))}")
        least_exponent = 2 if self.specials == "infinities" else 1
        if self.exponent < least_exponent or self.mantissa < 1:
            rule = f"there are at least {least_exponent} and 1"
            raise InputError(f"{self.exponent} bits of exponent and {self.mantissa} of mantissa; {rule}")
        if self._lowest < SINGLE_ENDS[0] or self._greatest > SINGLE_ENDS[1]:
            raise InputError(f"{self.label} with bias {self.bias} has numbers that single precision has not")

    @property
    def bits(self) -> int:
        return 1 + self.exponent + self.mantissa

    @property
    def _lowest(self) -> int:
        """Power of two of the least number above 0."""
        return 1 - self.bias - self.mantissa

    @property
    def _greatest(self) -> int:
        """Power of two at or below the largest number."""
        return (1 << self.exponent) - 1 - self.bias - (self.specials == "infinities")

    @property
    def largest(self) -> float:
        """The largest number, without infinity.

        >>> FloatType(4, 3, 7, "nan").largest
        448.0
        """
        missing = 2 if self.specials == "nan" else 1
        return (2.0 - missing * 2.0**-self.mantissa) * 2.0**self._greatest

    @property
    def bounded(self) -> bool:
        """Whether numbers beyond the largest become the largest."""
        return self.saturates or self.specials == "none"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest NumPy type that holds every number."""
        half = self.mantissa <= 10 and self._lowest >= -24 and self._greatest <= 15
        return np.dtype(np.float16 if half else np.float32)

    @property
    def label(self) -> str:
        """As ONNX and errors name it.

        >>> FloatType(4, 3, 8, "negative_zero").label
        'float8e4m3fnuz'
        """
        return f"float{self.bits}e{self.exponent}m{self.mantissa}{SUFFIXES[self.specials]}"

    def nearest(self, reals: NDArray[Any]) -> NDArray[Any]:
        """The nearest numbers, of two as near the one of even code.

        Raises `InputError` for NaN where the type has none.
        """
        exact = np.asarray(reals, np.float64)
        if self.specials == "none" and np.isnan(exact).any():
            raise InputError(f"NaN is no {self.label}")
        power = np.frexp(exact)[1] - 1
        step = np.ldexp(1.0, np.maximum(power, 1 - self.bias) - self.mantissa)
        rounded = self._within(np.rint(exact / step) * step)
        # Adding 0 turns -0 into 0.
        return np.asarray((rounded + 0.0 if self.specials == "negative_zero" else rounded).astype(self.dtype))

    def _within(self, rounded: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.bounded:
            return np.clip(rounded, -self.largest, self.largest)
        beyond = np.copysign(np.inf if self.specials == "infinities" else np.nan, rounded)
        return np.where(np.abs(rounded) > self.largest, beyond, rounded)
