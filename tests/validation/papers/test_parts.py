"""Weights in parts: what has room, what is chosen, and that nothing stays on chip between layers."""

import pytest

import accelsim as acs
from accelsim.network.graph import Node, network
from accelsim.network.layers import Convolution, Input
from accelsim.validation.papers.parts import in_parts

ONE = ((0, 0), (0, 0))


def mapped(inputs, outputs, size, kib, lanes=16):
    machine = acs.load_accelerator("feature-map-npu", {"memories.buffer.size": f"{kib} KiB", "engine.lanes": lanes})
    layer = Convolution(outputs, (1, 1), (1, 1), ONE, (1, 1))
    net = network("one", [Node("x", Input(inputs, (size, size))), Node("c", layer, ("x",))], ["c"])
    return in_parts(acs.map_network(net, machine, mapping="layer-by-layer", objective="cycles"))


def passes(design):
    (segment,) = design.mapping.segments
    return 1 if segment.tile.outputs is None else 512 // segment.tile.outputs


@pytest.mark.parametrize(
    ("kib", "expected"),
    [
        (1024, 1),  # 256 KiB of weights beside two rows in, 28 KiB, and out
        (300, 2),  # two halves, of which one row out is half as wide
        (170, 4),  # two quarters, 128 KiB
        (100, 8),  # two eighths, 64 KiB
    ],
)
def test_two_parts_of_the_weights_have_room_beside_the_rows(kib, expected):
    """512 channels to 512 on 28 x 28: the input of 392 KiB never stays."""
    design = mapped(512, 512, 28, kib)
    assert passes(design) == expected
    assert 2 * 512 * 512 // (2 if expected == 1 else expected) + 2 * 28 * 512 <= kib * 1024
    rows = [row for row in acs.simulate(design).body.traffic if row.memory == "dram" and row.kind == "input"]
    assert sum(row.read_bytes for row in rows) == expected * 512 * 28 * 28


@pytest.mark.parametrize(("lanes", "parts"), [(16, 8), (64, 16)])
def test_smaller_parts_leave_room_for_an_input_that_is_read_again_fast_enough(lanes, parts):
    """512 channels to 512 on 7 x 7 in 90 KiB: two eighths of the weights leave no room for the input, sixteenths do.

    Read again, it passes the lanes: 16 x 24.5 KiB are 25,088 cycles by 16, longer than 8 times by 20 B a cycle.
    """
    assert passes(mapped(512, 512, 7, 90, lanes)) == parts


def test_an_input_that_stays_is_read_once():
    rows = acs.simulate(mapped(512, 512, 7, 90, lanes=64)).body.traffic
    assert sum(row.read_bytes for row in rows if row.memory == "dram" and row.kind == "input") == 512 * 7 * 7


def test_every_map_is_stored_and_read_again():
    net = acs.load_network("resnet18")
    machine = acs.load_accelerator("feature-map-npu", {"memories.buffer.size": "4 MiB"})
    report = acs.simulate(in_parts(acs.map_network(net, machine, mapping="layer-by-layer", objective="cycles")))
    stored = [row for row in report.body.traffic if row.kind == "output"]
    assert {row.memory for row in stored} == {"dram"}
    assert {row.layer for row in stored} == {name for segment in report.body.segments for name in segment.layers}


def test_layers_without_parts_keep_their_tiles():
    net = acs.load_network("mobilenet_v1")
    chosen = acs.map_network(net, acs.load_accelerator("feature-map-npu"), mapping="layer-by-layer", objective="cycles")
    after = {segment.layers: segment.tile for segment in in_parts(chosen).mapping.segments}
    for segment in chosen.mapping.segments:
        if "depthwise" in segment.layers[0]:
            assert after[segment.layers] == segment.tile
