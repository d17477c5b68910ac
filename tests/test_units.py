"""Quantities with units, and integer arithmetic."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.units import BYTES, HERTZ, ceil_div, divisors, parse_bytes, parse_hertz


@given(number=st.integers(0, 10**9), unit=st.sampled_from(sorted(BYTES)), space=st.sampled_from(["", " ", "  "]))
def test_whole_quantities(number, unit, space):
    assert parse_bytes(f"{number}{space}{unit}") == number * BYTES[unit]


@given(number=st.decimals(0, 10**6, places=3), unit=st.sampled_from(sorted(HERTZ)))
def test_fractions_are_exact_or_refused(number, unit):
    exact = Fraction(number) * HERTZ[unit]
    text = f"{number} {unit}"
    if exact.denominator == 1:
        assert parse_hertz(text) == exact
    else:
        with pytest.raises(InputError, match=f'"{text}" is not a whole number of Hz'):
            parse_hertz(text)


def test_units_are_what_they_are_called():
    assert parse_bytes("256 KiB") == 256 * 1024
    assert parse_bytes("1 kB") == 1000
    assert parse_hertz("400 MHz") == 400 * 10**6
    assert parse_bytes(17) == 17


@pytest.mark.parametrize(
    "text", ["", "KiB", "12", "-1 B", "1e3 B", "1,5 kB", "1 2 B", "0x10 B", ". B", "1. B", "nan B"]
)
def test_text_that_is_no_quantity(text):
    with pytest.raises(InputError, match=r"is not a number followed by a unit \(use B, kB, MB"):
        parse_bytes(text)


@pytest.mark.parametrize("unit", ["QB", "kb", "b", "KB", "kib", "Hz"])
def test_units_that_are_not_known(unit):
    with pytest.raises(InputError, match=f"\"64 {unit}\": unknown unit '{unit}' .use B, kB, MB, GB, KiB, MiB, GiB"):
        parse_bytes(f"64 {unit}")


@given(dividend=st.integers(-(10**30), 10**30), divisor=st.integers(1, 10**20))
def test_ceil_div(dividend, divisor):
    quotient = ceil_div(dividend, divisor)
    assert (quotient - 1) * divisor < dividend <= quotient * divisor


@given(number=st.integers(1, 3000))
def test_divisors(number):
    assert divisors(number) == [d for d in range(1, number + 1) if number % d == 0]
