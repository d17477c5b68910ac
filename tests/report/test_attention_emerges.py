"""The squeeze-excite question: what the accounting says must come out of dependencies alone."""

from pathlib import Path

import pytest

import accelsim as acs
from accelsim.network.attention import find_attention

EXPORTS = Path(__file__).parent.parent / "fixtures" / "exports"
MACHINE = acs.load_accelerator("streaming-asic")
EXPECTED = {
    "efficientdet_d2": (50_734_080, 4_765_824),
    "efficientdet_d1": (33_497_600, 3_673_600),
    "efficientdet_d0": (13_148_160, 1_903_104),
    "efficientnet_b0": (2_516_640, 832_608),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_accounting_is_the_published_one(name):
    net = acs.load_network(name)
    for network, total in zip((net, acs.tile_attention(net, rows=7)), EXPECTED[name], strict=True):
        report = acs.simulate(acs.map_network(network, MACHINE))
        assert report.attention_buffering.total_elements == total


def exports() -> list[tuple[str, tuple[int, ...] | None]]:
    found = []
    for path in sorted(EXPORTS.glob("*.onnx")):
        name, size = path.stem.split("-")[:2]
        if name.removeprefix("tf_") in EXPECTED:
            found.append((path.name, (1, 3, int(size), int(size)) if "dynamic" in path.stem else None))
    return found


@pytest.mark.parametrize(("file", "input_shape"), exports())
def test_other_peoples_exports_give_the_same_accounting(file, input_shape):
    net = acs.load_network(EXPORTS / file, input_shape=input_shape)
    expected = EXPECTED[file.split("-")[0].removeprefix("tf_")]
    for network, total in zip((net, acs.tile_attention(net, rows=7)), expected, strict=True):
        assert acs.simulate(acs.map_network(network, MACHINE)).attention_buffering.total_elements == total


def test_there_are_exports_of_every_kind():
    names = {file.split("-")[0] for file, _ in exports()}
    assert set(EXPECTED) <= {name.removeprefix("tf_") for name in names}
    assert any(name.startswith("tf_") for name in names)
    assert any("dynamic" in file for file, _ in exports())


@pytest.mark.parametrize("granularity", ["row", "pixel"])
@pytest.mark.parametrize("rows", [None, 1, 3, 7, 14, 28])
def test_gates_wait_for_what_the_accounting_says_and_more(rows, granularity):
    """The wait emerges: the bound is the accounting, and the simulated peaks only add to it."""
    net = acs.load_network("efficientnet_b0")
    net = net if rows is None else acs.tile_attention(net, rows=rows)
    report = acs.simulate(acs.map_network(net, MACHINE), granularity=granularity)
    gate, skip = report.buffering["gate"], report.buffering["skip"]
    accounting = report.attention_buffering
    assert gate.bound_elements == accounting.gate_elements
    assert skip.bound_elements >= accounting.skip_elements
    for role in (gate, skip):
        assert role.bound_elements <= role.one_frame_peak_elements <= role.peak_elements
        assert role.simultaneous_peak_elements <= role.peak_elements


def test_each_gate_waits_for_its_own_block():
    net = acs.load_network("mobilenet_v3_large")
    report = acs.simulate(acs.map_network(net, MACHINE), granularity="pixel")
    gates = {row.consumer: row for row in report.body.buffers if row.role == "gate"}
    blocks = find_attention(net)
    assert set(gates) == {block.multiply for block in blocks}
    for block in blocks:
        assert gates[block.multiply].bound_elements == net.tensors[block.map].elements


def test_tiles_shorten_what_the_accounting_leaves_out():
    """Latency, frames in flight and the pyramid's waits fall too; excitation work rises with the tiles."""
    net = acs.load_network("efficientdet_d0")
    base = acs.map_network(net, MACHINE)
    whole = acs.simulate(base)
    tiled = acs.simulate(acs.map_network(acs.tile_attention(net, rows=7), MACHINE, like=base))
    assert tiled.throughput.interval_cycles == whole.throughput.interval_cycles
    assert tiled.throughput.latency_cycles < whole.throughput.latency_cycles / 2
    assert tiled.buffering["pyramid"].peak_elements < whole.buffering["pyramid"].peak_elements
    assert tiled.body.work.excitation_macs > whole.body.work.excitation_macs
    assert tiled.body.work.parameters == whole.body.work.parameters


def test_a_silu_is_no_gate():
    net = acs.load_network(EXPORTS / "convnext_atto-224-script-opset17.onnx")
    report = acs.simulate(acs.map_network(net, MACHINE))
    assert report.attention_buffering.total_elements == 0
