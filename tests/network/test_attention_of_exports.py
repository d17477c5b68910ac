"""Squeeze-excite blocks of networks that other people's code exported, and of our own exports."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from accelsim.network.attention import attention_buffering, find_attention
from accelsim.network.readers.onnx.reader import read_onnx
from accelsim.network.readers.yaml import read_yaml_network
from accelsim.network.rewrites.fold import fold
from accelsim.network.rewrites.tile_attention import tile_attention
from accelsim.network.writers.onnx import write_onnx
from accelsim.network.writers.yaml import write_yaml_network
from tests.materials import material
from tests.network.draft import EXCITATIONS, GATES, SQUEEZES, block, weighted
from tests.network.naive_layers import run
from tests.network.writers.test_onnx import channels_first, execute
from workloads import NETWORKS

EXPORTS = Path(__file__).resolve().parent.parent / "fixtures" / "exports"
#: The network of `workloads` behind each model that was exported.
SAME = {
    "efficientdet_d0": "efficientdet_d0", "efficientdet_d1": "efficientdet_d1", "efficientdet_d2": "efficientdet_d2",
    "efficientnet_b0": "efficientnet_b0", "mobilenetv3_large_100": "mobilenet_v3_large",
    "regnety_008": "regnety_800mf", "seresnet50": "se_resnet50",
}  # fmt: skip
#: The accounting of arXiv 2107.02145, whole and with tiles of seven rows; the paper rounds D2 to 50 M and 4.77 M.
PUBLISHED = {
    "efficientdet_d2": (43_600_896 + 7_133_184, 4_185_216 + 580_608),
    "efficientdet_d1": (33_497_600, 3_673_600),
    "efficientdet_d0": (13_148_160, 1_903_104),
    "efficientnet_b0": (2_516_640, 832_608),
}
FILES = sorted(path.stem for path in EXPORTS.glob("*.onnx"))
WITH_BLOCKS = [stem for stem in FILES if stem.split("-")[0].removeprefix("tf_") in SAME]


def table(net):
    rows = attention_buffering(net).blocks
    return sorted((row.rows, row.width, row.channels, row.skip_channels) for row in rows)


def read_export(stem):
    size = int(stem.split("-")[1])
    return read_onnx(EXPORTS / f"{stem}.onnx", (1, 3, size, size) if "dynamic" in stem else None)


@pytest.mark.parametrize("stem", WITH_BLOCKS)
def test_exports_have_the_blocks_of_the_network(stem):
    net, same = read_export(stem), NETWORKS[SAME[stem.split("-")[0].removeprefix("tf_")]]()
    assert len(find_attention(net)) > 0
    assert table(net) == table(same)
    assert table(tile_attention(net, 7)) == table(tile_attention(same, 7))


def test_exports_of_every_network_are_there():
    assert {stem.split("-")[0].removeprefix("tf_") for stem in WITH_BLOCKS} == set(SAME)


@pytest.mark.parametrize("stem", sorted(set(FILES) - set(WITH_BLOCKS)))
def test_other_exports_have_none(stem):
    assert find_attention(read_export(stem)) == ()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accounting(name):
    net = NETWORKS[name]()
    whole, tiled = PUBLISHED[name]
    assert attention_buffering(net).total_elements == whole
    assert attention_buffering(tile_attention(net, 7)).total_elements == tiled


@pytest.mark.parametrize("rows", [1, 3, 5, 8, 14])
def test_accounting_is_linear_in_rows(rows):
    """As long as no map is lower than a tile."""
    net = NETWORKS["efficientdet_d2"]()
    assert attention_buffering(tile_attention(net, rows)).total_elements * 7 == rows * PUBLISHED["efficientdet_d2"][1]


@pytest.mark.parametrize("tile", [{}, {"rows": 7}, {"rows": 3, "columns": 5, "count": 4}], ids=str)
@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small", "se_resnet50", "regnety_800mf"])
def test_what_was_written_is_read_back(tmp_path, name, tile):
    net = NETWORKS[name]()
    net = tile_attention(net, **tile) if tile else net
    write_onnx(net, tmp_path / "net.onnx")
    again = read_onnx(tmp_path / "net.onnx")
    assert [b.tile for b in find_attention(again)] == [b.tile for b in find_attention(net)]
    assert table(again) == table(net)
    assert (again.macs, again.parameter_count) == (net.macs, net.parameter_count)
    assert {port.name: port.shape for port in again.outputs} == {port.name: port.shape for port in net.outputs}


@pytest.mark.parametrize("spatial", [(7,), (9, 6), (5, 4, 3)], ids=str)
@pytest.mark.parametrize("tile", [{}, {"rows": 2}, {"rows": 4, "columns": 2}], ids=str)
@pytest.mark.parametrize(
    ("squeeze", "excitation", "gate"), list(zip((*SQUEEZES, "global pool"), EXCITATIONS, GATES, strict=True))
)
def test_every_dialect_is_read_back_with_its_values(tmp_path, squeeze, excitation, gate, tile, spatial):
    draft, end = block(spatial, squeeze, excitation, gate)
    net = weighted(draft, end)
    net = tile_attention(net, **tile) if tile else net
    write_onnx(net, tmp_path / "net.onnx")
    again = read_onnx(tmp_path / "net.onnx")
    assert [b.tile for b in find_attention(again)] == [b.tile for b in find_attention(net)]
    assert table(again) == table(net)
    x = np.random.default_rng(2).normal(size=(*spatial, 4))
    expected = run(net, {"image": x})[end]
    write_onnx(again, tmp_path / "again.onnx")
    found = execute(tmp_path / "again.onnx", {"image": channels_first(x)})[end]
    np.testing.assert_allclose(found, channels_first(expected), rtol=1e-4, atol=1e-4)


TRAINED = {
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": ((1, 3, 48, 192), 9),
    "ch_PP-OCRv4_det_infer.onnx": ((1, 3, 96, 160), 10),
}


def _tiled_whole(net):
    """Tiled and made whole again."""
    return tile_attention(tile_attention(net, 2, columns=20), 10**6)


@pytest.mark.parametrize("form", [lambda net: net, fold, _tiled_whole], ids=["as read", "folded", "tiled and back"])
@pytest.mark.parametrize("file", TRAINED)
def test_trained_networks_are_written_as_they_compute(tmp_path, file, form):
    """Exported by Paddle; onnxruntime gives the same on the original and on what we write."""
    path, (shape, blocks) = material(file), TRAINED[file]
    net = form(read_onnx(path, shape))
    assert len(find_attention(net)) == blocks
    write_onnx(net, tmp_path / "net.onnx")
    (source,), (result,) = net.inputs, net.outputs
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    original = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected,) = original.run(None, {source.name: x})
    np.testing.assert_allclose(execute(tmp_path / "net.onnx", {source.name: x})[result.name], expected, atol=1e-5)


@pytest.mark.parametrize("file", TRAINED)
def test_trained_networks_come_back_from_yaml(tmp_path, file):
    path, (shape, _) = material(file), TRAINED[file]
    net = read_onnx(path, shape)
    write_yaml_network(net, tmp_path / "net.yaml")
    again = read_yaml_network(tmp_path / "net.yaml")
    assert (again.nodes, again.inputs, again.outputs) == (net.nodes, net.inputs, net.outputs)
    assert again.parameter_count == net.parameter_count
    assert set(again.parameters) == set(net.parameters)
    assert all(np.array_equal(again.parameters[key], array) for key, array in net.parameters.items())
