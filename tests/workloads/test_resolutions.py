"""Networks at other resolutions, and shapes that no network can have."""

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.network.layers import Concat, Convolution, Input, Reduce, Slice
from workloads import NETWORKS
from workloads.blocks import adaptive_mean
from workloads.draft import Draft

IMAGES = sorted(set(NETWORKS) - {"sample_cnn"})
SIZES = st.integers(33, 400)


def _halved(size, times):
    for _ in range(times):
        size = (size + 1) // 2
    return size


@pytest.mark.parametrize("name", IMAGES)
def test_convolutions_keep_their_weights_at_other_resolutions(name):
    published, other = NETWORKS[name](), NETWORKS[name](input_shape=(3, 250, 331))
    assert other.parameter_count == published.parameter_count
    assert other.inputs[0].shape == (1, 3, 250, 331)
    assert [node.name for node in other.nodes if node.kind == "convolution"] == [
        node.name for node in published.nodes if node.kind == "convolution"
    ]


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_leading_one_changes_nothing(name):
    shape = NETWORKS[name]().inputs[0].shape
    assert NETWORKS[name](shape).nodes == NETWORKS[name](list(shape[1:])).nodes == NETWORKS[name]().nodes


def test_a_shape_by_the_inputs_name():
    assert NETWORKS["vgg16"]({"image": (3, 96, 64)}).nodes == NETWORKS["vgg16"]((3, 96, 64)).nodes
    assert NETWORKS["vgg16"]({}).nodes == NETWORKS["vgg16"]().nodes
    with pytest.raises(InputError, match="for input 'image'"):
        NETWORKS["vgg16"]({"data": (3, 96, 64)})


@pytest.mark.parametrize("name", IMAGES)
def test_other_channels_change_the_first_layer_only(name):
    published = NETWORKS[name]()
    grey = NETWORKS[name]((1, *published.nodes[0].layer.spatial))
    stem = next(node.layer for node in published.nodes if isinstance(node.layer, Convolution))
    assert published.parameter_count - grey.parameter_count == 2 * stem.channels * prod(stem.kernel)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v1", "mobilenet_v3_small", "efficientnet_b0", "regnety_800mf"])
@settings(max_examples=10, deadline=None)
@given(height=SIZES, width=SIZES)
def test_five_halvings(name, height, width):
    net = NETWORKS[name]((3, height, width))
    assert net.tensors[net.by_name["mean"].inputs[0]].spatial == (_halved(height, 5), _halved(width, 5))


@settings(max_examples=10, deadline=None)
@given(height=SIZES, width=SIZES)
def test_pyramid_levels(height, width):
    net = NETWORKS["efficientdet_d0"]((3, height, width))
    levels = [(_halved(height, level), _halved(width, level)) for level in (3, 4, 5, 6, 7)]
    assert [net.tensors[port.node].spatial for port in net.outputs] == levels * 2
    assert [net.tensors[port.node].channels for port in net.outputs] == [810] * 5 + [36] * 5


def test_heads_share_convolutions_but_not_batch_norms():
    net = NETWORKS["efficientdet_d0"]()
    heads = [node for node in net.nodes if node.name.startswith(("class_head.", "box_head."))]
    for node in heads:
        own = node.kind == "batch_norm" or ".p3." in node.name or not node.layer.weights(net.sources(node))
        assert node.shares == (None if own else node.name.replace(node.name.split(".")[1], "p3", 1))


@pytest.mark.parametrize("length", [59_049, 60_000, 118_097])
def test_lengths_that_leave_one_position(length):
    assert NETWORKS["sample_cnn"]((1, length)).parameter_count == NETWORKS["sample_cnn"]().parameter_count


def test_a_longer_waveform_widens_the_classifier():
    longer = NETWORKS["sample_cnn"]((1, 3 * 59_049)).parameter_count
    assert longer - NETWORKS["sample_cnn"]().parameter_count == 2 * 512 * 50


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize(
    "shape",
    [
        (), (3,), (3, 0, 224), (3, 224, -1), (2, 3, 224, 224), (1, 1, 3, 224, 224), (3, 224.0, 224), ("3", 224, 224),
        (0, 224), (1, 0), (None, 3, 224, 224), 224, "3,224,224",
    ],
)  # fmt: skip
def test_shapes_that_make_no_sense(name, shape):
    with pytest.raises(InputError, match=rf"{name}: input_shape = .*published shape"):
        NETWORKS[name](input_shape=shape)


@pytest.mark.parametrize(
    ("name", "shape", "place"),
    [
        ("vgg16", (3, 16, 224), r"vgg16 at 3x16x224: stage5\.pool"),
        ("sample_cnn", (1, 59_048), r"sample_cnn at 1x59048: conv10\.pool"),
        ("sample_cnn", (1, 2), r"sample_cnn at 1x2: conv1 "),
        ("resnet18", (3, 2**21, 2**21), "image .* 2\\^40"),
    ],
)
def test_sizes_that_do_not_fit_name_the_layer(name, shape, place):
    with pytest.raises(InputError, match=place):
        NETWORKS[name](shape)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 20), (7, 7), (8, 6), (14, 21), (12, 12), (7, 50)])
def test_adaptive_mean_averages_the_windows_it_says(height, width):
    draft = Draft("adaptive")
    image = draft.add("image", Input(2, (height, width)))
    net = draft.finished(adaptive_mean(draft, "mean", image, 7))
    x = np.random.default_rng(0).normal(size=(height, width, 2))
    windows = [[(i * n // 7, -(-(i + 1) * n // 7)) for i in range(7)] for n in (height, width)]
    expected = [[x[a:b, c:d].mean(axis=(0, 1)) for c, d in windows[1]] for a, b in windows[0]]
    np.testing.assert_allclose(_evaluated(net, x), expected)


def _evaluated(net, image):
    """The output of a network of slices, means over tiles that divide their map, and concatenations."""
    values = {}
    for node in net.nodes:
        operands = [values[name] for name in node.inputs]
        match node.layer:
            case Input():
                values[node.name] = image
            case Slice(axis, start, size):
                values[node.name] = np.take(operands[0], range(start, start + size), axis)
            case Reduce("mean", (rows, columns)):
                h, w, c = operands[0].shape
                values[node.name] = operands[0].reshape(h // rows, rows, w // columns, columns, c).mean(axis=(1, 3))
            case Concat(axis):
                values[node.name] = np.concatenate(operands, axis)
    return values[net.outputs[0].node]
