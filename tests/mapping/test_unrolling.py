"""The mapper's claims, against every unrolling there is."""

from itertools import product
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import InfeasibleError, InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.mapper import map_network
from accelsim.mapping.unrolling import (
    Folded,
    Unroll,
    extended_multipliers,
    fastest_multipliers,
    fewest_multipliers,
    multiplier_choices,
    unroll,
)
from accelsim.mapping.work import LoopNest, loop_nest
from accelsim.network.graph import Node, network
from accelsim.network.layers import (
    Activation,
    Combine,
    Convolution,
    Dense,
    Input,
    Pool,
    Product,
    Reduce,
    TransposedConvolution,
)

small = st.sampled_from([1, 2, 3, 4, 6])
nests = st.builds(LoopNest, small, small, st.sampled_from([1, 4, 9]), st.sampled_from([1, 2, 5]))
#: A frame is whole rows of the pixels that can go together.
frames = st.builds(lambda nest, rows: Folded(nest, nest.pixels * rows), nests, st.integers(1, 6))
layers = st.lists(frames, min_size=1, max_size=3).map(lambda folded: {f"layer{k}": f for k, f in enumerate(folded)})


def every_unrolling(nest):
    loops = ([d for d in range(1, n + 1) if n % d == 0] for n in (nest.inputs, nest.outputs, nest.window, nest.pixels))
    return [Unroll(*factors) for factors in product(*loops)]


def frame_cycles(folded, multipliers):
    """Work of a frame, which divides."""
    macs = prod((folded.nest.inputs, folded.nest.outputs, folded.nest.window, folded.pixels))
    assert macs % multipliers == 0
    return macs // multipliers


def every_allocation(folded):
    """Multipliers of all layers, in every combination."""
    choices = [{u.multipliers for u in every_unrolling(f.nest)} for f in folded.values()]
    return product(*choices)


def slowest(folded, counts):
    return max(frame_cycles(f, count) for f, count in zip(folded.values(), counts, strict=True))


@given(nest=nests)
def test_choices_are_all_products_of_divisors(nest):
    counts = {u.multipliers for u in every_unrolling(nest)}
    assert list(multiplier_choices(nest)) == sorted(counts)
    for count in counts:
        chosen = unroll(nest, count)
        assert chosen.multipliers == count
        assert chosen in every_unrolling(nest)


@given(nest=nests)
def test_inputs_are_unrolled_before_outputs_before_windows_before_pixels(nest):
    for count in multiplier_choices(nest):
        same = [u for u in every_unrolling(nest) if u.multipliers == count]
        assert unroll(nest, count) == max(same, key=lambda u: (u.inputs, u.outputs, u.window, u.pixels))


@settings(deadline=None)
@given(folded=layers, target=st.integers(1, 400))
def test_a_target_takes_the_fewest_multipliers(folded, target):
    enough = [sum(counts) for counts in every_allocation(folded) if slowest(folded, counts) <= target]
    if not enough:
        with pytest.raises(InfeasibleError, match="full unrolling gives"):
            fewest_multipliers(folded, target)
        return
    counts = fewest_multipliers(folded, target)
    assert slowest(folded, counts.values()) <= target
    assert sum(counts.values()) == min(enough)


@settings(deadline=None, max_examples=200)
@given(folded=layers, budget=st.integers(1, 200), floor=st.integers(1, 60))
def test_a_budget_makes_the_slowest_layer_as_fast_as_can_be(folded, budget, floor):
    affordable = [slowest(folded, counts) for counts in every_allocation(folded) if sum(counts) <= budget]
    if not affordable:
        with pytest.raises(InfeasibleError, match="need a multiplier each"):
            fastest_multipliers(folded, budget, floor)
        return
    counts = fastest_multipliers(folded, budget, floor)
    assert sum(counts.values()) <= budget
    assert all(count in multiplier_choices(f.nest) for f, count in zip(folded.values(), counts.values(), strict=True))
    # below the floor nothing is gained; what is left over may still go there
    assert max(slowest(folded, counts.values()), floor) == max(min(affordable), floor)


@settings(deadline=None)
@given(folded=layers, budget=st.integers(3, 200))
def test_what_is_left_over_buys_no_further_step(folded, budget):
    counts = fastest_multipliers(folded, budget)
    left = budget - sum(counts.values())
    for name, count in counts.items():
        larger = [m for m in multiplier_choices(folded[name].nest) if m > count]
        assert not larger or larger[0] - count > left


@settings(deadline=None)
@given(folded=layers, budget=st.integers(1, 200), floor=st.integers(1, 60), data=st.data())
def test_multipliers_that_are_kept_leave_the_rest_the_best_there_is(folded, budget, floor, data):
    some = data.draw(st.lists(st.sampled_from(list(folded)), unique=True))
    known = {name: data.draw(st.sampled_from(multiplier_choices(folded[name].nest))) for name in some}
    kept = [
        counts
        for counts in every_allocation(folded)
        if sum(counts) <= budget and all(m >= known.get(name, 1) for name, m in zip(folded, counts, strict=True))
    ]
    if not kept:
        with pytest.raises(InfeasibleError, match="multipliers kept and one for every new layer"):
            extended_multipliers(folded, known, budget, floor)
        return
    counts = extended_multipliers(folded, known, budget, floor)
    assert sum(counts.values()) <= budget
    assert all(counts[name] >= count for name, count in known.items())
    assert max(slowest(folded, counts.values()), floor) == max(min(slowest(folded, c) for c in kept), floor)


@settings(deadline=None)
@given(folded=layers, budget=st.integers(3, 100), more=st.integers(1, 50))
def test_a_larger_budget_is_never_slower(folded, budget, more):
    fewer, larger = (slowest(folded, fastest_multipliers(folded, b).values()) for b in (budget, budget + more))
    assert larger <= fewer


def test_no_layers_take_no_multipliers():
    assert fastest_multipliers({}, 1) == {}
    assert fewest_multipliers({}, 1) == {}


def convolution(channels, kernel=3, groups=1):
    pad = kernel // 2
    return Convolution(channels, (kernel,) * 2, (1, 1), ((pad, pad),) * 2, (1, 1), groups)


NET = network(
    "net",
    [
        Node("x", Input(4, (6, 6))),
        Node("a", convolution(4), ("x",)),
        Node("relu", Activation("relu"), ("a",)),
        Node("b", convolution(4, groups=4), ("relu",)),
        Node("mean", Reduce("mean"), ("b",)),
        Node("gate", Dense(4), ("mean",)),
        Node("y", Combine("multiply"), ("b", "gate")),
    ],
    ["y"],
)


def machine(multipliers, lanes=4, clock=10**6):
    engine = {"multipliers": multipliers, "lanes": lanes, "mac_latency_cycles": 1, "lane_latency_cycles": 1}
    return Accelerator.model_validate({"name": "machine", "clock": clock, "engine": engine})


@pytest.mark.parametrize("budget", [3, 4, 7, 16, 60, 200, 10**6])
def test_a_network_gets_the_fastest_pipeline(budget):
    design = map_network(NET, machine(budget))
    nests = {name: loop_nest(NET, NET.by_name[name]) for name in ("a", "b", "gate")}
    pixels = {"a": 36, "b": 36, "gate": 1}
    allowed = [
        counts
        for counts in product(*(sorted({u.multipliers for u in every_unrolling(nest)}) for nest in nests.values()))
        if sum(counts) <= budget
    ]
    moving = 36  # the source, the reduction and the multiply take a cycle a pixel
    best = min(
        max(moving, *(NET.macs_of(NET.by_name[n]) / c for n, c in zip(nests, counts, strict=True)))
        for counts in allowed
    )
    assert design.bottleneck_cycles == best
    assert design.multipliers <= budget
    for name, nest in nests.items():
        stage = design.stage_by_name[name]
        assert stage.work_cycles == nest.macs * pixels[name] / stage.multipliers


@pytest.mark.parametrize("fps", [100, 1000, 5000, 20000])
def test_a_rate_takes_the_fewest_multipliers(fps):
    interval = 10**6 // fps
    design = map_network(NET, machine(10**6), target_fps=fps)
    nests = [loop_nest(NET, NET.by_name[name]) for name in ("a", "b", "gate")]
    macs = [NET.macs_of(NET.by_name[name]) for name in ("a", "b", "gate")]
    least = [
        min(u.multipliers for u in every_unrolling(nest) if total <= interval * u.multipliers)
        for nest, total in zip(nests, macs, strict=True)
    ]
    assert design.multipliers == sum(least)
    assert design.bottleneck_cycles <= interval == design.pace_cycles


def test_what_cannot_be_reached_says_what_would_help():
    for accelerator, fps, told in (
        (machine(2), None, "3 layers need a multiplier each, the engine has 2 .*raise engine.multipliers"),
        (machine(10**6), 10**5, "moves its elements in 36 cycles a frame, the target allows 10 .*raise engine.lanes"),
        (machine(8), 20000, "multipliers, the engine has 8 .*raise engine.multipliers or lower the frame rate"),
        (machine(8), 10**7, "less than a cycle each.*raise clock"),
    ):
        with pytest.raises(InfeasibleError, match=told):
            map_network(NET, accelerator, target_fps=fps)


@pytest.mark.parametrize("fps", [0, -1, float("nan")])
def test_a_rate_must_be_positive(fps):
    with pytest.raises(InputError, match="must be positive"):
        map_network(NET, machine(100), target_fps=fps)


def test_loops_of_every_layer_that_multiplies():
    net = network(
        "net",
        [
            Node("x", Input(6, (4, 8))),
            Node("grouped", Convolution(4, (3, 1), (1, 1), ((1, 1), (0, 0)), (1, 1), groups=2), ("x",)),
            Node("up", TransposedConvolution(2, (3, 4), (2, 2), ((0, 0),) * 2, (1, 1), (0, 0)), ("x",)),
            Node("dense", Dense(5), ("x",)),
            Node("scores", Product(3, transposed=True), ("x", "x")),
            Node("pool", Pool("maximum", (2, 2), (2, 2), ((0, 0),) * 2, (1, 1)), ("x",)),
        ],
        ["grouped", "up", "dense", "scores", "pool"],
    )
    loops = {node.name: loop_nest(net, node) for node in net.nodes}
    assert loops == {
        "x": None,
        "grouped": LoopNest(inputs=3, outputs=4, window=3, pixels=8),
        "up": LoopNest(inputs=6, outputs=2, window=2 * 2, pixels=(8 - 1) * 2 + 4),
        "dense": LoopNest(inputs=6, outputs=5, window=1, pixels=8),
        "scores": LoopNest(inputs=2, outputs=3 * 8, window=1, pixels=8),
        "pool": None,
    }


def test_a_network_without_multiplications_is_mapped_like_another():
    nodes = [Node("image", Input(4, (8, 8))), Node("pool", Reduce("mean"), ("image",))]
    machine = Accelerator.model_validate(
        {
            "name": "small",
            "clock": 10**9,
            "engine": {"multipliers": 4, "lanes": 4, "mac_latency_cycles": 1, "lane_latency_cycles": 1},
        }
    )
    design = map_network(network("pooling", nodes, ["pool"]), machine)
    assert map_network(design.network, machine, like=design).multipliers == 0


def test_what_is_left_goes_where_a_multiplier_saves_most_of_a_row():
    """The third layer's row falls from 16 cycles to 8, the second's from 4 to 2; the first cannot be unrolled.

    A second step of the third saves 2 a multiplier like the first of the second: the tie goes to the earlier.
    """
    layers = {
        "slowest": Folded(LoopNest(1, 1, 1, 1), 100),
        "small": Folded(LoopNest(4, 1, 1, 1), 10),
        "large": Folded(LoopNest(4, 4, 1, 1), 5),
    }
    assert fastest_multipliers(layers, 4) == {"slowest": 1, "small": 1, "large": 2}
    assert fastest_multipliers(layers, 6) == {"slowest": 1, "small": 2, "large": 2}
