"""What passes the ports of memories, in closed form, and against loops that count it point by point."""

from collections import defaultdict
from fractions import Fraction
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim as acs
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.design import Design, bind
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.segments.visits import Visits, visits
from accelsim.mapping.streams import streamed
from accelsim.mapping.traffic import pipeline_traffic, visit_traffic
from accelsim.network.graph import Network, Node, network
from accelsim.network.layers import (
    Activation,
    Combine,
    Concat,
    Constant,
    Convolution,
    Dense,
    Input,
    Pool,
    Reduce,
)
from tests.naive_traffic import naive_traffic
from tests.random_segments import drawn, fitting, ones, segmented

seeds = st.integers(0, 10**6)
LEVEL = {"port": {"read_bits": 64, "write_bits": 64, "shared": True}}


def machine(near: int = 10**6, **fields) -> Accelerator:
    levels = {"near": LEVEL | {"size": near}, "far": LEVEL | {"size": 10**9}}
    engine = {"multipliers": 10**6, "lanes": 4, "mac_latency_cycles": 1, "lane_latency_cycles": 1}
    text = {"name": "test", "clock": 10**6, "engine": engine, "memories": levels, "weights": "frame"}
    return Accelerator.model_validate(text | fields)


def conv(channels: int, kernel: int = 3, stride: int = 1, groups: int = 1, axes: int = 2) -> Convolution:
    pad = (kernel // 2, kernel // 2)
    return Convolution(channels, (kernel,) * axes, (stride,) * axes, (pad,) * axes, (1,) * axes, groups)


def chain(source: Input, *layers) -> Network:
    """Layers one after the other, named a, b, c and so on behind x."""
    names = ["x", *"abcdefgh"[: len(layers)]]
    nodes = [Node("x", source)] + [
        Node(n, layer, (names[k],)) for k, (n, layer) in enumerate(zip(names[1:], layers, strict=True))
    ]
    return network("chain", nodes, [names[-1]])


def rows(traffic) -> dict[tuple[str, str, str], tuple[Fraction, Fraction]]:
    """Read and written bytes by tensor, memory and kind, whoever reads."""
    total: dict = defaultdict(lambda: [Fraction(0), Fraction(0)])
    for row in traffic:
        total[row.tensor, row.memory, row.kind][0] += row.read_bytes
        total[row.tensor, row.memory, row.kind][1] += row.written_bytes
    return {key: tuple(both) for key, both in total.items() if any(both)}


def of(design: Design) -> dict[tuple[str, str, str], tuple[Fraction, Fraction]]:
    return rows(visit_traffic(design, visits(design)))


def each_alone(net: Network, hw: Accelerator, **fields) -> Design:
    free = bind(net, hw, Mapping(MappingProxyType(ones(net, hw))))
    segments = tuple(Segment((stage.name,)) for stage in free.stages if not stage.is_source)
    return segmented(net, hw, segments, **fields)


def naively(design: Design, planned: Visits):
    inputs = {k for k, turn in enumerate(planned.turns) if turn.demand.inputs}
    sums = {k for k, turn in enumerate(planned.turns) if turn.demand.partial_sums}
    return naive_traffic(design, planned.homes, inputs, sums)


@settings(max_examples=120, deadline=None)
@given(seeds)
def test_traffic_is_that_of_loops_over_every_point(seed):
    design = drawn(seed)
    planned = fitting(visits, design)
    counted = naively(design, planned)
    assert rows(visit_traffic(design, planned)) == {key: tuple(both) for key, both in counted.rows.items() if any(both)}


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_what_is_stored_covers_every_tensor_once_and_what_is_loaded_was_stored(seed):
    design = drawn(seed)
    planned = fitting(visits, design)
    counted = naively(design, planned)
    stages = design.stage_by_name
    for name in planned.lives:
        if stages[name].is_source:
            assert name not in counted.stored
            continue
        assert set(counted.stored[name].values()) == {1}
        assert len(counted.stored[name]) == stages[name].tensor.elements
    turn = {layer: k for k, segment in enumerate(design.mapping.segments) for layer in segment.layers}
    for (k, name), points in counted.loaded.items():
        assert stages[name].is_source or turn[name] < k
        assert len(points) <= stages[name].tensor.elements


def test_every_map_is_written_once_and_read_once_by_each_segment():
    """Three segments read a; b and c make the sum, which the network gives out and d reads as well."""
    nodes = [
        Node("x", Input(3, (8, 6))),
        Node("a", conv(5), ("x",)),
        Node("b", conv(5), ("a",)),
        Node("c", conv(5, 1), ("a",)),
        Node("sum", Combine("add"), ("b", "c", "a")),
        Node("d", conv(2), ("sum",)),
    ]
    design = each_alone(network("fork", nodes, ["sum", "d"]), machine())
    found, size = of(design), 5 * 48
    homes = visits(design).homes
    assert homes == {"x": "far", "a": "near", "b": "near", "c": "near", "sum": "far", "d": "far"}
    assert found["x", "far", "input"] == (3 * 48, 0)
    assert found["a", "near", "input"] == (3 * size, 0)
    assert found["a", "near", "output"] == (0, size)
    for name in "bc":
        assert found[name, "near", "input"] == (size, 0)
        assert found[name, "near", "output"] == (0, size)
    assert found["sum", "far", "input"] == (size, 0)
    assert found["sum", "far", "output"] == (0, size)
    assert found["d", "far", "output"] == (0, 2 * 48)
    assert found["weights of b", "far", "weight"] == (5 * 5 * 9, 0)


def test_two_readers_in_one_segment_share_a_load():
    nodes = [Node("x", Input(3, (8, 6))), Node("a", conv(4), ("x",)), Node("b", conv(4, 1), ("x",))]
    net = network("fork", [*nodes, Node("sum", Combine("add"), ("a", "b"))], ["sum"])
    for fork in ("shared", "copy"):
        found = of(segmented(net, machine(fork=fork), (Segment(("a", "b", "sum")),)))
        assert found["x", "far", "input"] == (3 * 48, 0)
        assert not any(key[0] in ("a", "b") for key in found)


@pytest.mark.parametrize("tile", [1, 3, 5, 8, 20])
def test_inputs_are_read_for_every_tile_of_output_channels_unless_they_stay(tile):
    net = chain(Input(6, (7, 5)), conv(20))
    tiles, size = -(-20 // tile), 6 * 35
    segments = (Segment(("a",), Tile(outputs=tile)),)
    assert of(segmented(net, machine(near=10**6), segments))["x", "far", "input"][0] == size
    buffers = visits(segmented(net, machine(near=10**6), segments)).turns[0].demand
    little = buffers.total - buffers.inputs
    assert of(segmented(net, machine(near=little), segments))["x", "far", "input"][0] == size * tiles
    for near in (10**6, little):
        assert of(segmented(net, machine(near=near), segments))["a", "far", "output"] == (0, 20 * 35)


@pytest.mark.parametrize(("taken", "bits"), [(1, 32), (2, 17), (4, 32), (5, 20), (6, 32), (9, 32)])
def test_partial_sums_are_written_and_read_once_less_than_there_are_input_tiles(taken, bits):
    net, rounds = chain(Input(6, (7, 5)), conv(3)), -(-6 // taken) - 1
    segments = (Segment(("a",), Tile(inputs=taken)),)
    size = -(-3 * 35 * bits // 8) * rounds
    hw = machine(accumulator_bits=bits)
    near = visits(segmented(net, hw, segments)).turns[0].demand
    assert of(segmented(net, hw, segments)).get(("partial sums of a", "near", "partial"), (0, 0)) == (size, size)
    hw = machine(near=near.total - near.partial_sums, accumulator_bits=bits)
    found = of(segmented(net, hw, segments))
    assert found.get(("partial sums of a", "far", "partial"), (0, 0)) == (size, size)
    assert found["x", "far", "input"] == (6 * 35, 0)
    assert found["a", "far", "output"] == (0, 3 * 35)


def test_partial_sums_of_a_tile_are_gone_before_the_next_outputs_begin():
    net = chain(Input(6, (7, 5)), conv(8))
    whole = visits(segmented(net, machine(), (Segment(("a",), Tile(inputs=2)),))).turns[0].demand
    parts = visits(segmented(net, machine(), (Segment(("a",), Tile(outputs=2, inputs=2)),))).turns[0].demand
    assert (whole.partial_sums, parts.partial_sums) == (8 * 35 * 4, 2 * 35 * 4)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    ("weights", "tile", "loads"),
    [
        ("resident", Tile(rows=2), 0),
        ("frame", Tile(), 1),
        ("frame", Tile(rows=2), 1),
        ("frame", Tile(rows=2, outputs=3), 1),
        ("tile", Tile(), 1),
        ("tile", Tile(outputs=3), 1),
        ("tile", Tile(rows=2), 4),
        ("tile", Tile(rows=2, columns=4), 8),
        ("tile", Tile(rows=3, outputs=3, inputs=2), 3),
    ],
)
def test_weights_are_loaded_for_a_visit_or_for_every_spatial_tile(weights, tile, loads, frames):
    net = chain(Input(6, (8, 5)), conv(8))
    design = segmented(
        net, machine(weights="frame"), (Segment(("a",), tile, "cache", weights),), frames_per_visit=frames
    )
    found = of(design)
    assert found.get(("weights of a", "far", "weight"), (0, 0)) == (Fraction(8 * 6 * 9 * loads, frames), 0)


@pytest.mark.parametrize(("groups", "tile"), [(12, 1), (12, 5), (3, 4), (4, 6), (2, 6)])
def test_channel_groups_read_their_own_channels_alone(groups, tile):
    net = chain(Input(12, (7, 5)), conv(12, groups=groups))
    found = of(segmented(net, machine(near=2000), (Segment(("a",), Tile(outputs=tile)),)))
    assert found["x", "far", "input"] == (12 * 35, 0)
    assert found["weights of a", "far", "weight"] == (12 * (12 // groups) * 9, 0)


@pytest.mark.parametrize("halo", ["reread", "cache", "recompute"])
@pytest.mark.parametrize(("kernel", "stride", "dilation", "pad", "rows"), [
    (3, 1, 1, (1, 1), 3), (3, 2, 1, (0, 1), 2), (5, 1, 1, (2, 2), 4), (3, 1, 2, (2, 2), 5), (1, 1, 1, (0, 0), 2),
    (2, 2, 1, (0, 0), 3), (3, 3, 1, (3, 0), 1), (4, 1, 2, (6, 1), 4),
])  # fmt: skip
def test_rows_that_two_tiles_need_are_read_twice_or_kept(kernel, stride, dilation, pad, rows, halo):
    """The stretch of input rows of every tile of output rows, from the window alone."""
    size, width, reach = 17, 4, dilation * (kernel - 1) + 1
    layer = Convolution(3, (kernel, 1), (stride, 1), (pad, (0, 0)), (dilation, 1))
    net = chain(Input(2, (size, width)), layer)
    made = (size + sum(pad) - reach) // stride + 1
    assert net.tensors["a"].spatial == (made, width)
    read, passed = 0, 0
    for begin in range(0, made, rows):
        end = min(begin + rows, made)
        taps = [y * stride - pad[0] + k * dilation for y in range(begin, end) for k in range(kernel)]
        taps = [x for x in taps if 0 <= x < size]
        if taps:
            # rows between windows, or behind the last, come along
            first, last = min(min(taps), passed), size - 1 if end == made else max(taps)
            read += last + 1 - first
            passed = max(passed, last + 1)
    found = of(segmented(net, machine(), (Segment(("a",), Tile(rows=rows), halo),)))
    assert found["x", "far", "input"] == (2 * width * (size if halo == "cache" else read), 0)
    assert found["a", "far", "output"] == (0, 3 * width * made)


def test_rows_and_columns_overlap_in_both_directions():
    """Tiles of 4x4 of a 3x3 window on an 8x8 map read 5 or 5 of 8 points along each axis."""
    net = chain(Input(1, (8, 8)), conv(1))
    for halo, points in (("reread", 10 * 10), ("cache", 64)):
        found = of(segmented(net, machine(), (Segment(("a",), Tile(4, 4), halo),)))
        assert found["x", "far", "input"] == (points, 0)


@pytest.mark.parametrize(("bits", "elements", "size"), [(1, 9, 2), (3, 7, 3), (12, 3, 5), (8, 11, 11), (5, 8, 5)])
def test_odd_widths_round_up_to_bytes(bits, elements, size):
    net = chain(Input(elements, ()), Dense(elements))
    found = of(segmented(net, machine(activation_bits=bits, weight_bits=bits), (Segment(("a",)),)))
    assert found["x", "far", "input"] == (size, 0)
    assert found["a", "far", "output"] == (0, size)
    assert found["weights of a", "far", "weight"] == (-(-elements * elements * bits // 8), 0)


def test_constants_that_are_added_count_with_the_weights():
    nodes = [
        Node("x", Input(4, (6,))),
        Node("table", Constant(4, (6,), trained=True)),
        Node("mask", Constant(1, (6,))),
        Node("half", Constant(1, ())),
        Node("a", Combine("add"), ("x", "table")),
        Node("b", Combine("multiply"), ("a", "mask")),
        Node("c", Combine("multiply"), ("b", "half")),
    ]
    found = of(segmented(network("embedding", nodes, ["c"]), machine(), (Segment(("a",)),)))
    assert found["weights of a", "far", "weight"] == (4 * 6 + 6, 0)
    whole = bind(network("embedding", nodes, ["c"]), machine(weights="frame"), Mapping(MappingProxyType({})))
    assert rows(pipeline_traffic(streamed(whole, "row")))["weights of a", "far", "weight"] == (4 * 6 + 6, 0)


def test_layers_that_share_weights_load_them_each():
    nodes = [
        Node("x", Input(4, (6, 6))),
        Node("a", conv(4), ("x",)),
        Node("b", conv(4), ("a",), shares="a"),
    ]
    found = of(each_alone(network("twice", nodes, ["b"]), machine()))
    assert found["weights of a", "far", "weight"] == found["weights of b", "far", "weight"] == (4 * 4 * 9, 0)


def excited() -> Network:
    """A convolution times what a dense layer makes of its mean, added to the input."""
    nodes = [
        Node("x", Input(4, (9, 7))),
        Node("a", conv(4), ("x",)),
        Node("mean", Reduce("mean"), ("a",)),
        Node("gate", Dense(4), ("mean",)),
        Node("sigmoid", Activation("sigmoid"), ("gate",)),
        Node("excite", Combine("multiply"), ("a", "sigmoid")),
        Node("sum", Combine("add"), ("excite", "x")),
        Node("small", Pool("maximum", (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), ("sum",)),
        Node("wide", Concat(-1), ("sum", "excite")),
    ]
    return network("excited", nodes, ["small", "wide"])


@pytest.mark.parametrize("fork", ["shared", "copy"])
@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_a_spilled_buffer_is_written_once_and_read_once_by_every_reader(fork, granularity):
    net, hw = excited(), machine(fork=fork)
    size = 4 * 63
    for homes, written, read in (
        ({"a -> excite": "far"}, size, size),
        ({"a": "far"}, size * (1 if fork == "shared" else 2), 2 * size),
    ):
        design = bind(net, hw, Mapping(MappingProxyType(ones(net, hw)), homes=MappingProxyType(homes)))
        running = streamed(design, granularity)
        assert rows(pipeline_traffic(running))["a", "far", "spill"] == (read, written)
        report = acs.simulate(design, granularity=granularity).body
        assert report.throughput.steady
        held = {row.edge: row.peak_elements for row in report.buffers if row.home is None}
        window = 4 if granularity == "pixel" else 4 * 7
        fill = next(name for name in held if name.startswith("fill a for excite"))
        assert held[fill] <= 2 * window + (4 * 7 if granularity == "pixel" else 0) < size


@pytest.mark.parametrize("weights", ["resident", "frame", "tile"])
@pytest.mark.parametrize("interface", ["stream", "memory"])
def test_a_pipeline_moves_inputs_outputs_and_the_weights_of_every_frame(interface, weights):
    net, hw = excited(), machine(interface=interface, weights=weights)
    running = streamed(bind(net, hw, Mapping(MappingProxyType(ones(net, hw)))), "row")
    found = rows(pipeline_traffic(running))
    loads = 0 if weights == "resident" else 1
    expected = {("x", "far", "input"): (4 * 63, 0), ("small", "far", "output"): (0, 4 * 4 * 3)}
    expected["wide", "far", "output"] = (0, 8 * 63)
    if loads:
        expected["weights of a", "far", "weight"] = (4 * 4 * 9, 0)
        expected["weights of gate", "far", "weight"] = (16, 0)
    assert found == expected
    movers = [stage for stage in running.stages if stage.transfer]
    assert bool(movers) == (interface == "memory" or loads > 0)


def test_traffic_rows_are_those_of_memories_in_a_report():
    design = each_alone(excited(), machine(near=3000))
    report = acs.simulate(design).body
    for name, memory in report.memories.items():
        assert memory.read_bytes == sum(row.read_bytes for row in report.traffic if row.memory == name)
        assert memory.written_bytes == sum(row.written_bytes for row in report.traffic if row.memory == name)
        frames = Fraction(design.accelerator.clock_hz) / Fraction(report.throughput.interval_cycles)
        total = memory.read_bytes + memory.written_bytes
        assert memory.average_bytes_per_second == pytest.approx(float(total * frames))
        assert memory.average_bytes_per_second <= memory.sustained_bytes_per_second * (1 + 1e-9)


@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(8, 8), (4, 8), (8, 12)])
def test_buffers_of_loaded_weights_hold_weights(weight_bits, activation_bits):
    """Those in use and, while the next frame's load, as many again."""
    net = chain(Input(4, (9, 7)), conv(4))
    hw = machine(weight_bits=weight_bits, activation_bits=activation_bits)
    design = bind(net, hw, Mapping(MappingProxyType(ones(net, hw))))
    (row,) = (row for row in acs.simulate(design).body.buffers if row.producer == "load weights of a")
    assert row.bound_elements == row.frame_elements == 4 * 4 * 9
    assert row.capacity_elements == 2 * row.frame_elements
    assert row.bound_elements <= row.peak_elements <= row.capacity_elements
    assert row.peak_bytes == -(-row.peak_elements * weight_bits // 8)


def test_bursts_are_not_split_between_requests_for_weights():
    """4,160 bytes are 65 bursts of 64: 33 requests of two bursts, at a burst in 8 cycles."""
    level = machine().memories["far"].model_copy(update={"burst": 64})
    hw = machine().model_copy(update={"memories": {"near": machine().memories["near"], "far": level}})
    net = chain(Input(65, ()), Dense(64))
    running = streamed(bind(net, hw, Mapping(MappingProxyType(ones(net, hw)))), "row")
    load = running.stage_by_name["load weights of a"]
    assert (load.tensor.rows, load.interval_cycles, load.occupancy_cycles) == (33, 16, 16)
    assert load.transfer.moved_bytes == 65 * 64
