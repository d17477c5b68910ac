"""The closed form, by hand and against the makers' own formula."""

from fractions import Fraction
from math import ceil, prod

import pytest

import accelsim as acs
from accelsim.validation.papers.compare import FOLDER
from accelsim.validation.papers.hardware_layers import HardwareLayer, hardware_layers
from accelsim.validation.papers.layer_times import (
    POLICIES,
    Policy,
    estimate,
    once,
    passes_beside_rows,
    passes_by_halves,
)
from accelsim.validation.papers.machines import Machine, read_machines

MACHINE = Machine(key="m", network="n", multipliers=10, buffer_kib=1, gb_per_s=2, clock_ghz=1, frames_per_second=1)


def layer(macs=1000, weight=0, kernel=0, read=0, strip=0, other=0, winograd=False):
    return HardwareLayer("x", macs, weight, kernel, read, strip, other, winograd)


@pytest.mark.parametrize(
    ("given", "beside_rows", "halves"),
    [
        (layer(weight=600, kernel=50, read=9000, strip=400), 1, 2),  # weights fit beside the rows
        (layer(weight=700, kernel=50, read=9000, strip=400), 2, 2),  # 700 / (1024 - 400)
        (layer(weight=7000, kernel=100, read=900, strip=400), 1, 14),  # the input fits beside the kernels
        (layer(weight=7000, kernel=700, read=9000, strip=400), 10, 14),  # kernels take more than the rows leave
        (layer(weight=7000, kernel=2000, read=9000, strip=2000), 14, 14),  # nothing fits: half of the buffer
        (layer(read=9000, strip=2000), 1, 1),  # no weights
    ],
)
def test_how_often_an_input_is_read(given, beside_rows, halves):
    assert passes_beside_rows(given, 1024) == beside_rows
    assert passes_by_halves(given, 1024) == halves
    assert once(given, 1024) == 1


def test_a_frame_is_the_sum_of_its_slowest_parts():
    layers = [layer(macs=1000, weight=20, read=30, other=40), layer(macs=90, winograd=True)]
    found = estimate(MACHINE, layers, Policy("q", lambda *_: 3, False, True, ""))
    assert found.moved_bytes == 20 + 3 * 30 + 40
    assert found.multiplier_cycles == 100 + 4  # 1000 / 10, and 90 / 2.25 / 10; 150 bytes take 75 cycles
    assert found.cycles == found.multiplier_cycles
    slower = MACHINE.model_copy(update={"gb_per_s": Fraction(1)})
    found = estimate(slower, layers, Policy("q", lambda *_: 3, False, False, ""))
    assert (found.cycles, found.multiplier_cycles) == (150 + 9, 9)


def in_atoms(channels):
    return ceil(channels / 16) * 16


@pytest.mark.parametrize("name", ["resnet50_v1", "resnet18", "vgg16", "mobilenet_v1"])
def test_sizes_are_those_of_the_estimator(name):
    """The makers' formulas for MACs, weights and input, as users of their sheets quote them (nvdla/hw issue 51)."""
    net = acs.load_network(name)
    found = {layer.name: layer for layer in hardware_layers(net, unfolded=True)}
    convolutions = [node for node in net.nodes if node.kind == "convolution"]
    assert {node.name for node in convolutions} <= set(found)
    for node in convolutions:
        (source,), output, at = net.sources(node), net.tensors[node.name], node.layer
        groups, stride = at.groups, prod(at.stride)
        inputs, outputs = in_atoms(source.channels // groups * stride), output.channels // groups
        kernel = prod(ceil(k / s) for k, s in zip(at.kernel, at.stride, strict=True))
        macs = groups * inputs * prod(output.spatial) * in_atoms(outputs) * prod(at.kernel) / stride
        assert found[node.name].macs == ceil(macs)
        assert found[node.name].weight_bytes == groups * inputs * outputs * kernel
        assert found[node.name].kernel_bytes == min(32, groups * outputs) * inputs * kernel
        height, width = (ceil(n / s) for n, s in zip(source.spatial, at.stride, strict=True))
        assert found[node.name].input_bytes == groups * inputs * height * width
        assert found[node.name].strip_bytes == groups * inputs * min(at.kernel[0] + 1, height) * width


def test_additions_and_pools_join_the_convolution_before_them():
    net = acs.load_network("resnet50_v1")
    found = {layer.name: layer for layer in hardware_layers(net, unfolded=False)}
    assert len(found) == 54  # 53 convolutions and the classifier
    assert found["stem"].other_bytes == 64 * 56 * 56  # behind its pool
    joined = found["stage1.block2.conv3"]
    assert joined.other_bytes == 2 * 256 * 56 * 56  # the sum is stored, the skip is read
    assert found["stage1.block2.conv1"].other_bytes == 64 * 56 * 56
    assert found["stage4.block3.conv3"].other_bytes == 2048 * (7 * 7 + 1)  # the skip, and the means
    assert found["stage1.block1.conv3"].other_bytes == 256 * 56 * 56
    assert found["stage1.block1.shortcut"].other_bytes == 2 * 256 * 56 * 56  # the later of the two makes the sum


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_without_rounding_all_work_is_the_networks(name):
    net = acs.load_network(name)
    layers = hardware_layers(net, unfolded=False)
    kernels = [node.layer.weights(net.sources(node)).get("weight") for node in net.nodes if net.macs_of(node)]
    assert sum(layer.weight_bytes for layer in layers) == sum(prod(shape) for shape in kernels)
    assert sum(layer.macs for layer in layers) == net.macs


def test_no_policy_moves_less_than_every_byte_once():
    net = acs.load_network("resnet50_v1")
    for machine in read_machines(FOLDER):
        moved = {p.quantity: estimate(machine, hardware_layers(net, p.unfolded), p) for p in POLICIES}
        least = moved["frames_per_second_read_once"]
        assert all(least.moved_bytes <= found.moved_bytes for found in moved.values())
        assert all(found.multiplier_cycles <= found.cycles for found in moved.values())


def test_networks_of_any_layers_can_be_estimated():
    for name in acs.registered_networks():
        if name.startswith(("efficientdet_d1", "efficientdet_d2", "efficientdet_d3")):
            continue
        layers = hardware_layers(acs.load_network(name), unfolded=True)
        assert all(layer.strip_bytes <= layer.input_bytes for layer in layers), name
