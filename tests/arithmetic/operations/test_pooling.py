"""Means and maxima of integers against fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim as acs
from accelsim.arithmetic.formats import Accumulator, Format, IntegerType
from accelsim.errors import InputError
from accelsim.network.layers import Pool, Reduce
from tests.arithmetic.layers import one_layer, plain
from tests.arithmetic.naive import by_float

INT8 = IntegerType(8)


def channels_first(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 0))[None]


def executed(inet, x):
    return np.moveaxis(acs.execute(inet, channels_first(x))["y"][0], 0, -1)


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.none() | st.tuples(st.integers(1, 5), st.integers(1, 5)), st.floats(2**-6, 4, width=32), st.integers(-128, 127),
)  # fmt: skip
def test_means_over_tiles(seed, size, tile, scale, zero):
    """The partial tile's mean is of its own elements; a tile of None is the whole map."""
    x = np.random.default_rng(seed).integers(-128, 128, (*size, 3)).astype(np.int8)
    source, output = Format(INT8, (0.5,), (7,)), Format(INT8, (float(scale),), (zero,))
    made = executed(one_layer(Reduce("mean", tile), [(source, *x.shape)], output), x)
    th, tw = size if tile is None else tile
    for (r, c, n), value in np.ndenumerate(made):
        part = x[r * th : (r + 1) * th, c * tw : (c + 1) * tw, n].astype(int)
        multiplier = np.float32(0.5) / (np.float32(scale) * np.float32(part.size))
        assert value == by_float(int(part.sum()) - 7 * part.size, multiplier, zero, -128, 127)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.booleans())
def test_averages_over_windows(seed, kernel, stride, padding, counted):
    x = np.random.default_rng(seed).integers(0, 256, (7, 3)).astype(np.uint8)
    kind = Format(IntegerType(8, False), (0.25,), (100,))
    padding = min(padding, kernel - 1)
    layer = Pool("average", (kernel,), (stride,), ((padding, padding),), (1,), count_include_pad=counted)
    made = executed(one_layer(layer, [(kind, *x.shape)], kind), x)
    for (position, channel), value in np.ndenumerate(made):
        start = position * stride - padding
        inside = [int(x[k, channel]) - 100 for k in range(start, start + kernel) if 0 <= k < 7]
        count = kernel if counted else len(inside)
        multiplier = np.float32(0.25) / (np.float32(0.25) * np.float32(count))
        assert value == by_float(sum(inside), multiplier, 100, 0, 255)


@pytest.mark.parametrize("operation", ["maximum", "minimum"])
def test_extremes_are_among_the_values(operation):
    x = np.random.default_rng(0).integers(-128, 128, (6, 5, 4)).astype(np.int8)
    kind = Format(INT8, (0.5,), (3,))
    made = executed(one_layer(Reduce(operation, (4, 2)), [(kind, *x.shape)], kind), x)
    function = np.max if operation == "maximum" else np.min
    for (r, c), value in [(p, made[p]) for p in np.ndindex(2, 3)]:
        assert np.array_equal(value, function(x[r * 4 : r * 4 + 4, c * 2 : c * 2 + 2], axis=(0, 1)))


def test_maxima_over_windows_ignore_the_padding():
    x = np.full((2, 2, 1), -128, np.int8)
    layer = Pool("maximum", (2, 2), (1, 1), ((1, 1), (1, 1)), (1, 1))
    assert (executed(one_layer(layer, [(plain(8), 2, 2, 1)], plain(8)), x) == -128).all()


def test_a_sum_that_may_overflow_is_refused():
    layer, x = Reduce("mean"), np.zeros((20, 20, 1), np.int8)
    inet = one_layer(layer, [(plain(8), *x.shape)], plain(8), accumulator=Accumulator(16))
    with pytest.raises(
        InputError, match=r"one: y: a sum of 400 values of int8 may reach -51,200 to 50,800, more than .* 16"
    ):
        executed(inet, x)
    assert not executed(one_layer(layer, [(plain(8), *x.shape)], plain(8), accumulator=Accumulator(17)), x).any()


def test_halves_of_divided_means_go_away_from_zero():
    x = np.array([[1], [0], [-1], [-2]], np.int8).reshape(4, 1)
    layer = Pool("average", (2,), (2,), ((0, 0),), (1,))
    inet = one_layer(layer, [(plain(8), 4, 1)], plain(8), requantiser="fixed_point", dividing=frozenset({"y"}))
    assert executed(inet, x)[:, 0].tolist() == [1, -2]
    assert [Fraction(1, 2), Fraction(-3, 2)] == [Fraction(int(x[k, 0]) + int(x[k + 1, 0]), 2) for k in (0, 2)]


def test_means_over_more_axes_than_a_window_has():
    x = np.random.default_rng(0).integers(-128, 128, (2, 3, 2, 4, 5)).astype(np.int8)
    kind = Format(INT8, (0.5,), (7,))
    for tile in (None, (2, 2, 1, 3)):
        made = executed(one_layer(Reduce("mean", tile), [(kind, *x.shape)], plain(8)), x)
        flat = one_layer(Reduce("mean"), [(kind, 1, x[..., 0].size if tile is None else 1, 5)], plain(8))
        if tile is None:
            assert np.array_equal(made.ravel(), executed(flat, x.reshape(1, -1, 5)).ravel())
        else:
            part = x[:2, 2:, :1, 3:].reshape(1, -1, 5)
            same = one_layer(Reduce("mean"), [(kind, *part.shape)], plain(8))
            assert np.array_equal(made[0, 1, 0, 1], executed(same, part).ravel())
