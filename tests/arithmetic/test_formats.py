from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arithmetic.formats import Accumulator, Format, IntegerType
from accelsim.errors import InputError
from tests.arithmetic.naive import half_away, half_even, summed


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("signed", [False, True])
def test_a_width_holds_as_many_values_as_it_has_patterns(bits, signed):
    kind = IntegerType(bits, signed)
    assert kind.high - kind.low + 1 == 2**bits
    assert np.iinfo(kind.dtype).min <= kind.low <= kind.high <= np.iinfo(kind.dtype).max
    assert kind.dtype.itemsize * 8 < 2 * max(bits, 8)


def test_narrow_integers_are_symmetric():
    assert (IntegerType(8, narrow=True).low, IntegerType(8, narrow=True).high) == (-127, 127)
    assert IntegerType(2, narrow=True).low == -IntegerType(2, narrow=True).high


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"scale": (0.0,)}, "scale = 0.0 is not a positive number"),
        ({"scale": (float("nan"),)}, "not a positive number"),
        ({"scale": (float("inf"),)}, "not a positive number"),
        ({"scale": (-1.0,)}, "not a positive number"),
        ({"zero_point": (128,)}, r"zero point 128 is outside int8 \(-128 to 127\)"),
        ({"scale": (1.0, 2.0)}, "2 scales with 1 zero points"),
        ({"scale": (), "zero_point": ()}, "0 scales"),
    ],
)
def test_formats_that_are_none(arguments, words):
    with pytest.raises(InputError, match=words):
        Format(IntegerType(8), **arguments)


@pytest.mark.parametrize("bits", [0, 65, -3])
def test_widths_that_are_none(bits):
    with pytest.raises(InputError, match="widths are 1 to 64"):
        IntegerType(bits)


formats = st.builds(
    lambda bits, signed, scale, part: Format(
        IntegerType(bits, signed),
        (float(np.float32(scale)),),
        (round(IntegerType(bits, signed).low + part * (2**bits - 1)),),
    ),
    st.integers(1, 16), st.booleans(), st.floats(1e-6, 1e6), st.floats(0, 1),
)  # fmt: skip


@settings(deadline=None)
@given(formats, st.sampled_from(["even", "away"]), st.lists(st.floats(-1e9, 1e9, width=32), min_size=1, max_size=20))
def test_rounding_is_that_of_exact_quotients_rounded_to_single_precision(kind, rounding, reals):
    nearest = half_even if rounding == "even" else half_away
    expected = []
    for real in np.array(reals, np.float32):
        with np.errstate(over="ignore"):
            quotient = real / np.float32(kind.scale[0])
        low, high = kind.type.low, kind.type.high
        if not np.isfinite(quotient):
            expected.append(high if quotient > 0 else low)
            continue
        expected.append(min(max(nearest(Fraction(float(quotient))) + kind.zero_point[0], low), high))
    made = kind.nearest(np.array(reals, np.float32), rounding)
    # Single precision has no halves above 2^23, where adding one would round: such quotients are clamped anyhow.
    assert made.tolist() == expected


@settings(deadline=None)
@given(formats)
def test_every_integer_survives_being_real(kind):
    integers = np.arange(kind.type.low, kind.type.high + 1)
    assert np.array_equal(kind.nearest(kind.real(integers)), integers)


def test_nan_has_no_integer():
    with pytest.raises(InputError, match="NaN has no integer"):
        Format(IntegerType(8)).nearest(np.array([0.0, np.nan], np.float32))


def test_values_outside_a_format_are_named():
    with pytest.raises(InputError, match=r"x: values from -9 to 3; int4 holds -8 to 7"):
        Format(IntegerType(4)).checked("x", np.array([3, -9]))
    with pytest.raises(InputError, match="values of type float64 where int4 is expected"):
        Format(IntegerType(4)).checked("x", np.array([1.0]))


@settings(deadline=None)
@given(st.integers(2, 64), st.sampled_from(["error", "wrap"]), st.lists(st.integers(-(2**62), 2**62), min_size=1))
def test_accumulators_wrap_or_refuse(bits, overflow, sums):
    accumulator = Accumulator(bits, overflow)
    expected = [summed([total], 0, bits, overflow) for total in sums]
    if None in expected:
        with pytest.raises(InputError, match=f"overflow an accumulator of {bits} bits"):
            accumulator.settled("layer", np.array(sums, np.int64))
    else:
        assert accumulator.settled("layer", np.array(sums, np.int64)).tolist() == expected


@pytest.mark.parametrize("arguments", [(1, "wrap"), (65, "wrap"), (32, "ignore")])
def test_accumulators_that_are_none(arguments):
    with pytest.raises(InputError):
        Accumulator(*arguments)
