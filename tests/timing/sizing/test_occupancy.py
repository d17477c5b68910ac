"""The bound from averages is below sizes that are proved to be least, and not far below."""

import pytest

from accelsim import load_accelerator, load_network, map_network
from accelsim.mapping.design import with_interval
from accelsim.timing.lower import lower
from accelsim.timing.size import paced_sizes
from accelsim.timing.sizing.buffers import buffers_of
from accelsim.timing.sizing.descent import needed_alone
from accelsim.timing.sizing.occupancy import occupancy_bound
from accelsim.timing.sizing.pacing import Pacing
from tests.timing.sizing.test_sizes import fastest_cycles, random_design
from tests.timing.test_schedule import NETWORKS


def bound(design, pace: int, granularity: str) -> int:
    pacing = Pacing(lower(with_interval(design, pace), granularity, "paced"), pace)
    return occupancy_bound(pacing.pipeline, pace, needed_alone(pacing, buffers_of(design, granularity)), ())


@pytest.mark.parametrize("granularity", ["row", "pixel"])
@pytest.mark.parametrize("seed", range(40))
def test_on_random_networks(seed, granularity):
    design = random_design(seed, granularity)
    for pace in (fastest_cycles(design, granularity), 2 * fastest_cycles(design, granularity)):
        assert bool(design.edges) <= bound(design, pace, granularity) <= paced_sizes(design, pace, granularity).elements


@pytest.mark.parametrize("name", NETWORKS)
def test_on_whole_networks_it_is_near(name):
    design = map_network(load_network(name, input_shape=NETWORKS[name]), load_accelerator("streaming-asic"))
    sizes = paced_sizes(design, design.bottleneck_cycles)
    assert 0.8 * sizes.elements <= bound(design, design.bottleneck_cycles, "row") <= sizes.elements
