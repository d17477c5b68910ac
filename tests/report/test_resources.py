"""FPGA primitives of small pipelines, counted by hand."""

from types import MappingProxyType

import polars as pl
import pytest

import accelsim as acs
from accelsim.mapping.unrolling import Unroll
from accelsim.network.graph import Node, network
from accelsim.network.layers import Combine, Convolution, Input, Pool

CONV = Convolution(32, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))


def machine(**settings):
    return acs.load_accelerator("fpga-stream", {key.replace("__", "."): value for key, value in settings.items()})


def one(layer, unroll, capacity=None, **settings):
    """The rows of a layer on 16 channels of 64 by 64 points, by part."""
    net = network("one", [Node("x", Input(16, (64, 64))), Node("y", layer, ("x",))], ["y"])
    capacities = MappingProxyType({} if capacity is None else {"x -> y": capacity})
    mapping = acs.Mapping(MappingProxyType({} if unroll is None else {"y": unroll}), capacities=capacities)
    report = acs.simulate(acs.bind(net, machine(**settings), mapping))
    return report, {row.part: row for row in report.body.resources.rows if row.layer == "y"}


def test_a_convolution_by_hand():
    report, rows = one(CONV, Unroll(inputs=8, outputs=4, window=3), capacity=6, device__uram=0)
    # 8 x 3 products for each of 4 outputs, which pair up on their shared inputs; sums of 144 products of 16 bits
    assert rows["multipliers"].dsp == 24 * 2
    assert rows["multipliers"].lut == 300 + -(-11 * 4 * (16 * (2 * 24 - 1) + 24) // 10)
    # 16 x 32 x 9 weights in words of 96: 768 bits by 48 words, in LUTs of 64
    assert (rows["weights"].width_bits, rows["weights"].words, rows["weights"].lut) == (768, 48, 768)
    # 32 channels, 4 a cycle: 8, 16, ... 1,024 words of 4 x 24 bits; 8 to 128 in LUTs, 256, 512 and 1,024 in block RAM
    thresholds = rows["thresholds"]
    assert (thresholds.width_bits, thresholds.words) == (96, 8 * 255)
    assert thresholds.lut == 8 * 96 + 96 * (1 + 1 + 1 + 1 + 2)
    assert (thresholds.bram18, thresholds.uram) == (3 + 3 + 6, 0)
    # six rows of 64 pixels of 16 channels, eight of which are taken a cycle: 64 bits by 768 words
    buffer = rows["buffer"]
    assert (buffer.name, buffer.width_bits, buffer.words) == ("x -> y", 64, 768)
    assert (buffer.bram18, buffer.lut, buffer.dsp) == (4, 2 * 10, 0)
    assert report.body.resources.dsp.used == 48


@pytest.mark.parametrize(
    ("unroll", "bits", "dsp"),
    [
        (Unroll(outputs=1), 8, 1), (Unroll(outputs=2), 8, 1), (Unroll(outputs=4), 8, 2), (Unroll(outputs=8), 4, 2),
        (Unroll(inputs=8), 8, 8), (Unroll(pixels=4), 8, 2), (Unroll(inputs=2, pixels=2), 8, 2),
        (Unroll(outputs=8), 9, 8), (Unroll(outputs=2), 20, 4), (Unroll(outputs=4, pixels=2), 4, 2),
    ],
)  # fmt: skip
def test_products_are_packed_where_they_share_an_operand(unroll, bits, dsp):
    _, rows = one(CONV, unroll, activation_bits=bits, weight_bits=bits)
    assert rows["multipliers"].dsp == dsp


@pytest.mark.parametrize(("groups", "outputs", "dsp"), [(16, 8, 8), (4, 8, 4), (16, 1, 1), (2, 32, 16)])
def test_outputs_of_different_groups_share_nothing(groups, outputs, dsp):
    layer = Convolution(16 if groups == 16 else 32, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), groups)
    _, rows = one(layer, Unroll(outputs=outputs))
    assert rows["multipliers"].dsp == dsp


def test_a_dsp58_sums_three_products():
    _, rows = one(CONV, Unroll(inputs=8, outputs=4, window=3), blocks__core="dsp58")
    assert rows["multipliers"].dsp == 24 // 3 * 4


def test_a_depthwise_layer_takes_as_many_channels_as_it_makes():
    layer = Convolution(16, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), groups=16)
    _, rows = one(layer, Unroll(outputs=8, window=9), capacity=4)
    assert (rows["buffer"].width_bits, rows["buffer"].words) == (64, 4 * 64 * 2)
    assert (rows["weights"].width_bits, rows["weights"].words) == (8 * 9 * 8, 2)


def test_weights_that_are_loaded_for_every_frame_are_there_twice():
    _, rows = one(CONV, Unroll(inputs=8), weights="frame")
    _, resident = one(CONV, Unroll(inputs=8))
    assert rows["weights"].words == 2 * resident["weights"].words
    assert len([row for row in rows.values() if row.part == "buffer"]) == 1


def test_pooling_and_addition_have_adders_or_comparators():
    _, rows = one(Pool("maximum", (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), None)
    assert rows["arithmetic"].lut == 4 * 16 * 8  # a pixel a cycle, for which four of 16 channels are compared
    nodes = [
        Node("x", Input(16, (64, 64))),
        Node("c", Convolution(16, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)), ("x",)),
    ]
    net = network("sum", [*nodes, Node("y", Combine("add"), ("c", "x"))], ["y"])
    report = acs.simulate(acs.map_network(net, machine()))
    assert next(row.lut for row in report.body.resources.rows if row.part == "arithmetic") == 64 * 8


def test_totals_are_sums_of_the_rows():
    report = acs.simulate(acs.map_network(acs.load_network("mobilenet_v2"), machine(), target_fps=200))
    table, found = report.resources, report.body.resources
    sums = table.select(pl.col("dsp", "lut", "bram18", "uram").sum()).row(0)
    assert sums == (found.dsp.used, found.lut.used, sums[2], found.uram.used)
    assert found.bram36.used == -(-sums[2] // 2)
    assert found.bram36.utilisation == found.bram36.used / 2688
    assert {row.layer for row in found.rows} | set(found.not_counted) >= {s.stage for s in report.body.stages} - {
        "image"
    }
    assert "FPGA primitives" in str(report)


def test_word_by_word_has_the_same_units():
    net = network("one", [Node("x", Input(16, (8, 8))), Node("y", CONV, ("x",))], ["y"])
    design = acs.bind(net, machine(), acs.Mapping(MappingProxyType({"y": Unroll(inputs=4, outputs=2)})))
    rows, words = (acs.simulate(design, granularity=by).body.resources for by in ("row", "word"))
    assert rows.dsp == words.dsp
    assert [r for r in rows.rows if r.part != "buffer"] == [r for r in words.rows if r.part != "buffer"]


def test_too_few_of_a_primitive_is_a_warning_with_the_gap():
    report, _ = one(CONV, Unroll(inputs=16, outputs=8), device__dsp=60)
    assert report.warnings == (
        "Alveo U250 has 60 DSP, the pipeline takes 64 (short by 4); unroll outputs, which share an input, before "
        "inputs; lower engine.multipliers, the frame rate, or the bits",
    )


def test_other_machines_say_that_it_is_not_modelled():
    chain = acs.load_network("resnet18", input_shape=(1, 3, 64, 64))
    for name in ("streaming-asic", "systolic-npu"):
        body = acs.simulate(acs.map_network(chain, acs.load_accelerator(name))).body
        assert body.resources is None
        assert "resources" in body.not_modelled
    body = acs.simulate(acs.map_network(chain, machine(), mapping="layer-by-layer")).body
    assert body.resources is None
    assert "resources" in body.not_modelled
