from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc

from accelsim.sweeps.axes import Listed, Ranged
from accelsim.sweeps.space import METHODS, Space
from accelsim.sweeps.study import Sample


def axis(path, size):
    return Listed(path, tuple(range(size)))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_a_grid_is_the_product_of_its_axes_in_any_stretch(sizes, data):
    space = Space(tuple((axis(f"a{k}", size),) for k, size in enumerate(sizes)), None, 0)
    expected = list(product(*(range(size) for size in sizes)))
    assert space.points == len(expected)
    first = data.draw(st.integers(0, space.points - 1))
    last = data.draw(st.integers(first, space.points - 1))
    columns = space.columns(np.arange(first, last + 1))
    assert list(zip(*(column.tolist() for column in columns.values()), strict=True)) == expected[first : last + 1]


def test_axes_that_are_zipped_go_together():
    space = Space(((axis("a", 3), axis("b", 3)), (axis("c", 2),)), None, 0)
    columns = space.columns(np.arange(space.points))
    assert space.points == 6
    assert columns["a"].tolist() == columns["b"].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("method", METHODS)
@given(first=st.integers(0, 300), count=st.integers(1, 40), seed=st.integers(0, 5))
def test_a_stretch_of_draws_is_that_of_all_draws(method, first, count, seed):
    axes = ((Ranged("x", 0.0, 1.0, False, False, None),), (Ranged("y", 1.0, 1000.0, True, True, None),))
    space = Space(axes, Sample(method=method, points=512), seed)
    whole, part = space.columns(np.arange(512)), space.columns(np.arange(first, first + count))
    assert all(np.array_equal(whole[path][first : first + count], part[path]) for path in whole)


@pytest.mark.parametrize("method", ["sobol", "halton"])
def test_a_sequence_leaves_smaller_gaps_than_draws(method):
    draws = {name: METHODS[name](3, 2, 0, 256) for name in ("random", method)}
    assert qmc.discrepancy(draws[method]) < qmc.discrepancy(draws["random"]) / 4


def test_ranges_end_where_they_say():
    places = np.arange(5)
    assert Ranged("x", 1.0, 9.0, False, True, 5).take(places).tolist() == [1, 3, 5, 7, 9]
    assert Ranged("x", 1.0, 16.0, True, True, 5).take(places).tolist() == [1, 2, 4, 8, 16]
    assert Ranged("x", 9.0, 1.0, False, True, 5).take(places).tolist() == [9, 7, 5, 3, 1]
    assert Ranged("x", 0.1, 0.3, False, False, 2).take(np.arange(2)).tolist() == [0.1, 0.3]


def test_numbers_that_round_to_the_same_are_one_point():
    assert Ranged("x", 1.0, 4.0, True, True, 100).size == 4


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_whole_numbers_between_are_all_drawn_alike(low, width):
    shares = (np.arange(width + 1) + 0.5) / (width + 1)
    values = Ranged("x", float(low), float(low + width), False, True, None).drawn(shares)
    assert values.tolist() == list(range(low, low + width + 1))
