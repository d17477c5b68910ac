"""Whether capacities keep a pace, decided without running frames, beside the simulator that runs them."""

from random import Random

import numpy as np
import pytest

from accelsim import with_capacities
from accelsim.mapping.design import with_interval
from accelsim.timing.lower import lower
from accelsim.timing.sizing.buffers import buffers_of
from accelsim.timing.sizing.descent import peaks
from accelsim.timing.sizing.pacing import Blockage, Pacing
from tests.timing.sizing.test_sizes import fastest_cycles, interval, random_design


@pytest.mark.parametrize("granularity", ["row", "pixel"])
@pytest.mark.parametrize("seed", range(60))
def test_capacities_keep_a_pace_where_the_simulation_does(seed, granularity):
    design, rng = random_design(seed, granularity), Random(seed)
    pace = fastest_cycles(design, granularity) + rng.choice([0, 0, 1, 7])
    pacing = Pacing(lower(with_interval(design, pace), granularity, "paced"), pace)
    buffers = buffers_of(design, granularity)
    most = peaks(pacing, buffers, pacing.free)
    for share in (0.4, 0.7, 0.9, 0.97):
        capacity = most.copy()
        for buffer in buffers:
            capacity[buffer.edges] = max(1, int(buffer.tokens(most) * rng.uniform(share, 1.1)))
        named = {edge.name: int(tokens) for edge, tokens in zip(design.edges, capacity, strict=True)}
        found = pacing.within(capacity)
        if isinstance(found, Blockage):
            assert interval(with_capacities(design, named)) > pace
            assert found.edges
        else:
            assert interval(with_capacities(design, named)) <= pace
            assert np.all(pacing.rooms(found) <= capacity)


@pytest.mark.parametrize("seed", range(60))
def test_what_is_in_the_way_stands_whatever_the_other_buffers_hold(seed):
    design = random_design(seed, "row")
    pace = fastest_cycles(design)
    pacing = Pacing(lower(with_interval(design, pace), "row", "paced"), pace)
    tight = np.maximum(pacing.rooms(pacing.free) - 1, 1)
    lacking = pacing.lacking(tight)
    if lacking is not None:
        only = np.zeros_like(tight)
        only[list(lacking)] = tight[list(lacking)]
        assert pacing.lacking(only) is not None
