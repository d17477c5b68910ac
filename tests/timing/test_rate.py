"""Buffer sizes that keep the rate: they do, they are little, and what they leave out they leave out on purpose."""

from random import Random

import pytest

import accelsim as acs
from accelsim.errors import InfeasibleError
from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import bind, buffer_of
from accelsim.report.sizing import full_throughput_tokens
from accelsim.timing.lower import token_elements
from accelsim.timing.rate import size_for_rate, waiting_buffers
from accelsim.timing.simulate import schedule
from tests.random_networks import random_case


def elements(design, tokens):
    """Elements of all buffers with `tokens` by edge, a shared buffer counted once."""
    rooms = {}
    for edge in design.edges:
        size = tokens[edge.name] * token_elements(edge.tensor, "row")
        rooms[buffer_of(design, edge)] = max(rooms.get(buffer_of(design, edge), 0), size)
    return sum(rooms.values())


def capacities(design):
    return {edge.name: edge.capacity for edge in design.edges}


@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_random_pipelines_keep_their_rate(granularity):
    sized = 0
    for seed in range(60):
        case = random_case(Random(f"rate {granularity} {seed}"), granularity)
        design = bind(case.net, case.accelerator, case.mapping)
        pace = max(design.pace_cycles, design.bottleneck_cycles)
        try:
            found = size_for_rate(design, granularity)
        except InfeasibleError:
            unbounded = acs.with_capacities(design, {}, granularity)
            paced = bind(case.net, case.accelerator, unbounded.mapping)
            trace = schedule(paced, granularity, "paced")
            assert trace.growing or trace.interval_cycles > pace
            continue
        trace = schedule(found, granularity, "paced")
        assert trace.interval_cycles == pace
        assert all(edge.capacity >= 1 for edge in found.edges)
        sized += 1
    assert sized > 45


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet50", "mobilenet_v3_large"])
@pytest.mark.parametrize("fps", [30, None])
def test_between_the_least_without_deadlock_and_the_peaks(name, fps):
    design = acs.map_network(acs.load_network(name), acs.load_accelerator("streaming-asic"), target_fps=fps)
    found = size_for_rate(design)
    assert acs.simulate(found).throughput.interval_cycles == max(design.pace_cycles, design.bottleneck_cycles)
    most = elements(design, full_throughput_tokens(design))
    assert elements(design, edge_bounds(design, "row")) <= elements(design, capacities(found)) <= most


@pytest.mark.slow
def test_gates_and_pyramids_hold_much_less_than_without_bounds():
    """A multiply whose gate has come does not send its map on faster than the next layer takes it."""
    design = acs.map_network(acs.load_network("efficientnet_b0"), acs.load_accelerator("streaming-asic"), target_fps=30)
    most = elements(design, full_throughput_tokens(design))
    assert elements(design, capacities(size_for_rate(design))) < 0.7 * most


@pytest.mark.slow
@pytest.mark.parametrize("fork", ["shared", "copy"])
def test_a_chain_of_rows_has_windows_and_what_is_spare(fork):
    machine = acs.load_accelerator("streaming-asic", {"fork": fork})
    design = acs.map_network(acs.load_network("vgg16"), machine, target_fps=30)
    assert waiting_buffers(design) == frozenset()
    bounds = edge_bounds(design, "row")
    assert {edge.capacity - bounds[edge.name] for edge in size_for_rate(design).edges} <= {0, 1, 2}


@pytest.mark.slow
def test_a_skip_waits_where_its_map_is_smallest():
    """A projected skip waits behind its projection, where that makes less of it."""
    design = acs.map_network(acs.load_network("resnet50"), acs.load_accelerator("streaming-asic"), target_fps=30)
    for edge in design.edges:
        if edge.role == "skip":
            way = [edge]
            while len(design.edges_from[way[-1].producer]) == 1 and len(design.edges_to[way[-1].producer]) == 1:
                way += design.edges_to[way[-1].producer]
            places = [e.tensor.elements for e in way if buffer_of(design, e) in waiting_buffers(design)]
            assert min(places) == min(e.tensor.elements for e in way)


@pytest.mark.slow
def test_what_is_spilled_has_no_size():
    design = acs.map_network(acs.load_network("efficientnet_b0"), acs.load_accelerator("streaming-asic"), target_fps=30)
    spilled = acs.spill_waits(design)
    found = size_for_rate(spilled)
    for edge in found.edges:
        assert (edge.capacity is None) == (edge.name in spilled.mapping.homes)
    assert acs.simulate(found).throughput.interval_cycles == design.pace_cycles


@pytest.mark.slow
def test_a_source_that_is_too_fast_is_slowed_down():
    design = acs.map_network(acs.load_network("resnet18"), acs.load_accelerator("streaming-asic"), target_fps=30)
    fast = acs.size_for_rate(acs.bind(design.network, design.accelerator, design.mapping))
    assert acs.simulate(fast).throughput.interval_cycles == design.pace_cycles
