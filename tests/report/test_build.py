"""Parts of a report asked for alone, and levels found in either way, are those of the whole."""

import numpy as np
import pytest

import accelsim as acs
from accelsim.report.build import simulated_parts
from accelsim.timing import occupancy


@pytest.fixture(scope="module")
def design():
    net = acs.load_network("se_resnet50", (1, 3, 64, 64))
    return acs.map_network(net, acs.load_accelerator("streaming-asic"))


@pytest.fixture(scope="module")
def report(design):
    return acs.simulate(design)


def test_every_part_alone_is_that_of_the_report(design, report):
    """But for the certificate, which no report has unless it is asked for."""
    for name in type(report.body).model_fields:
        body = simulated_parts(design, [name])
        assert getattr(body, name) == getattr(report.body, name)
        assert body.model_fields_set == {name} - {"certificate"}


def test_levels_by_a_table_are_those_by_sorting(design, monkeypatch):
    trace = acs.schedule(design)
    edges = range(len(design.edges))
    found = []
    for cycles_a_change in (0, 10**9):
        monkeypatch.setattr(occupancy, "CYCLES_A_CHANGE", cycles_a_change)
        times, level = occupancy.levels(trace, edges)
        every = np.arange(0, trace.period_cycles, 97)
        place = np.searchsorted(times, every, side="right") - 1
        found.append((level[place], level.max()))  # before the first change it is what it is after the last
    assert np.array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
