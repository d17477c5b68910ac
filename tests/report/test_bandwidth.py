"""Bytes over time in few spans: none is lost, whatever the spans."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.report.bandwidth import MOST_BINS, Rates, binned, coarser, rates_of, rates_table
from accelsim.timing.bandwidth import Passed

AMOUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=30)


@st.composite
def passed(draw, longest):
    """Requests from somewhat before a period to some periods later."""
    amounts = draw(AMOUNTS)
    steps = draw(st.lists(st.integers(1, 300), min_size=len(amounts), max_size=len(amounts)))
    begin = draw(st.integers(-500, 500))
    cycles = begin + np.cumsum([0, *steps])
    moved = np.cumsum([0, *amounts]).astype(np.float64)
    return Passed(cycles.astype(np.int64), moved, draw(st.integers(1, longest)))


@given(passed(longest=5000))
def test_a_period_has_all_that_passes(one):
    (rates,), period = binned({"dram": one}), one.period_cycles
    assert len(rates.bytes_per_cycle) == min(period, MOST_BINS)
    moved = (rates.bytes_per_cycle * np.diff(rates.cycles)).sum()
    assert moved == pytest.approx(one.moved_bytes[-1])
    assert (rates.cycles[0], rates.cycles[-1]) == (0, period)


@given(passed(longest=40))
def test_a_cycle_of_a_period_is_the_sum_over_periods(one):
    (rates,), period = binned({"dram": one}), one.period_cycles
    expected = np.zeros(period)
    for cycle in range(int(one.cycles[0]), int(one.cycles[-1])):
        expected[cycle % period] += np.diff(one.at(np.array([cycle, cycle + 1])))[0]
    assert rates.bytes_per_cycle == pytest.approx(expected, abs=1e-6)


@given(AMOUNTS, st.integers(1, 40))
def test_fewer_spans_have_the_same_bytes(amounts, most):
    cycles = np.cumsum([0, *range(1, len(amounts) + 1)])
    rates = coarser(Rates("dram", cycles, np.array(amounts, float)), most)
    assert len(rates.bytes_per_cycle) <= most
    assert rates.cycles[-1] == cycles[-1]
    moved = (rates.bytes_per_cycle * np.diff(rates.cycles)).sum()
    assert moved == pytest.approx(sum(amounts * np.diff(cycles)))


@given(st.lists(AMOUNTS, max_size=3))
def test_tables_hold_it_all(each):
    rates = [Rates(str(k), np.arange(len(a) + 1), np.array(a, float)) for k, a in enumerate(each)]
    back = rates_of(rates_table(rates))
    assert [(r.memory, r.cycles.tolist(), r.bytes_per_cycle.tolist()) for r in back] == [
        (r.memory, r.cycles.tolist(), r.bytes_per_cycle.tolist()) for r in rates
    ]


def test_where_nothing_passes_there_is_nothing():
    assert binned({"dram": Passed(np.zeros(0, np.int64), np.zeros(0), 10)}) == ()
