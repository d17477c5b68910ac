"""Intervals and overlaps beside what defines them."""

from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arithmetic.agreement import DEVIATIONS, mean, overlap, share
from accelsim.errors import InputError


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_are_where_the_share_is_as_far_off_as_chance_allows(counts):
    """Wilson's interval holds every p with |share - p| within the deviations that p itself has."""
    hits, count = counts
    found = share(hits, count)
    assert 0 <= found.low <= found.value <= found.high <= 1
    for end in (found.low, found.high):
        reach = DEVIATIONS * sqrt(end * (1 - end) / count)
        assert abs(found.value - end) == pytest.approx(reach, abs=1e-9)


def test_the_interval_covers_in_nineteen_of_twenty():
    count, p = 100, 0.8
    chance = [comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(count + 1)]
    covered = sum(c for k, c in enumerate(chance) if share(k, count).low <= p <= share(k, count).high)
    assert 0.93 < covered < 0.97


def test_a_mean_of_many_is_known_as_well_as_its_spread_says():
    values = np.random.default_rng(1).normal(3, 2, 1000)
    found = mean(values)
    half = DEVIATIONS * values.std() / sqrt(values.size)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)
    assert mean(values) == found


def test_overlaps():
    first, second = np.zeros((3, 2, 4), bool), np.zeros((3, 2, 4), bool)
    first[0, 0, :3], second[0, 0, 1:] = True, True
    first[1, 1] = True
    assert overlap(first, second).tolist() == [0.5, 0, 1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: share(3, 2), "3 hits of 2 frames"),
        (lambda: share(0, 0), "0 hits of 0 frames"),
        (lambda: mean(np.array([1, np.nan])), "one finite figure a frame"),
        (lambda: mean(np.zeros(0)), "one finite figure a frame"),
        (lambda: overlap(np.zeros((1, 2), bool), np.zeros((1, 3), bool)), "two of one shape"),
        (lambda: overlap(np.zeros((1, 2)), np.zeros((1, 2))), "of truth values"),
    ],
)
def test_what_is_no_figure_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
