"""Condensation-Net beside Tiny YOLOv2: what is stored, what is computed, and what stays about equal."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.network.layers import ChannelPool
from accelsim.network.rewrites.virtual_maps import virtual_layers
from workloads import NETWORKS
from workloads.condensation import BACKBONE, VARIANTS, condensation_net, equal_work
from workloads.yolo import CHANNELS, tiny_yolo

PLAIN = tiny_yolo("plain")
SIZES = (416, 208, 104, 52, 26, 13, 13, 13)


def stored(net):
    """Shape of each map that the layer behind a backbone convolution's activation reads."""
    ends = {f"{name}.leaky_relu" for name in BACKBONE} | {f"{name}.channel_pool" for name in BACKBONE}
    return {
        node.inputs[0].split(".")[0]: net.tensors[node.inputs[0]]
        for node in net.nodes
        if node.inputs and node.inputs[0] in ends and node.kind != "channel_pool"
    }


def work(net, name):
    return net.macs_of(net.by_name[name])


def test_two_names_for_one_network():
    one, other = NETWORKS["tiny_yolo_v2"](), NETWORKS["tiny_yolov2"]()
    assert one.nodes == other.nodes
    assert (other.name, other.parameter_count) == ("tiny_yolov2", 15_861_773)


def test_the_shape_of_tiny_yolo():
    maps = [(tensor.channels, tensor.spatial) for tensor in stored(PLAIN).values()]
    assert maps == [(channels, (size, size)) for channels, size in zip(CHANNELS, SIZES, strict=True)]
    pools = [node for node in PLAIN.nodes if node.kind in ("pool", "reduce")]
    assert [node.layer.kernel for node in pools] == [(2, 2)] * 6
    assert [node.layer.stride for node in pools] == [(2, 2)] * 5 + [(1, 1)]
    assert [node.layer.padding for node in pools] == [((0, 0), (0, 0))] * 5 + [((0, 1), (0, 1))]
    assert PLAIN.tensors["prediction"].label == "125x13x13"
    assert sum(node.kind == "convolution" for node in PLAIN.nodes) == 9


def test_the_default_is_what_the_rewrite_takes():
    assert virtual_layers(PLAIN) == BACKBONE
    default = condensation_net()
    assert default.nodes == NETWORKS["condensation_net"]().nodes == NETWORKS["condensation_net_f2"]().nodes


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_what_their_names_say(name):
    net, variant = NETWORKS[name](), VARIANTS[name]
    pools = [node for node in net.nodes if node.kind == "channel_pool"]
    assert [node.layer for node in pools] == [ChannelPool("maximum", variant.factor)] * 8
    assert net.name == name
    assert net.tensors["prediction"] == PLAIN.tensors["prediction"]
    assert [net.tensors[name].spatial for name in BACKBONE] == [(size, size) for size in SIZES]


@pytest.mark.parametrize("operation", ["maximum", "mean"])
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("pooled", [BACKBONE, ("conv1",), ("conv6", "conv3"), (*BACKBONE, "prediction")])
def test_stored_maps_stay_and_work_grows(factor, pooled, operation):
    net = condensation_net(factor, pooled, operation)
    assert stored(net) == stored(PLAIN)
    for name in (*BACKBONE, "prediction"):
        times = factor if name in pooled else 1
        assert work(net, name) == times * work(PLAIN, name)
        for suffix in ("", ".bn") if name in BACKBONE else ("",):
            own, plain = net.by_name[name + suffix], PLAIN.by_name[name + suffix]
            assert net.parameters_of(own) == times * PLAIN.parameters_of(plain)
    assert net.inputs == PLAIN.inputs
    assert [port.shape for port in net.outputs] == [port.shape for port in PLAIN.outputs]


@pytest.mark.parametrize("factor", [2, 3, 4, 9])
def test_equal_work(factor):
    """Rounding moves a width by half a channel at most, and so the work between two pooled layers."""
    net = condensation_net(factor, keep="macs")
    widths = [tensor.channels for tensor in stored(net).values()]
    exact = [channels / sqrt(factor) for channels in CHANNELS]
    np.testing.assert_allclose(widths, exact, atol=0.5)
    for position in range(1, 8):
        error = work(net, BACKBONE[position]) / work(PLAIN, BACKBONE[position]) - 1
        slack = [0.5 / width for width in exact[position - 1 : position + 1]]
        assert abs(error) <= (1 + slack[0]) * (1 + slack[1]) - 1
    assert work(net, "conv1") / work(PLAIN, "conv1") == pytest.approx(sqrt(factor), rel=0.5 / exact[0])
    assert work(net, "prediction") / work(PLAIN, "prediction") == pytest.approx(1 / sqrt(factor), rel=0.5 / exact[-1])
    assert net.macs == pytest.approx(PLAIN.macs, rel=0.05)


@pytest.mark.parametrize("factor", [4, 16])
def test_squares_are_exact(factor):
    net = condensation_net(factor, keep="macs")
    assert [work(net, name) for name in BACKBONE[1:]] == [work(PLAIN, name) for name in BACKBONE[1:]]


def test_layers_not_pooled_keep_their_channels():
    net = condensation_net(4, ("conv3", "conv4"), keep="macs")
    widths = [tensor.channels for tensor in stored(net).values()]
    assert widths == [16, 32, 32, 64, 256, 512, 1024, 1024]
    times = [work(net, name) / work(PLAIN, name) for name in BACKBONE]
    assert times == [1, 1, 2, 1, 0.5, 1, 1, 1]


@given(st.integers(1, 10**6), st.integers(2, 10**4))
def test_the_nearest_whole_number(channels, factor):
    width = equal_work(channels, factor)
    assert width >= 1
    assert 4 * channels**2 < factor * (2 * width + 1) ** 2
    assert width == 1 or 4 * channels**2 >= factor * (2 * width - 1) ** 2


def test_smaller_images_are_pooled_alike():
    """Maps of a single point too: which layers are pooled does not depend on the resolution."""
    small = condensation_net(input_shape=(3, 32, 32))
    assert [node.name for node in small.nodes] == [node.name for node in condensation_net().nodes]
    assert small.parameter_count == condensation_net().parameter_count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": "weights"}, "condensation_net: keep = 'weights' is unknown; use stored or macs"),
        ({"keep": "macs", "factor": 0}, "factor = 0 must be an integer of at least 2"),
        ({"keep": "macs", "pooled": ["conv10"]}, r"layers\[0\] = 'conv10' is no layer .* did you mean 'conv1'"),
        ({"operation": "median"}, "operation = 'median' is unknown"),
        ({"input_shape": (3, 0, 0)}, "condensation_net: input_shape"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(InputError, match=message):
        condensation_net(**arguments)
