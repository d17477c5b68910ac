from fractions import Fraction
from itertools import pairwise
from math import inf, isnan, nan

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arithmetic.minifloats import FloatType
from accelsim.errors import InputError

#: Types by the names that ml_dtypes gives them.
NAMED = {
    "float8_e4m3fn": FloatType(4, 3, 7, "nan"), "float8_e4m3fnuz": FloatType(4, 3, 8, "negative_zero"),
    "float8_e5m2": FloatType(5, 2, 15, "infinities"), "float8_e5m2fnuz": FloatType(5, 2, 16, "negative_zero"),
    "float4_e2m1fn": FloatType(2, 1, 1), "float6_e2m3fn": FloatType(2, 3, 1), "float6_e3m2fn": FloatType(3, 2, 3),
    "float8_e3m4": FloatType(3, 4, 3, "infinities"), "float8_e4m3": FloatType(4, 3, 7, "infinities"),
    "float8_e4m3b11fnuz": FloatType(4, 3, 11, "negative_zero"), "bfloat16": FloatType(8, 7, 127, "infinities"),
}  # fmt: skip

types = st.builds(
    FloatType, st.integers(2, 5), st.integers(1, 4), st.integers(0, 20),
    st.sampled_from(["infinities", "nan", "negative_zero", "none"]), st.booleans(),
)  # fmt: skip
#: Powers of two far beyond and far below all of these types, and what single precision has in between.
singles = st.floats(width=32, allow_nan=False) | st.floats(-600, 600, width=32) | st.floats(-(2**-6), 2**-6, width=32)


def magnitudes(kind):
    """Numbers from 0 up by code, and the one that would come after the largest."""
    made, count = [], 2 ** (kind.exponent + kind.mantissa)
    for code in range(count + 1):
        exponent, mantissa = divmod(code, 2**kind.mantissa)
        significand = Fraction(mantissa, 2**kind.mantissa) + (exponent > 0)
        made.append(significand * Fraction(2) ** (max(exponent, 1) - kind.bias))
    unused = {"infinities": 2**kind.mantissa, "nan": 1, "negative_zero": 0, "none": 0}[kind.specials]
    return made[: count - unused + 1]


def nearest(kind, real):
    """The nearest of all numbers, the one of even code of two; a number as a fraction, or what is none."""
    if isnan(real):
        return nan
    known = magnitudes(kind)
    magnitude = Fraction(float(abs(real))) if abs(real) < inf else known[-1] * 2
    code = min(range(len(known)), key=lambda k: (abs(known[k] - magnitude), k % 2))
    found = at_code(kind, known, code)
    return -found if real < 0 else found


def at_code(kind, known, code):
    """What a magnitude whose nearest is that of `code` becomes; the last is beyond the largest."""
    if code < len(known) - 1:
        return float(known[code])
    if kind.saturates or kind.specials == "none":
        return float(known[-2])
    return inf if kind.specials == "infinities" else nan


def same(made, expected):
    return np.array_equal(np.asarray(made, np.float64), np.asarray(expected, np.float64), equal_nan=True)


@settings(deadline=None, max_examples=300)
@given(types, st.lists(singles, min_size=1, max_size=20))
def test_the_nearest_number_is_that_of_all_numbers(kind, reals):
    assert same(kind.nearest(np.array(reals, np.float32)), [nearest(kind, real) for real in reals])


@settings(deadline=None, max_examples=60)
@given(types)
def test_halves_between_all_numbers_go_to_the_even_code(kind):
    known = magnitudes(kind)
    halves = [float((a + b) / 2) for a, b in pairwise(known)]
    even = np.array([at_code(kind, known, code + code % 2) for code in range(len(halves))])
    assert same(kind.nearest(np.array(halves)), even)
    assert same(kind.nearest(-np.array(halves)), -even)


@settings(deadline=None, max_examples=60)
@given(types)
def test_every_number_is_its_own_nearest_and_fits_its_array_type(kind):
    known = np.array([float(number) for number in magnitudes(kind)[:-1]])
    made = kind.nearest(np.concatenate([known, -known]))
    assert same(made, np.concatenate([known, -known]))
    assert made.dtype == kind.dtype
    assert kind.largest == known[-1]
    with np.errstate(over="ignore"):
        assert kind.dtype == np.float16 or not same(known.astype(np.float16), known)


@pytest.mark.parametrize("saturates", [False, True])
@pytest.mark.parametrize("name", NAMED)
def test_all_codes_and_what_lies_between_them_are_those_of_another_library(name, saturates):
    dtype, known = np.dtype(getattr(ml_dtypes, name)), NAMED[name]
    kind = FloatType(known.exponent, known.mantissa, known.bias, known.specials, saturates)
    assert kind.bits == ml_dtypes.finfo(dtype).bits
    codes = np.arange(2**kind.bits, dtype=np.uint16 if kind.bits > 8 else np.uint8).view(dtype).astype(np.float32)
    finite = codes[np.isfinite(codes)]
    rng = np.random.default_rng(0)
    with np.errstate(over="ignore"):
        between = np.concatenate([finite * np.float32(1 + part) for part in (-(2**-4), -(2**-20), 2**-20, 2**-4)])
    drawn = np.ldexp(rng.normal(size=4000), rng.integers(-20, 20, 4000)).astype(np.float32)
    beyond = np.array([1e30, -1e30, inf, -inf], np.float32)
    reals = np.concatenate([finite, between, drawn, beyond])
    clipped = np.clip(reals, -kind.largest, kind.largest) if kind.bounded else reals
    with np.errstate(all="ignore"):
        expected = clipped.astype(np.float32).astype(dtype)
    made = kind.nearest(reals)
    assert same(made, expected.astype(np.float32))
    assert made.astype(dtype).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", NAMED)
def test_nan_stays_or_is_refused(name):
    if NAMED[name].specials == "none":
        with pytest.raises(InputError, match=r"NaN is no float\de\dm\d"):
            NAMED[name].nearest(np.array([0, nan]))
    else:
        assert np.isnan(NAMED[name].nearest(np.array([nan]))).all()


def test_names_are_those_of_onnx():
    labels = {NAMED[name].label for name in list(NAMED)[:7]}
    assert labels == {
        "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float4e2m1", "float6e2m3", "float6e3m2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 3, 7), "0 bits of exponent and 3 of mantissa; there are at least 1 and 1"),
        ((1, 3, 0, "infinities"), "there are at least 2 and 1"),
        ((4, 0, 7), "4 bits of exponent and 0 of mantissa"),
        ((4, 3, 7, "none of them"), "specials = 'none of them' is not infinities, nan, negative_zero, none"),
        ((8, 3, 0), "has numbers that single precision has not"),
        ((4, 3, 150), "float8e4m3 with bias 150 has numbers that single precision has not"),
    ],
)
def test_types_that_are_none(arguments, words):
    with pytest.raises(InputError, match=words):
        FloatType(*arguments)
