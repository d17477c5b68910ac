import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arithmetic.requantise import FloatMultiplier, fixed_point
from tests.arithmetic.naive import by_fixed, by_float

sums32 = st.lists(
    st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-(2**31), 2**31 - 1, 0, 1, -1]), min_size=1, max_size=30
)
RANGES = st.sampled_from([(-128, 127), (0, 255), (-32768, 32767), (0, 65535), (0, 1), (-8, 7)])


@settings(deadline=None)
@given(sums32, st.floats(2**-30, 300, width=32), RANGES, st.floats(0, 1))
def test_a_float_multiplier_rounds_half_to_even(sums, multiplier, ends, part):
    low, high = ends
    zero = round(low + part * (high - low))
    made = FloatMultiplier(np.array([multiplier], np.float32)).apply(
        np.array(sums, np.int32)[:, None], zero, low, high, np.dtype(np.int32)
    )
    assert made[:, 0].tolist() == [by_float(total, multiplier, zero, low, high) for total in sums]


def test_halves_go_to_the_even_neighbour():
    sums = np.array([[-5, -3, -1, 1, 3, 5]], np.int32).T
    made = FloatMultiplier(np.array([0.5], np.float32)).apply(sums, 0, -128, 127, np.dtype(np.int8))
    assert made[:, 0].tolist() == [-2, -2, 0, 0, 2, 2]


@settings(deadline=None)
@given(sums32, st.floats(1e-9, 1e4), RANGES, st.floats(0, 1))
def test_a_fixed_multiplier_rounds_the_product_and_then_the_shift(sums, real, ends, part):
    low, high = ends
    zero = round(low + part * (high - low))
    multiplier = fixed_point(np.array([real]))
    made = multiplier.apply(np.array(sums, np.int32)[:, None], zero, low, high, np.dtype(np.int32))
    significand, shift = int(multiplier.significand[0]), int(multiplier.shift[0])
    assert made[:, 0].tolist() == [by_fixed(total, significand, shift, zero, low, high) for total in sums]


@settings(deadline=None)
@given(sums32, st.floats(1e-6, 2), RANGES)
def test_a_fixed_multiplier_rounded_once_is_the_nearest(sums, real, ends):
    low, high = ends
    multiplier = fixed_point(np.array([real]), rounded_once=True)
    made = multiplier.apply(np.array(sums, np.int32)[:, None], 0, low, high, np.dtype(np.int32))
    significand, places = int(multiplier.significand[0]), 31 - int(multiplier.shift[0])
    expected = [min(max((total * significand + 2 ** (places - 1)) >> places, low), high) for total in sums]
    assert made[:, 0].tolist() == expected


@settings(deadline=None)
@given(st.lists(st.integers(-(2**46), 2**46), min_size=1, max_size=20), st.floats(1e-9, 1))
def test_sums_of_more_than_32_bits_are_scaled_by_16(sums, real):
    multiplier = fixed_point(np.array([real]))
    made = multiplier.apply(np.array(sums, np.int64)[:, None], 0, -32768, 32767, np.dtype(np.int16))
    full, shift = int(multiplier.significand[0]), int(multiplier.shift[0])
    short = (full + 2**15) >> 16 if full < 0x7FFF0000 else 0x7FFF
    expected = [min(max((total * short + 2 ** (14 - shift)) >> (15 - shift), -32768), 32767) for total in sums]
    assert made[:, 0].tolist() == expected


@settings(deadline=None)
@given(st.floats(1e-9, 1e8))
def test_fixed_point_has_31_significant_bits(real):
    multiplier = fixed_point(np.array([real]))
    value = int(multiplier.significand[0]) * 2.0 ** (int(multiplier.shift[0]) - 31)
    assert value == 0 if real < 2**-32 else abs(value - real) <= real * 2**-30 + 2.0**-60


def test_multipliers_may_differ_by_channel():
    sums = np.array([[100, 100]], np.int32)
    made = FloatMultiplier(np.array([0.5, 0.25], np.float32)).apply(sums, 1, -128, 127, np.dtype(np.int8))
    assert made.tolist() == [[51, 26]]
