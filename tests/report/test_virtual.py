"""Virtual feature maps in a report: closed forms against traffic, and what pools on the way out."""

from dataclasses import replace
from fractions import Fraction
from itertools import count
from math import ceil, log2
from random import Random
from types import MappingProxyType

import pytest

import accelsim as acs
from accelsim.hardware.gates import EQUIVALENTS, multiplier_gates, register_gates, selector_gates
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.pooling_unit import block_of, engine_gates, pooling_unit, touched
from accelsim.mapping.segments.segment import Segment
from accelsim.mapping.stages import group_layers, pooled_layers
from accelsim.mapping.work import loop_nest
from accelsim.network.graph import Network, network
from accelsim.network.layers import ChannelPool, Convolution, Input
from tests.random_networks import random_network

SMALL = (1, 3, 64, 64)


def machine(**settings):
    return acs.load_accelerator("feature-map-npu", {"memories.buffer.size": "64 MiB", **settings})


def rewritten(seed: int) -> Network:
    """A random network with some of its convolutions widened, at least one of them pooled on the way out."""
    rng = Random(seed)
    for _ in count():
        net = random_network(rng)
        convolutions = [node.name for node in net.nodes if isinstance(node.layer, Convolution)]
        if convolutions:
            chosen = rng.sample(convolutions, rng.randint(1, len(convolutions)))
            net = acs.virtual_maps(net, rng.choice((2, 3, 4)), rng.choice(("maximum", "mean")), chosen)
            if pooled_layers(net):
                return net
    raise AssertionError


def layer_by_layer(net, hw, materialised=()):
    """A stage a segment, whole, every map off chip; chosen by nobody."""
    groups = group_layers(net, hw.channel_pooling, frozenset(materialised))
    stages = [group.name for group in groups if not isinstance(group.node.layer, Input)]
    unrolls = {group.name: acs.Unroll() for group in groups if loop_nest(net, group.node)}
    crossing = {name for group in groups for _, name in group.operands}
    crossing |= {group.name for group in groups if group.output in net.output_nodes}
    return acs.bind(
        net,
        hw,
        Mapping(
            MappingProxyType(unrolls),
            segments=tuple(Segment((name,)) for name in stages),
            homes=MappingProxyType(dict.fromkeys(crossing, hw.off_chip_memory)),
            materialised=frozenset(materialised),
        ),
    )


def naive_bytes(net, name, bits):
    tensor = net.tensors[name]
    elements = tensor.channels
    for size in tensor.spatial:
        elements *= size
    return ceil(Fraction(elements * bits, 8))


def naive_maps(net, row, bits):
    """I, f P and P of a layer, from the graph alone."""
    node = net.by_name[row.layer]
    moving = dict.fromkeys(name for name in node.inputs if name not in net.constant_nodes)
    last = row.pool
    while len(net.consumers[last]) == 1 and last not in net.output_nodes:
        follower = net.by_name[net.consumers[last][0]]
        if net.tensors[follower.name] != net.tensors[last] or follower.kind not in ("activation", "batch_norm"):
            break
        last = follower.name
    unpooled = naive_bytes(net, net.by_name[row.pool].inputs[0], bits)
    return sum(naive_bytes(net, name, bits) for name in moving), unpooled, naive_bytes(net, last, bits)


@pytest.mark.parametrize("seed", range(40))
def test_simulated_traffic_is_the_closed_form(seed):
    net, bits = rewritten(seed), Random(seed).choice((8, 8, 3, 12))
    hw = machine(activation_bits=bits)
    virtual = acs.simulate(layer_by_layer(net, hw))
    stored = acs.simulate(layer_by_layer(net, hw, pooled_layers(net)))
    added = 0
    for here, there in zip(virtual.body.virtual_maps.layers, stored.body.virtual_maps.layers, strict=True):
        read, unpooled, pooled = naive_maps(net, here, bits)
        assert (here.mode, there.mode, there.home) == ("virtual", "materialised", "dram")
        assert (here.read_bytes, here.written_bytes) == (read, pooled)
        assert (there.read_bytes, there.written_bytes) == (read + unpooled, unpooled + pooled)
        assert here.read_bytes + here.written_bytes == here.virtual_bytes == there.virtual_bytes
        assert there.read_bytes + there.written_bytes == here.materialised_bytes == there.materialised_bytes
        assert here.saving == pytest.approx(2 * unpooled / (read + 2 * unpooled + pooled))
        added += 2 * unpooled
    totals = [sum(run.traffic["read_bytes"]) + sum(run.traffic["written_bytes"]) for run in (virtual, stored)]
    assert totals[1] - totals[0] == added


@pytest.mark.parametrize("seed", range(40, 60))
def test_savings_of_the_network_are_those_of_two_simulations(seed):
    """Whichever of the two is simulated, both are told; here every map lies off chip."""
    net, hw = rewritten(seed), machine()
    runs = [acs.simulate(layer_by_layer(net, hw, names)) for names in ((), pooled_layers(net))]
    told = [run.body.virtual_maps.network for run in runs]
    assert told[0] == told[1]
    moved = [run.traffic.filter(memory="dram") for run in runs]
    both = [sum(rows["read_bytes"]) + sum(rows["written_bytes"]) for rows in moved]
    assert told[0].saving_with_weights == pytest.approx(1 - both[0] / both[1])
    maps = [rows.filter(rows["kind"] != "weight") for rows in moved]
    bare = [sum(rows["read_bytes"]) + sum(rows["written_bytes"]) for rows in maps]
    assert (told[0].virtual_bytes, told[0].materialised_bytes) == tuple(bare)
    assert told[0].saving == pytest.approx(1 - bare[0] / bare[1])


@pytest.fixture(scope="module")
def condensed():
    return acs.load_network("condensation_net_f2", input_shape=SMALL)


@pytest.mark.parametrize("mapping", ["layer-by-layer", "fused", "pipeline"])
def test_chosen_mappings_store_what_they_are_told_to(condensed, mapping):
    virtual = acs.map_network(condensed, machine(), mapping=mapping)
    stored = acs.map_network(condensed, machine(), mapping=mapping, materialised=True)
    some = acs.map_network(condensed, machine(), mapping=mapping, materialised=["conv2"])
    rows = [acs.simulate(design).body.virtual_maps.layers for design in (virtual, stored, some)]
    assert {row.mode for row in rows[0]} == {"virtual"}
    assert {row.mode for row in rows[1]} == {"materialised"}
    assert [row.layer for row in rows[2] if row.mode == "materialised"] == ["conv2"]
    assert acs.simulate(stored).body.virtual_maps.hardware is None


def test_what_is_pooled_on_the_way_out_holds_nothing_up(condensed):
    """Only as a stage of its own does the pooling move f P elements over the lanes, each in its turn."""
    hw = machine(**{"engine.lanes": 1})
    slowest = [
        acs.map_network(condensed, hw, materialised=names).stage_by_name for names in ((), pooled_layers(condensed))
    ]
    assert "conv1.channel_pool" not in slowest[0]
    assert slowest[1]["conv1.channel_pool"].work_cycles == 64 * 64 * 32
    with pytest.raises(acs.InfeasibleError, match=r"conv1\.channel_pool moves"):
        acs.map_network(condensed, hw, target_fps=10**9 / (64 * 64 * 31), materialised=True)
    acs.map_network(condensed, hw, target_fps=10**9 / (64 * 64 * 31))


def test_a_pool_beside_its_convolution_is_streamed(condensed):
    """A stage of its own in the same segment: rows pass, and the map is never whole."""
    hw = machine()
    design = acs.bind(condensed, hw, acs.map_network(condensed, hw).mapping)
    apart = Mapping(design.mapping.unroll, materialised=frozenset(pooled_layers(condensed)))
    rows = acs.simulate(acs.bind(condensed, hw, apart)).body.virtual_maps.layers
    assert {(row.mode, row.home) for row in rows} == {("streamed", None)}


def test_a_joined_spatial_pooling_stores_less(condensed):
    alone = acs.simulate(acs.map_network(condensed, machine(), mapping="layer-by-layer")).virtual_maps
    joined = acs.simulate(acs.map_network(condensed, machine(), mapping="fused")).virtual_maps
    first = {name: (table["spatial_pooling_joined"][0], table["stored_map_bytes"][0]) for name, table in
             (("alone", alone), ("joined", joined))}  # fmt: skip
    assert first == {"alone": (False, 64 * 64 * 16), "joined": (True, 32 * 32 * 16)}
    assert alone["spatial_pooling"].to_list() == [*(f"conv{k}.pool" for k in range(1, 7)), None, None]


def test_weights_count_once_in_closed_forms_and_as_loaded_as_simulated(condensed):
    body = acs.simulate(acs.map_network(condensed, machine(), mapping="layer-by-layer")).body
    for row in body.virtual_maps.layers:
        weights = condensed.parameters_of(condensed.by_name[row.layer])
        assert row.weight_bytes >= weights  # what is fused may have some too
        assert row.weight_read_bytes == row.weight_bytes
        closed = 1 - (row.virtual_bytes + row.weight_bytes) / (row.materialised_bytes + row.weight_bytes)
        assert row.saving_with_weights == pytest.approx(closed)
    pooled = body.virtual_maps.pooled_layers
    for field in ("virtual_bytes", "materialised_bytes", "weight_bytes"):
        assert getattr(pooled, field) == sum(getattr(row, field) for row in body.virtual_maps.layers)


def test_without_pooled_channels_there_is_no_part():
    report = acs.simulate(acs.map_network(acs.load_network("resnet18", input_shape=SMALL), machine()))
    assert report.body.virtual_maps is None
    assert report.virtual_maps.is_empty()
    assert "irtual" not in str(report)


def test_without_memories_only_closed_forms_are_told(condensed):
    bare = machine().model_copy(update={"memories": {}, "interface": "stream", "weights": "resident"})
    part = acs.simulate(acs.map_network(condensed, bare)).body.virtual_maps
    assert part.network is None
    assert part.hardware.memory_bits is None
    assert {row.read_bytes for row in part.layers} == {None}
    assert all(0 < row.saving_with_weights < row.saving < 1 for row in part.layers)


def test_text_names_every_layer_and_every_rule(condensed):
    report = acs.simulate(acs.map_network(condensed, machine(), mapping="layer-by-layer"))
    text = " ".join(str(report).split())
    part = report.body.virtual_maps
    assert all(rule in text for rule in part.rules)
    for row in part.layers:
        assert f"{row.layer} maximum of 2 virtual" in text
        assert f"{100 * row.saving:.1f} %" in text
    assert f"{part.hardware.register_bits:,} bits" in text


def test_a_block_touches_what_it_touches():
    """Blocks laid end to end over runs of pooled channels, counted one by one."""
    for channels in range(1, 13):
        for factor in range(2, 7):
            spans = [
                len({channel // factor for channel in range(first, first + channels)})
                for first in range(0, channels * factor, channels)
            ]
            assert touched(channels, factor) == max(spans)


@pytest.mark.parametrize(("outputs", "pixels", "inputs"), [(1, 1, 1), (4, 2, 3), (2, 1, 1), (8, 4, 3), (16, 1, 1)])
@pytest.mark.parametrize("operation", ["maximum", "mean"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_unit_keeps_pace_with_its_convolution(outputs, pixels, inputs, operation, factor):
    """Comparisons a frame, counted one by one, fit into the cycles of the frame, and one unit fewer would not."""
    net = acs.virtual_maps(acs.load_network("tiny_yolov2", input_shape=(1, 3, 32, 32)), factor, operation, ["conv1"])
    unrolls = {group.name: acs.Unroll() for group in group_layers(net, True) if loop_nest(net, group.node)}
    unrolls["conv1"] = acs.Unroll(outputs=outputs, pixels=pixels, inputs=inputs)
    design = acs.bind(net, machine(**{"engine.multipliers": 10**6}), Mapping(MappingProxyType(unrolls)))
    unit, stage = pooling_unit(design), design.stage_by_name["conv1"]
    bits = 8 + (ceil(log2(factor)) if operation == "mean" else 0)
    assert unit.block_outputs == touched(outputs, factor) * pixels
    assert unit.register_bits == unit.block_outputs * bits
    block = block_of(design, stage)
    assert block.cycles * (16 * factor // outputs) == stage.interval_cycles
    folded = [c for c in range(outputs) if outputs % factor or c % factor]
    needed = len(folded) * pixels
    assert (unit.operators - 1) * block.cycles < needed <= unit.operators * block.cycles
    if operation == "maximum":
        assert unit.gates == unit.operators * selector_gates(bits) + register_gates(unit.register_bits)
    else:
        divided = unit.block_outputs * multiplier_gates(bits, 8) if factor == 3 else 0
        adders = unit.operators * bits * EQUIVALENTS["full_adder"]
        assert unit.gates == adders + register_gates(unit.register_bits) + divided


def test_gates_of_an_engine():
    """Eight by eight bits: 64 ANDs, 49 full adders, 16 more to add the product up; and the accumulators."""
    net = acs.load_network("tiny_yolov2", input_shape=(1, 3, 32, 32))
    design = acs.map_network(net, machine(), mapping="layer-by-layer")
    sums = max(stage.unroll.outputs * stage.unroll.pixels for stage in design.stages if stage.unroll)
    cell = {"and": Fraction(5, 3), "multiplexer": 3, "adder": Fraction(16, 3), "flip_flop": Fraction(16, 3)}
    each = 64 * cell["and"] + (49 + 16) * cell["adder"]
    accumulator = 34 * (cell["adder"] + cell["flip_flop"] + cell["multiplexer"])
    assert engine_gates(design) == 2048 * each + sums * accumulator


def test_operations_without_a_count_have_no_gates():
    net = acs.load_network("condensation_net_f2", input_shape=SMALL)
    product = ChannelPool("product", 2)
    nodes = [replace(node, layer=product) if isinstance(node.layer, ChannelPool) else node for node in net.nodes]
    other = network(net.name, nodes, net.outputs, net.inputs)
    hardware = acs.simulate(acs.map_network(other, machine(), mapping="layer-by-layer")).body.virtual_maps.hardware
    assert hardware.gates is hardware.gate_share is None
    assert hardware.register_bits > 0


def test_a_systolic_array_gives_out_a_row_at_a_time(condensed):
    hw = acs.load_accelerator("systolic-npu", {"channel_pooling": True})
    design = acs.map_network(condensed, hw)
    unit = pooling_unit(design)
    assert unit.block_outputs == hw.engine.columns // 2
    assert unit.operators == hw.engine.columns // 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"materialised": ["nothing"]}, "nothing"),
        ({"materialised": ["prediction"]}, "prediction"),
        ({"materialised": "conv1"}, r"write \['conv1'\]"),
        ({"materialised": True, "mapping": "mapping.yaml"}, "name the layers in it"),
    ],
)
def test_what_cannot_be_stored(condensed, options, said):
    with pytest.raises(acs.InputError, match=said):
        acs.map_network(condensed, machine(), **options)


def test_maps_are_stored_in_memories(condensed):
    bare = machine().model_copy(update={"memories": {}, "interface": "stream", "weights": "resident"})
    with pytest.raises(acs.InputError, match="no memories"):
        acs.map_network(condensed, bare, materialised=True)
