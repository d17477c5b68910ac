"""Counts of a design against what is written out by hand, and laws that they keep."""

from collections import Counter
from dataclasses import replace
from types import MappingProxyType

import pytest

from accelsim import load_accelerator, load_network, map_network
from accelsim.cost.accesses import design_accesses
from accelsim.mapping.design import bind
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.segments.visits import visits
from accelsim.mapping.traffic import visit_traffic
from accelsim.mapping.unrolling import Unroll
from accelsim.network.graph import Node, network
from accelsim.network.layers import BatchNorm, Combine, Convolution, Input, Product

SIZE = 8


def convolution(channels, kernel, inputs, **more):
    return Convolution(channels, (kernel,) * 2, (1, 1), ((kernel // 2,) * 2,) * 2, (1, 1), **more)


def chain():
    """Two convolutions, the second added to the first."""
    nodes = [
        Node("x", Input(4, (SIZE, SIZE))),
        Node("first", convolution(8, 3, 4), ("x",)),
        Node("second", convolution(8, 1, 8), ("first",)),
        Node("sum", Combine("add"), ("first", "second")),
    ]
    return network("chain", nodes, ["sum"])


def machine(**settings):
    chosen = {name.replace("__", "."): value for name, value in settings.items()}
    return load_accelerator("streaming-asic", {"engine.multipliers": 256, **chosen})


def designed(unroll, **settings):
    factors = {name: Unroll(*given) for name, given in unroll.items()}
    return bind(chain(), machine(**settings), Mapping(unroll=MappingProxyType(factors)))


def counts(design):
    """What is counted a frame, by layer and part and memory."""
    return {(one.layer, one.part, one.memory): one.count for one in design_accesses(design)}


PIXELS = SIZE * SIZE
ROWS = 3 * SIZE - 2  # rows that windows of 3 read over a map with padding
PLAIN = {"first": (1, 8, 9, 1), "second": (8, 1, 1, 1)}


def test_a_pipeline_counts_what_is_written_out_here():
    found = counts(designed(PLAIN))
    macs = {"first": 4 * 8 * 9 * PIXELS, "second": 8 * 8 * PIXELS}
    assert found == {
        ("first", "mac", None): macs["first"],
        ("second", "mac", None): macs["second"],
        ("first", "weight_read", "sram"): macs["first"],
        ("second", "weight_read", "sram"): macs["second"],
        ("x", "buffer_write", "sram"): 4 * PIXELS,
        ("first", "buffer_write", "sram"): 8 * PIXELS,
        ("second", "buffer_write", "sram"): 8 * PIXELS,
        ("first", "buffer_read", "sram"): 4 * ROWS * SIZE,
        ("second", "buffer_read", "sram"): 8 * PIXELS,
        ("sum", "buffer_read", "sram"): 2 * 8 * PIXELS,
        ("x", "memory_read", "dram"): 4 * PIXELS,
        ("sum", "memory_write", "dram"): 8 * PIXELS,
        ("sum", "add", None): 8 * PIXELS,
    }


@pytest.mark.parametrize(
    ("settings", "unroll", "changed"),
    [
        ({"fork": "copy"}, {}, {("first", "buffer_write", "sram"): 2 * 8 * PIXELS}),
        ({}, {"first": (4, 8, 1, 1)}, {("first", "buffer_read", "sram"): 4 * ROWS * ROWS}),
        ({}, {"first": (4, 8, 1, 2)}, {("first", "buffer_read", "sram"): 4 * ROWS * ROWS,
                                       ("first", "weight_read", "sram"): 4 * 8 * 9 * PIXELS // 2}),
        ({"engine__stripe": 4}, {}, {("first", "weight_read", "sram"): 4 * 8 * 9 * PIXELS // 4,
                                     ("second", "weight_read", "sram"): 8 * 8 * PIXELS // 4}),
        ({"engine__stripe": 5}, {}, {("first", "weight_read", "sram"): 4 * 8 * 9 * SIZE * 2,
                                     ("second", "weight_read", "sram"): 8 * 8 * SIZE * 2}),
        ({"engine__stripe": 2}, {"first": (4, 8, 1, 2)}, {("first", "buffer_read", "sram"): 4 * ROWS * ROWS,
                                                          ("first", "weight_read", "sram"): 4 * 8 * 9 * PIXELS // 4,
                                                          ("second", "weight_read", "sram"): 8 * 8 * PIXELS // 2}),
        ({}, {"second": (8, 8, 1, 1)}, {("second", "weight_read", "sram"): None}),
        ({"activation_bits": 4}, {}, {("x", "buffer_write", "sram"): 2 * PIXELS,
                                      ("first", "buffer_write", "sram"): 4 * PIXELS,
                                      ("second", "buffer_write", "sram"): 4 * PIXELS,
                                      ("first", "buffer_read", "sram"): 2 * ROWS * SIZE,
                                      ("second", "buffer_read", "sram"): 4 * PIXELS,
                                      ("sum", "buffer_read", "sram"): 8 * PIXELS,
                                      ("x", "memory_read", "dram"): 2 * PIXELS,
                                      ("sum", "memory_write", "dram"): 4 * PIXELS}),
        ({"weight_bits": 16}, {}, {("first", "weight_read", "sram"): 2 * 4 * 8 * 9 * PIXELS,
                                   ("second", "weight_read", "sram"): 2 * 8 * 8 * PIXELS}),
        ({"weights": "frame"}, {}, {(layer, part, memory): size
                                    for layer, size in (("first", 4 * 8 * 9), ("second", 64))
                                    for part, memory in (("memory_read", "dram"), ("weight_write", "sram"))}),
    ],
)  # fmt: skip
def test_a_change_moves_its_own_counts_alone(settings, unroll, changed):
    before, after = counts(designed(PLAIN)), counts(designed(PLAIN | unroll, **settings))
    expected = before | changed
    assert after == {key: count for key, count in expected.items() if count is not None}


def segmented(tile, halo="cache"):
    base = designed(PLAIN, interface="memory", weights="frame")
    segment = Segment(("first", "second", "sum"), tile, halo)
    return bind(base.network, base.accelerator, replace(base.mapping, segments=(segment,)))


def totals(found):
    sums = Counter()
    for (_, part, memory), count in found.items():
        sums[part, memory] += count
    return sums


@pytest.mark.parametrize("rows", [1, 2, 3, 5, SIZE])
def test_tiles_that_keep_their_halo_count_as_the_whole_does(rows):
    assert totals(counts(segmented(Tile(rows=rows)))) == totals(counts(segmented(Tile())))


def test_what_is_computed_again_counts_again():
    whole, again = (totals(counts(segmented(tile, "recompute"))) for tile in (Tile(), Tile(rows=2)))
    assert again["mac", None] == whole["mac", None]  # a 1x1 convolution behind: only inputs overlap
    assert again["memory_read", "dram"] > whole["memory_read", "dram"]
    assert again["buffer_write", "sram"] > whole["buffer_write", "sram"]


def test_tiles_of_outputs_read_their_inputs_again():
    net = network("one", [Node("x", Input(4, (SIZE, SIZE))), Node("first", convolution(8, 3, 4), ("x",))], ["first"])
    for outputs, times in ((None, 1), (4, 2), (2, 4)):
        mapping = Mapping(
            unroll=MappingProxyType({"first": Unroll(1, 2, 9)}), segments=(Segment(("first",), Tile(outputs=outputs)),)
        )
        found = counts(bind(net, machine(interface="memory", weights="frame"), mapping))
        assert found["first", "mac", None] == 4 * 8 * 9 * PIXELS
        assert found["first", "weight_read", "sram"] == 4 * 8 * 9 * PIXELS
        # the window reads each tile's inputs, and the store reads what was made
        assert found["first", "buffer_read", "sram"] == times * 4 * ROWS * SIZE + 8 * PIXELS


def test_a_held_operand_is_read_for_every_product():
    nodes = [
        Node("a", Input(16, (5,))),
        Node("b", Input(16, (7,))),
        Node("dot", Product(2, transposed=True), ("a", "b")),
    ]
    net = network("attention", nodes, ["dot"])
    design = bind(net, machine(), Mapping(unroll=MappingProxyType({"dot": Unroll(8, 1)})))
    found = counts(design)
    assert found["dot", "mac", None] == 5 * 7 * 16
    assert found["dot", "buffer_read", "sram"] == 5 * 16 + 5 * 7 * 16
    assert ("dot", "weight_read", "sram") not in found


@pytest.mark.parametrize("mapping", ["pipeline", "fused", "layer-by-layer"])
def test_all_macs_of_a_network_are_there(mapping):
    net = load_network("mobilenet_v3_small", input_shape=(1, 3, 64, 64))
    found = totals(counts(map_network(net, load_accelerator("feature-map-npu"), mapping=mapping)))
    assert found["mac", None] == net.macs


@pytest.mark.parametrize("dataflow", ["output-stationary", "weight-stationary", "input-stationary"])
def test_an_array_reads_operands_for_every_fold(dataflow):
    """A 3x3 convolution of 4 to 8 channels on 16 rows x 4 columns, all folds written out."""
    settings = {"engine.dataflow": dataflow, "engine.columns": 4, "interface": "stream", "weights": "resident"}
    net = network("one", [Node("x", Input(4, (SIZE, SIZE))), Node("first", convolution(8, 3, 4), ("x",))], ["first"])
    found = counts(bind(net, load_accelerator("systolic-npu", settings), Mapping(unroll=MappingProxyType({}))))
    taps, outputs = 4 * 9, 8
    over = {
        "output-stationary": {"pixels": -(-PIXELS // 16), "outputs": 2, "taps": 1},
        "weight-stationary": {"pixels": 1, "outputs": 2, "taps": 3},
        "input-stationary": {"pixels": PIXELS // 4, "outputs": 1, "taps": 3},
    }[dataflow]
    expected = {
        ("first", "mac", None): taps * outputs * PIXELS,
        ("first", "weight_read", "scratchpad"): taps * outputs * over["pixels"],
        ("x", "buffer_write", "scratchpad"): 4 * PIXELS,
        ("first", "buffer_read", "scratchpad"): taps * PIXELS * over["outputs"],
        ("x", "memory_read", "dram"): 4 * PIXELS,
        ("first", "memory_write", "dram"): outputs * PIXELS,
    }
    sums = 4 * outputs * PIXELS * (over["taps"] - 1)
    if sums:
        expected |= {("first", way, "scratchpad"): sums for way in ("sum_write", "sum_read")}
    assert found == expected


def test_an_array_whose_layers_take_turns_counts_every_layer():
    net = load_network("mobilenet_v3_small", input_shape=(1, 3, 64, 64))
    found = totals(counts(map_network(net, load_accelerator("systolic-npu"), mapping="layer-by-layer")))
    assert found["mac", None] == net.macs
    assert found["weight_write", "scratchpad"] == found["memory_read", "dram"] - sum(
        row.read_bytes for row in _maps_read(net)
    )


def _maps_read(net):
    design = map_network(net, load_accelerator("systolic-npu"), mapping="layer-by-layer")
    return [row for row in visit_traffic(design, visits(design)) if row.memory == "dram" and row.kind != "weight"]


@pytest.mark.parametrize("tile", [Tile(outputs=4), Tile(inputs=2), Tile(outputs=2, inputs=1), Tile(rows=3, outputs=4)])
def test_tiles_of_channels_do_together_what_the_layer_does(tile):
    nodes = [
        Node("x", Input(4, (SIZE, SIZE))),
        Node("first", convolution(8, 3, 4), ("x",)),
        Node("norm", BatchNorm(), ("first",)),
    ]
    net = network("normed", nodes, ["norm"])
    base = Mapping(unroll=MappingProxyType({"first": Unroll(1, 2, 9)}))
    found = {}
    for one in (Tile(), tile):
        mapping = replace(base, segments=(Segment(("first",), one),))
        found[one] = counts(bind(net, machine(interface="memory", weights="frame"), mapping))
    whole, tiled = found[Tile()], found[tile]
    for part in ("mac", "multiply", "add"):
        assert tiled["first", part, None] == whole["first", part, None]
    # 18 multipliers keep all weights of the smallest tile, which are read once for it
    keeps_all = tile == Tile(outputs=2, inputs=1)
    assert tiled["first", "weight_read", "sram"] == 4 * 8 * 9 * (1 if keeps_all else PIXELS)
    # windows read the channels of their tile alone, again for every tile of outputs; sums go straight to memory
    again, sums = 8 // (tile.outputs or 8), 4 // (tile.inputs or 4) - 1
    assert tiled["first", "buffer_read", "sram"] == again * 4 * ROWS * SIZE + 8 * PIXELS
    for way in ("memory_read", "memory_write"):
        assert tiled.get(("first", way, "sram"), 0) == sums * 4 * 8 * PIXELS
