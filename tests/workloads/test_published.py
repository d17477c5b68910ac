"""Parameters and MACs of every network beside the implementation it equals and the paper's figures."""

import csv
import re
import sys
from importlib.metadata import entry_points
from math import prod
from pathlib import Path

import pytest

from workloads import FAMILIES, NETWORKS

ROOT = Path(__file__).parents[2]
REFERENCES = ROOT / "tests" / "fixtures" / "exports" / "references.csv"


def _documented():
    """Rows of the README's table by network: implementation, input, parameters, MACs, and the paper's figures."""
    lines = (ROOT / "workloads" / "README.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| `\w+` \|", line)]
    return {row[0].strip("`"): row[1:] for row in rows}


def _counted():
    with REFERENCES.open() as file:
        return {row["network"]: row for row in csv.DictReader(file)}


def test_names_and_registration():
    assert set(NETWORKS) == set(_documented()) == {name for names in FAMILIES.values() for name in names}
    (point,) = entry_points(group="accelsim.workloads", name="workloads")
    assert point.load() is NETWORKS


def test_the_table(capsys):
    lines = []
    for name, (implementation, shape, parameters, macs, *paper) in _documented().items():
        net = NETWORKS[name]()
        image = net.tensors[net.nodes[0].name]
        assert (image.label, f"{net.parameter_count:,}", f"{net.macs:,}") == (shape, parameters, macs), name
        lines.append(f"{name:25}{parameters:>13}{macs:>16}   {paper[0]:7}{paper[1]:11}{implementation}")
    with capsys.disabled():
        heading = f"{'network':25}{'parameters':>13}{'MACs':>16}   {'paper':18}implementation"
        sys.stdout.write("\n" + "\n".join([heading, *lines]) + "\n")


@pytest.mark.parametrize(
    ("network", "layers"),
    [
        ("resnet50", ("stem.pool", "stage2.block1.shortcut.bn", "stage4.block3.conv3", "stage4.block3.relu")),
        ("mobilenet_v3_large", ("block4.se.gate", "block15.add", "hidden.hard_swish")),
        ("efficientnet_b0", ("stem.silu", "stage3.block2.depthwise", "stage3.block2.se.scale", "head.bn")),
        (
            "efficientdet_d0",
            ("bifpn.cell3.p4_up.weighted2", "box_head.p7.conv3.pointwise.bn", "class_head.p3.prediction.depthwise"),
        ),
        ("tiny_yolo_v2", ("conv8.leaky_relu", "prediction")),
        (
            "condensation_net",
            ("conv1.leaky_relu", "conv1.channel_pool", "conv1.pool", "conv8.channel_pool", "prediction"),
        ),
    ],
)
def test_names_that_people_write_in_mappings(network, layers):
    assert set(layers) <= set(NETWORKS[network]().by_name)


@pytest.mark.parametrize("name", _counted())
def test_equals_the_implementation(name):
    net, counted = NETWORKS[name](), _counted()[name]
    assert net.nodes[0].layer.spatial == (int(counted["size"]),) * 2
    assert net.parameter_count == int(counted["parameters"])
    assert net.macs == pytest.approx(int(counted["macs"]), rel=0.01)


def test_tiny_yolo_equals_its_weights_file():
    """The file holds a header of 16 bytes, then float32: every parameter, and two statistics a normalised channel."""
    channels = (16, 32, 64, 128, 256, 512, 1024, 1024)
    net = NETWORKS["tiny_yolo_v2"]()
    assert 16 + 4 * (net.parameter_count + 2 * sum(channels)) == 63_471_556
    assert net.parameter_count + 2 * sum(channels) == 15_867_885  # as Keras counts its ports
    sizes = (416, 208, 104, 52, 26, 13, 13, 13)
    pairs = zip(sizes, (3, *channels[:-1]), channels, strict=True)
    assert net.macs == sum(9 * size**2 * inputs * outputs for size, inputs, outputs in pairs) + 13**2 * 1024 * 125
    assert 2 * net.macs == pytest.approx(6.97e9, rel=0.001)


def test_sample_cnn_equals_the_authors_layers():
    """(length, inputs, outputs, kernel) of the ten normalised convolutions of kernel 3, the 1x1, and the tags."""
    channels = (1, 128, 128, 128, 256, 256, 256, 256, 256, 256, 512)
    layers = [(3 ** (9 - max(k - 1, 0)), channels[k], channels[k + 1], 3) for k in range(10)] + [(1, 512, 512, 1)]
    net = NETWORKS["sample_cnn"]()
    shapes = [(net.tensors[n.name].spatial[0], n.layer.channels) for n in net.nodes if n.kind == "convolution"]
    assert shapes == [(length, outputs) for length, _, outputs, _ in layers]
    assert net.macs == sum(prod(layer) for layer in layers) + 512 * 50
    weights = sum(inputs * outputs * kernel + 3 * outputs for _, inputs, outputs, kernel in layers)
    assert net.parameter_count == weights + 512 * 50 + 50


@pytest.mark.parametrize(
    ("name", "whole", "seven_rows"),
    [
        ("efficientdet_d0", 13_148_160, 1_903_104),
        ("efficientdet_d1", 33_497_600, 3_673_600),
        ("efficientdet_d2", 50_734_080, 4_765_824),
        ("efficientnet_b0", 2_516_640, 832_608),
    ],
)
def test_maps_that_wait_for_squeeze_excite(name, whole, seven_rows):
    """The accounting of tiled squeeze-excite (arXiv 2107.02145): the map at the multiply, and the identity round it."""
    net = NETWORKS[name]()
    maps = [net.tensors[node.inputs[0]] for node in net.nodes if node.name.endswith(".se.scale")]
    skips = [net.tensors[node.inputs[1]] for node in net.nodes if re.search(r"block\d+\.add$", node.name)]
    waiting = [(*tensor.spatial, tensor.channels) for tensor in maps + skips]
    assert sum(prod(sizes) for sizes in waiting) == whole
    assert sum(min(7, height) * width * channels for height, width, channels in waiting) == seven_rows
