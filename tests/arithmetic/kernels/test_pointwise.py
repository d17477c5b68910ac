"""Additions in single precision, with and without the processor's fused instruction."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arithmetic.kernels import pointwise
from accelsim.arithmetic.operations.processor import fuses

#: Small enough a range for sums that double precision holds exactly.
factors = st.floats(2**-10, 2**6, width=32)
constants = st.floats(-(2**16), 2**16, width=32)
values = st.integers(0, 255) | st.integers(-128, 127)


def rounded_once(first: int, second: int, one: float, other: float, fixed: float) -> int:
    """Both fused multiply-adds exactly, each rounded to single precision; then half to even."""
    inner = np.float32(float(Fraction(second) * Fraction(float(other)) + Fraction(float(fixed))))
    outer = np.float32(float(Fraction(first) * Fraction(float(one)) + Fraction(float(inner))))
    return round(float(min(max(outer, np.float32(-128)), np.float32(127))))


def added(kernel, first, second, one, other, fixed):
    out = np.empty(1, np.int8)
    numbers = (np.float32(one), np.float32(other), np.float32(fixed))
    kernel(np.array([first], np.int16), np.array([second], np.int16), *numbers, True, -128, 127, out)
    return int(out[0])


@settings(deadline=None)
@given(values, values, factors, factors, constants)
def test_sums_are_rounded_once_an_addition(first, second, one, other, fixed):
    assert added(pointwise.add_by_float, first, second, one, other, fixed) == rounded_once(
        first, second, one, other, fixed
    )


@pytest.mark.skipif(not fuses(), reason="kernels are interpreted, or the processor has no fused multiply-add")
@settings(deadline=None)
@given(values, values, factors, factors, constants)
def test_the_fused_instruction_gives_the_same_bits(first, second, one, other, fixed):
    assert added(pointwise.add_fused, first, second, one, other, fixed) == rounded_once(
        first, second, one, other, fixed
    )
