"""Figures of papers: every line has its function, and each function gives what its definition says."""

import pytest

import accelsim as acs
from accelsim.validation.papers.claims import (
    CLAIMS,
    FIGURES,
    Figure,
    attention_latency_ratio,
    compare_figures,
    slowest_fold,
    without_attention,
)
from accelsim.validation.papers.compare import FOLDER
from accelsim.validation.papers.lines import read_lines


@pytest.fixture(scope="module")
def found():
    return {(row.key, row.quantity): row for row in compare_figures(FOLDER)}


def test_every_function_has_its_line_and_every_other_line_is_not_reproducible():
    lines = {(line.key, line.quantity): line for line in read_lines(FOLDER / FIGURES, Figure)}
    assert set(CLAIMS) <= set(lines)
    for key, line in lines.items():
        assert line.source
        assert line.assumption
        assert key in CLAIMS or line.status == "not reproducible"


def test_what_is_reproduced_agrees_to_the_digits_published(found):
    reproduced = [row for row in found.values() if row.status == "reproduced"]
    assert len(reproduced) == 17
    for row in reproduced:
        digits = 0.02 if row.key == "tse/efficientdet_d2" and row.measured == 50e6 else 0.01
        assert abs(row.error) <= digits, row.key


def test_what_is_not_reproducible_says_so_and_has_a_figure_only_where_a_rule_gives_one(found):
    none = {key for (key, _), row in found.items() if row.predicted is None}
    assert none == {"hailo8/efficientdet_lite0", "hailo8/vit_tiny", "finn/cnv", "finn/sfc", "edge_tpu/mobilenet_v2"}
    assert {found[key].status for key in found if key[0] in none} == {"not reproducible"}


def test_savings_are_those_of_the_report(found):
    machine = acs.load_accelerator("feature-map-npu")
    net = acs.load_network("condensation_net_f2")
    report = acs.simulate(acs.map_network(net, machine, mapping="layer-by-layer"))
    of = report.body.virtual_maps
    key = "condensation/condensation_net_f2"
    assert found[key, "bandwidth_saving:whole network, maps and weights"].predicted == of.network.saving_with_weights
    assert found[key, "bandwidth_saving:pooled layers, maps"].predicted == of.pooled_layers.saving
    assert found[key, "extra_gates"].predicted == of.hardware.gate_share


def test_foldings_give_the_cycles_of_their_closed_form():
    """Output pixels x inputs x kernel x outputs over SIMD x PE, the slowest of all layers."""
    net = acs.load_network(FOLDER / "cnv.yaml")
    unroll = acs.read_mapping(FOLDER / "cnv_w1a1.mapping.yaml").unroll
    slowest = max(net.macs_of(net.by_name[name]) // of.multipliers for name, of in unroll.items())
    assert slowest == 32768
    assert slowest_fold(FOLDER, "cnv.yaml", "cnv_w1a1.mapping.yaml", "100 MHz") == slowest


def test_maps_go_past_their_gates():
    net = acs.load_network("mobilenet_v3_large")
    past = without_attention(net)
    assert not acs.simulate(acs.map_network(past, acs.load_accelerator("streaming-asic"))).attention_buffering.blocks
    gates = sum(net.macs_of(n) for n in net.nodes) - sum(past.macs_of(n) for n in past.nodes)
    report = acs.simulate(acs.map_network(net, acs.load_accelerator("streaming-asic")))
    assert gates == report.body.work.excitation_macs
    assert past.tensors[past.outputs[0].node] == net.tensors[net.outputs[0].node]


def test_a_network_without_blocks_is_as_slow_without_them():
    assert attention_latency_ratio(FOLDER, "resnet18") == 1
