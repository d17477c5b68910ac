"""Transforms of squares of outputs against plain loops, and the scheme against windows."""

import numpy as np
import pytest
from numba import njit

from accelsim.arithmetic.kernels import winograd
from accelsim.arithmetic.kernels.tiles import PAIRS_256
from accelsim.arithmetic.kernels.winograd import INPUTS, SUMS, portable_transform, transformed
from accelsim.arithmetic.operations.processor import PORTABLE, instructions

needs_instructions = pytest.mark.skipif(
    instructions() is PORTABLE, reason="kernels are interpreted, or this processor has no instructions for pairs"
)
LANES = PAIRS_256.lanes


def by_loops(matrix, grid, kind):
    side = len(matrix)
    made = np.empty((side, side, grid.shape[2]), kind)
    portable_transform(np.array(matrix), grid, made)
    return made


def test_the_scheme_is_a_convolution_four_times():
    rng = np.random.default_rng(0)
    inputs, weights = rng.integers(-255, 256, (4, 4, 5)), rng.integers(-128, 128, (3, 3, 5, 6))
    products = np.einsum("ijk,ijkn->ijn", by_loops(INPUTS, inputs, np.int64), transformed(weights))
    made = by_loops(SUMS, products, np.int64)
    for y in range(2):
        for x in range(2):
            window = inputs[y : y + 3, x : x + 3]
            assert np.array_equal(made[y, x], 4 * np.einsum("abk,abkn->n", window, weights))


@needs_instructions
@pytest.mark.parametrize("extreme", [False, True])
def test_inputs_are_transformed_as_by_plain_loops(extreme):
    rng = np.random.default_rng(1)
    spread = winograd.spreading(LANES)

    @njit
    def run(source, line, pixel, out, plane):
        spread(source.ctypes.data, line, pixel, out.ctypes.data, plane)

    grid = rng.choice([-8191, 8191] if extreme else np.arange(-8191, 8192), (4, 4, 2 * LANES)).astype(np.int16)
    made = np.zeros((4, 4, 2 * LANES), np.int16)
    run(grid, grid.strides[0], grid.strides[1], made, made.strides[1])
    assert np.array_equal(made, by_loops(INPUTS, grid, np.int64))


@needs_instructions
def test_sums_are_transformed_back_as_by_plain_loops():
    rng = np.random.default_rng(2)
    gather = winograd.gathering(LANES, True)

    @njit
    def run(sums, plane, out, step, bias, scale):
        to = out.ctypes.data
        gather(
            sums.ctypes.data, plane, to, to + step, to + 2 * step, to + 3 * step, bias.ctypes.data, scale.ctypes.data,
            np.float32(0), np.float32(0), np.int32(0),
        )  # fmt: skip

    lanes = winograd.VECTORS * LANES
    sums = rng.integers(-(2**31), 2**31, (4, 4, lanes)).astype(np.int32)
    bias, scale = rng.integers(-999, 999, lanes).astype(np.int32), np.zeros(lanes, np.float32)
    made = np.zeros((2, 2, lanes), np.int32)
    run(sums, sums.strides[1], made, made.strides[1], bias, scale)
    # Both wrap round at 32 bits before two of them are dropped.
    expected = (by_loops(SUMS, sums, np.int64).astype(np.int32) >> 2) + bias
    assert np.array_equal(made, expected)


def test_what_lies_in_a_map_is_copied_from_a_square():
    square = np.arange(4 * 16, dtype=np.int32).reshape(4, 16)
    squares = winograd.Squares(3, 3, 2, 4, 4, (1, 1))
    out = np.full((9, 20), -1, np.int32)
    winograd.inside(square, out, squares, 2, 2, 16)
    expected = np.full((9, 20), -1, np.int32)
    expected[8, 16:] = square[0, :4]
    assert np.array_equal(out, expected)
