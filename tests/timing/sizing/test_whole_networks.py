"""Whole networks by rows: what is proved is proved, full throughput is full, and a token less is less."""

from random import Random

import pytest

from accelsim import DeadlockError, load_accelerator, load_network, map_network, schedule, with_capacities
from accelsim.timing.size import least_sizes, paced_sizes
from accelsim.timing.sizing.buffers import buffers_of


@pytest.fixture(params=["resnet50", "efficientnet_b0", pytest.param("efficientdet_d0", marks=pytest.mark.slow)])
def design(request):
    return map_network(load_network(request.param), load_accelerator("streaming-asic"))


def smaller(sized, count: int):
    """`sized` with one of its larger buffers a token smaller, several times, drawn by a fixed seed."""
    capacities = dict(sized.mapping.capacities)
    names = [[sized.edges[k].name for k in buffer.edges] for buffer in buffers_of(sized, "row")]
    for edges in Random(1).sample([edges for edges in names if capacities[edges[0]] > 1], count):
        yield with_capacities(sized, capacities | {name: capacities[name] - 1 for name in edges})


def test_the_least_is_proved_and_a_token_less_deadlocks(design):
    sizes = least_sizes(design)
    assert sizes.elements == sizes.bound_elements
    schedule(sizes.design, "row", "greedy", frames=2)
    for less in smaller(sizes.design, 12):
        with pytest.raises(DeadlockError):
            schedule(less, "row", "greedy", frames=1)


@pytest.mark.slow
def test_full_throughput_is_full_near_its_bound_and_a_token_less_is_slower(design):
    sizes = paced_sizes(design, design.bottleneck_cycles)
    assert schedule(sizes.design, "row", "paced").interval_cycles == design.bottleneck_cycles
    assert schedule(sizes.design, "row", "greedy").interval_cycles == design.bottleneck_cycles
    assert sizes.bound_elements <= sizes.elements <= 1.1 * sizes.bound_elements
    for less in smaller(sizes.design, 6):
        assert schedule(less, "row", "greedy").interval_cycles > design.bottleneck_cycles
