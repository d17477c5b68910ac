"""Canaries: the kernels really run the way this session of tests was asked to run them."""

import numba
import numpy as np
import pytest
from numba import njit

from accelsim.timing.kernels import pipeline


@njit(cache=True)
def element(values, index):
    return values[index]


@njit(cache=True)
def refuse(value):
    if value < 0:
        raise ValueError("negative")
    return value


def test_compiled_unless_told_otherwise():
    compiled = hasattr(pipeline.run, "py_func")
    assert compiled is not bool(numba.config.DISABLE_JIT)


def test_a_kernel_can_raise():
    with pytest.raises(ValueError, match="negative"):
        refuse(-1)


@pytest.mark.skipif(
    not (numba.config.BOUNDSCHECK or numba.config.DISABLE_JIT),
    reason="an index out of bounds is only noticed with NUMBA_BOUNDSCHECK=1 or NUMBA_DISABLE_JIT=1",
)
def test_an_index_out_of_bounds_raises():
    with pytest.raises(IndexError):
        element(np.zeros(3, np.int64), 7)
