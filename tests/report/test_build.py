"""Parts of a report asked for alone, and levels found in either way, are those of the whole."""

import pytest

import accelsim as acs
from accelsim.mapping.design import with_interval
from accelsim.report.build import simulated_parts
from accelsim.timing import occupancy
from accelsim.timing.kernels.occupancy import CYCLES_A_CHANGE


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


@pytest.mark.parametrize("pace_cycles", [10000, 10**9])
def test_the_peak_of_a_sum_by_a_table_or_by_sorting_is_that_of_its_levels(pace_cycles):
    """A table of one entry a cycle where the period is short, sorting where it is long."""
    net = acs.load_network("se_resnet50", (1, 3, 32, 32))
    design = with_interval(acs.map_network(net, acs.load_accelerator("streaming-asic")), pace_cycles)
    trace = acs.schedule(design)
    slots = 2 * sum(int(trace.pipeline.tokens[p]) for p in trace.pipeline.producer) * trace.period_frames
    assert (trace.period_cycles > CYCLES_A_CHANGE * slots) is (pace_cycles > 10000)
    for edges in ([3], range(0, len(design.edges), 3), range(len(design.edges))):
        _, level = occupancy.levels(trace, edges)
        assert occupancy.simultaneous_peak_elements(trace, edges) == level.max()
