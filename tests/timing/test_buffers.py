"""How much buffers hold, and how little they can do with, against tokens counted one by one."""

from dataclasses import replace
from random import Random
from types import MappingProxyType

import pytest

from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import bind, with_interval
from accelsim.timing.occupancy import peak_tokens
from accelsim.timing.simulate import schedule
from tests.random_networks import random_case
from tests.timing.test_against_naive import naive_stages

NETWORKS = 150


def unbounded(granularity, seed):
    """A random case whose source is no faster than the slowest stage, with a buffer an edge."""
    case = random_case(Random(f"buffers {granularity} {seed}"), granularity)
    accelerator = case.accelerator.model_copy(update={"fork": "copy"})
    mapping = replace(case.mapping, capacities=MappingProxyType({}))
    design = bind(case.net, accelerator, mapping)
    pace = max(design.bottleneck_cycles, case.pace or 0)
    case = replace(case, accelerator=accelerator, mapping=mapping, pace=pace, frames=1)
    return case, with_interval(design, pace)


def reads_nothing(stage):
    return bool(stage.readers) and not any(reader.upto[-1] for reader in stage.readers)


def peaks(case, peaks_from=0):
    """Most tokens on every edge, counted from a cycle on; edges in the order of a design's."""
    return [reader.peak for stage in naive_stages(case, peaks_from) for reader in stage.readers]


@pytest.mark.slow
@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_peaks_of_one_frame_and_of_the_steady_state(granularity):
    steady = 0
    for seed in range(NETWORKS):
        case, design = unbounded(granularity, seed)
        trace = schedule(design, granularity, "paced")
        assert peak_tokens(trace, alone=True).tolist() == peaks(case)
        if trace.growing:
            # windows that lie in the padding altogether wait for nothing and run ahead of the source; frames that
            # stay apart take longer than the slowest stage's work, which is what the source is paced at
            apart = case.accelerator.engine.window_frames == "apart"
            assert apart or any(reads_nothing(stage) for stage in naive_stages(case))
            continue
        steady += 1
        latency = int(trace.last.max()) - (trace.frames - 1) * case.pace
        settled = trace.frames + -(-latency // case.pace) + 1
        # frames beyond the period that is looked at, for stages that start on one before it is offered
        following = replace(case, frames=settled + 2 * trace.period_frames + 2)
        assert peak_tokens(trace).tolist() == peaks(following, settled * case.pace)
    assert steady > 0.9 * NETWORKS


@pytest.mark.slow
@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_bounds_are_the_least_capacities_that_do_not_get_stuck(granularity):
    tight = 0
    for seed in range(NETWORKS):
        case, design = unbounded(granularity, seed)
        for name, bound in edge_bounds(design, granularity).items():
            assert not is_stuck(case, name, bound)
            assert bound == 1 or is_stuck(case, name, bound - 1)
            tight += bound > 1
    assert tight > NETWORKS


def is_stuck(case, edge, capacity):
    mapping = replace(case.mapping, capacities=MappingProxyType({edge: capacity}))
    return any(stage.ended < stage.firings for stage in naive_stages(replace(case, mapping=mapping)))
