"""Multipliers spent on less buffering: in the budget, at the pace, and never worse than the usual mapping."""

from itertools import pairwise
from random import Random

import pytest

from accelsim import InputError, load_accelerator, load_network, map_network, schedule, simulate
from accelsim.timing.map_network import map_curve
from accelsim.timing.size import paced_sizes
from tests.random_networks import random_case
from tests.timing.test_schedule import NETWORKS


def machine(multipliers: int, **settings):
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return load_accelerator("streaming-asic", {"engine.multipliers": multipliers, "engine.lanes": 16, **named})


def small(name: str):
    return load_network(name, input_shape=NETWORKS[name])


@pytest.mark.parametrize("fork", ["shared", "copy"])
@pytest.mark.parametrize("share", [1, 1.3, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_in_the_budget_at_the_pace_and_buffers_no_more_than_the_usual_mapping(name, share, fork):
    net, fps = small(name), 2_000
    fewest = map_network(net, machine(10**6), fps).multipliers
    accelerator = machine(int(share * fewest), fork=fork)
    usual = map_network(net, accelerator, fps)
    design = map_network(net, accelerator, fps, objective="buffering")
    assert design.multipliers <= accelerator.engine.multipliers
    for count in ("peak_elements", "one_frame_peak_elements"):
        assert counted(design, count) <= counted(usual, count)
    assert (
        simulate(design).throughput.interval_cycles == simulate(usual).throughput.interval_cycles == usual.pace_cycles
    )
    assert paced_sizes(design, usual.pace_cycles).elements <= paced_sizes(usual, usual.pace_cycles).elements


def counted(design, field: str) -> int:
    """Sum over all edges of what they hold at most when unbounded."""
    return sum(getattr(role, field) for role in simulate(design).buffering.values())


def test_a_larger_budget_buffers_less_on_networks_with_squeeze_excite():
    net, fps = small("efficientnet_b0"), 2_000
    curve = map_curve(net, machine(10**5), fps)
    assert len(curve) > 2
    assert all(a.multipliers < b.multipliers for a, b in pairwise(curve))
    assert all(a.elements > b.elements and a.stored >= b.stored for a, b in pairwise(curve))
    assert curve[0].design.mapping == map_network(net, machine(10**5), fps).mapping
    for point in curve:
        capacities = paced_sizes(point.design, curve[0].design.pace_cycles).design
        assert schedule(capacities, source="paced").interval_cycles == curve[0].design.pace_cycles


def test_without_a_rate_it_is_as_fast_as_the_fastest():
    net, accelerator = small("mobilenet_v3_small"), machine(512)
    fastest, design = map_network(net, accelerator), map_network(net, accelerator, objective="buffering")
    assert simulate(design).throughput.interval_cycles == simulate(fastest).throughput.interval_cycles
    assert counted(design, "peak_elements") <= counted(fastest, "peak_elements")


@pytest.mark.parametrize("seed", [7001, 7003, 7020])
def test_the_fewest_multipliers_are_not_taken_where_they_hold_more(seed):
    """Two of these random networks hold more at the same pace with the fewest multipliers than with the usual ones."""
    net = random_case(Random(seed), "row").net
    usual, design = (map_network(net, machine(512, engine__lanes=64), objective=o) for o in ("bytes", "buffering"))
    assert counted(design, "peak_elements") <= counted(usual, "peak_elements")


@pytest.mark.parametrize(
    ("preset", "mapping", "told"),
    [("systolic-npu", None, "spatial engine"), ("streaming-asic", "fused", "mapping fused has its own")],
)
def test_what_has_no_multipliers_to_share_out_says_so(preset, mapping, told):
    with pytest.raises(InputError, match=told):
        map_network(small("resnet18"), load_accelerator(preset), mapping=mapping, objective="buffering")
