"""What designs wired alike share is what each would have found by itself."""

from dataclasses import replace

import numpy as np
import pytest

import accelsim as acs
from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.wiring import KEPT_WIRINGS, once_a_wiring
from accelsim.timing.bounds import latency_bound_cycles
from accelsim.timing.lower import lower

GRANULARITIES = ("row", "pixel")


def designs(name="mobilenet_v3_small", shape=(1, 3, 64, 64)):
    """One network on machines of many sizes, and apart from it the same network read again."""
    net, again = acs.load_network(name, shape), acs.load_network(name, shape)
    for multipliers in (2000, 300, 2000, 150, 700):
        machine = acs.load_accelerator("streaming-asic", settings={"engine.multipliers": multipliers})
        yield acs.map_network(net, machine), acs.map_network(replace(again, name="other"), machine)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_what_is_kept_is_what_is_found_alone(granularity):
    for one, other in designs():
        alone = replace(other, network=replace(other.network))
        assert one.wiring == alone.wiring
        assert edge_bounds(one, granularity) == edge_bounds(alone, granularity)
        assert latency_bound_cycles(one, granularity) == latency_bound_cycles(alone, granularity)
        tables = zip(lower(one, granularity, "paced"), lower(alone, granularity, "paced"), strict=True)
        assert all(np.array_equal(kept, found) for kept, found in tables)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_it_is_found_once_for_designs_wired_alike(granularity):
    calls = []
    counted = once_a_wiring(lambda design, granularity: calls.append(design))
    first, second = (design for design, _ in list(designs())[:2])
    for _ in range(2):
        counted(first, granularity)
    assert len(calls) == 1
    counted(second, granularity)
    alike = [stage.together for stage in first.stages] == [stage.together for stage in second.stages]
    assert len(calls) == (1 if granularity == "row" or alike else 2)


def test_only_the_last_wirings_are_kept():
    design = next(designs())[0]
    calls = []
    counted = once_a_wiring(lambda design, granularity: calls.append(design))
    others = [replace(design, stages=design.stages[:count]) for count in range(1, KEPT_WIRINGS["row"] + 1)]
    for each in (design, *others, others[-1], design):
        counted(each, "row")
    assert len(calls) == len(others) + 2
