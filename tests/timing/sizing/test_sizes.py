"""Sizes against the simulator, which decides nothing about them: enough, a token less is not, and none below found."""

from dataclasses import replace
from itertools import product
from math import prod
from random import Random

import pytest

from accelsim import bind, load_accelerator, load_network, map_network, schedule, size_buffers, with_capacities
from accelsim.errors import DeadlockError, InfeasibleError, InputError
from accelsim.mapping.design import Design
from accelsim.timing.size import fastest_cycles, least_sizes, paced_sizes
from accelsim.timing.sizing.buffers import buffers_of
from tests.random_networks import random_case

SEEDS = range(40)


def random_design(seed: int, granularity: str) -> Design:
    case = random_case(Random(seed), granularity)
    return bind(case.net, case.accelerator, replace(case.mapping, capacities={}))


def unit(design: Design) -> str:
    return design.mapping.granularity


def interval(design: Design):
    """Cycles between frames from a greedy source; infinite where it deadlocks."""
    try:
        return schedule(design, unit(design), "greedy").interval_cycles
    except DeadlockError:
        return float("inf")


def shrunk(design: Design, step: int = 1):
    """Every buffer in turn a token smaller, where it has more than one."""
    capacities = dict(design.mapping.capacities)
    for buffer in buffers_of(design, unit(design))[::step]:
        names = [design.edges[k].name for k in buffer.edges]
        if capacities[names[0]] > 1:
            yield with_capacities(design, capacities | {name: capacities[name] - 1 for name in names})


@pytest.mark.parametrize("granularity", ["row", "pixel"])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_keep_the_pace_and_with_a_token_less_do_not(seed, granularity):
    design = random_design(seed, granularity)
    for pace in (fastest_cycles(design, granularity), fastest_cycles(design, granularity) + 3):
        sizes = paced_sizes(design, pace, granularity)
        assert interval(sizes.design) <= pace
        for smaller in shrunk(sizes.design):
            assert interval(smaller) > pace


@pytest.mark.parametrize("granularity", ["row", "pixel"])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_run_and_with_a_token_less_deadlock(seed, granularity):
    design = least_sizes(random_design(seed, granularity), granularity).design
    assert interval(design) < float("inf")
    for smaller in shrunk(design):
        assert interval(smaller) == float("inf")


def test_a_pace_that_no_buffers_reach_is_told_with_its_cycle():
    design = map_network(load_network("resnet18", input_shape=(3, 32, 32)), load_accelerator("streaming-asic"))
    with pytest.raises(InfeasibleError, match="no buffers reach"):
        size_buffers(design, interval_cycles=design.bottleneck_cycles - 1)


@pytest.mark.parametrize("pace", [0, -5, 3.0, "9"])
def test_a_pace_is_a_whole_number_of_cycles(pace):
    design = map_network(load_network("resnet18", input_shape=(3, 32, 32)), load_accelerator("streaming-asic"))
    with pytest.raises(InputError, match="whole number of cycles"):
        size_buffers(design, interval_cycles=pace)


def cheaper(design: Design, elements: int, most: int = 3_000) -> list[Design] | None:
    """`design` with every choice of capacities that comes to less than `elements`; None where these are too many."""
    buffers = buffers_of(design, unit(design))
    spare = elements - sum(buffer.elements for buffer in buffers)
    ranges = [range(1, 2 + spare // buffer.elements) for buffer in buffers]
    if prod(len(sizes) for sizes in ranges) > most:
        return None
    return [
        with_capacities(
            design, {design.edges[k].name: n for b, n in zip(buffers, tokens, strict=True) for k in b.edges}
        )
        for tokens in product(*ranges)
        if sum(b.elements * n for b, n in zip(buffers, tokens, strict=True)) < elements
    ]


@pytest.mark.parametrize("seed", range(0, 300, 3))
def test_what_is_proved_to_be_least_is_least_of_all(seed):
    """Every cheaper choice of capacities, simulated: none runs, and none keeps the pace."""
    design = random_design(seed, "row")
    least, full = least_sizes(design), paced_sizes(design, fastest_cycles(design))
    for sizes, pace in ((least, float("inf")), (full, fastest_cycles(design))):
        assert sizes.bound_elements <= sizes.elements
        below = cheaper(design, sizes.bound_elements, most=300)
        for choice in below or ():
            assert interval(choice) == float("inf") or interval(choice) > pace


def test_most_small_networks_are_small_enough_to_try_all():
    designs = [random_design(seed, "row") for seed in range(0, 300, 3)]
    tried = [cheaper(design, least_sizes(design).elements, most=300) is not None for design in designs]
    assert sum(tried) >= 40


def test_only_pipelines_are_sized():
    turns = map_network(load_network("resnet18"), load_accelerator("systolic-npu"))
    for pace in (None, 10**7):
        with pytest.raises(InputError, match="segments that take turns on the engine"):
            size_buffers(turns, interval_cycles=pace)
    with pytest.raises(InputError, match="a str is no Design"):
        size_buffers("resnet18")
