"""Exports by other people's code, read back: the same networks as the builders' in everything that is timed."""

import re
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest

from accelsim import load_network
from accelsim.network.attention import attention_buffering, find_attention
from accelsim.network.rewrites.tile_attention import tile_attention
from workloads import NETWORKS

FOLDER = Path(__file__).parents[1] / "fixtures" / "exports"
EXPORTS = sorted(path.name for path in FOLDER.glob("*.onnx"))

#: The builder of the same network, by the model's name without its "tf_".
BUILDERS = {
    "efficientdet_d0": "efficientdet_d0",
    "efficientdet_d1": "efficientdet_d1",
    "efficientdet_d2": "efficientdet_d2",
    "efficientnet_b0": "efficientnet_b0",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "regnety_008": "regnety_800mf",
    "seresnet50": "se_resnet50",
}
REBUILT = [name for name in EXPORTS if name.split("-")[0].removeprefix("tf_") in BUILDERS]


def _loaded(name):
    size = int(re.search(r"-(\d+)-(?:script|dynamo)", name)[1])
    return load_network(FOLDER / name, input_shape=(1, 3, size, size))


def _builder(name):
    return NETWORKS[BUILDERS[name.split("-")[0].removeprefix("tf_")]]()


@pytest.mark.parametrize("name", EXPORTS)
def test_no_weights_inside(name):
    model = onnx.load(FOLDER / name)
    constants = [
        a.t for node in model.graph.node if node.op_type == "Constant" for a in node.attribute if a.HasField("t")
    ]
    for tensor in (*model.graph.initializer, *constants):
        array = onnx.numpy_helper.to_array(tensor)
        assert array.size <= 64 or array.dtype.kind in "ib", tensor.name


@pytest.mark.parametrize("name", REBUILT)
def test_the_same_work_and_the_same_waiting_maps(name):
    exported, built = _loaded(name), _builder(name)
    assert exported.macs == built.macs
    assert len(find_attention(exported)) == len(find_attention(built)) > 0
    for rows in (1, 7, 8):
        tiled = [attention_buffering(tile_attention(net, rows)) for net in (exported, built)]
        assert tiled[0].gate_elements == tiled[1].gate_elements
        assert tiled[0].skip_elements == tiled[1].skip_elements


@pytest.mark.parametrize("name", REBUILT)
def test_the_same_weights(name):
    """Kernels are what to compare: exporters fold batch norms, store equal arrays once, and write a dense layer
    behind a global average as a 1x1 convolution.
    """

    def kernels(net):
        weights = [node.layer.weights(net.sources(node)) for node in net.nodes if node.kind in ("convolution", "dense")]
        return sorted(tuple(size for size in shapes["weight"] if size > 1) for shapes in weights)

    assert kernels(_loaded(name)) == kernels(_builder(name))


def _vit_macs(tokens=197, width=192, depth=12):
    block = tokens * width * (3 + 1 + 2 * 4) * width + 2 * tokens**2 * width
    return (tokens - 1) * 3 * 16**2 * width + depth * block + width * 1000


def _swin_macs(depths=(2, 2, 6, 2), width=96, window=49):
    total = 56**2 * 3 * 4**2 * width
    for stage, depth in enumerate(depths):
        tokens, channels = (56 >> stage) ** 2, width << stage
        total += depth * tokens * channels * (12 * channels + 2 * window)
        total += (tokens // 4) * 4 * channels * 2 * channels if stage < len(depths) - 1 else 0
    return total + 8 * width * 1000


def _convnext_macs(depths=(2, 2, 6, 2), width=40):
    total = 56**2 * 3 * 4**2 * width
    for stage, depth in enumerate(depths):
        points, channels = (56 >> stage) ** 2, width << stage
        total += depth * points * channels * (7**2 + 8 * channels)
        total += (points // 4) * 2**2 * channels * 2 * channels if stage < len(depths) - 1 else 0
    return total + 8 * width * 1000


@pytest.mark.parametrize("name", sorted(set(EXPORTS) - set(REBUILT)))
def test_work_of_attention_networks(name):
    formulas = {"vit": _vit_macs, "swin": _swin_macs, "convnext": _convnext_macs}
    net = _loaded(name)
    assert net.macs == formulas[name.split("_")[0]]()
    assert prod(net.outputs[0].shape) == 1000
    assert find_attention(net) == ()


def test_arrays_are_as_the_fillers_say():
    """A vector or kernel made by a node is there as an array, and of one value."""
    net = _loaded("efficientdet_d0-512-dynamo-opset18.onnx")
    stem = next(node for node in net.nodes if node.kind == "convolution")
    weight = net.parameters[f"{stem.name}.weight"]
    np.testing.assert_allclose(weight, 1 / prod(weight.shape[1:]))
