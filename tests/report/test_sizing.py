"""Sizes for full throughput: sufficient on any network, in every unit and fork."""

from random import Random

import pytest

from accelsim import InfeasibleError, bind, with_capacities
from accelsim.mapping.design import with_interval
from accelsim.report.sizing import full_throughput_tokens
from accelsim.timing.simulate import schedule
from tests.random_networks import random_case


@pytest.mark.parametrize("granularity", ["row", "pixel"])
@pytest.mark.parametrize("seed", range(25))
def test_peaks_as_capacities_lose_no_cycle(seed, granularity):
    case = random_case(Random(seed), granularity)
    design = with_capacities(bind(case.net, case.accelerator, case.mapping), {}, granularity)
    paced = with_interval(design, max(design.bottleneck_cycles, design.pace_cycles))
    free = schedule(paced, granularity, "paced")
    if free.growing:
        with pytest.raises(InfeasibleError, match="runs ahead"):
            full_throughput_tokens(paced, granularity)
        return
    roomy = with_capacities(paced, full_throughput_tokens(paced, granularity), granularity)
    bounded = schedule(roomy, granularity, "paced")
    assert bounded.interval_cycles == free.interval_cycles
    common = min(len(bounded.completions), len(free.completions))
    assert bounded.completions[:common].tolist() == free.completions[:common].tolist()
