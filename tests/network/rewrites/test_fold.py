"""Folded batch norms compute the same with fewer layers."""

import numpy as np
import pytest

from accelsim.network.graph import network
from accelsim.network.layers import Activation, BatchNorm, Combine, Dense, TransposedConvolution
from accelsim.network.rewrites.fold import fold
from tests.network.draft import Draft, weighted
from tests.network.naive_layers import random_weights, run
from workloads import NETWORKS


def image(spatial, channels=4):
    return np.random.default_rng(5).normal(size=(*spatial, channels))


def agree(net, folded):
    """Both give the same outputs, port by port."""
    x = image(net.tensors["image"].spatial, net.tensors["image"].channels)
    before, after = run(net, {"image": x}), run(folded, {"image": x})
    for old, new in zip(net.outputs, folded.outputs, strict=True):
        assert old.name == new.name
        np.testing.assert_allclose(after[new.node], before[old.node], rtol=1e-5, atol=1e-5)


def convolution(draft):
    return draft.conv("layer", draft.image, 6, 3, bias=True)


def grouped(draft):
    return draft.conv("layer", draft.image, 6, 3, groups=2)


def transposed(draft):
    layer = TransposedConvolution(6, (3, 2), (2, 1), ((1, 0), (0, 0)), (1, 1), (0, 0), groups=2, bias=True)
    return draft.add("layer", layer, draft.image)


def dense(draft):
    return draft.add("layer", Dense(6), draft.image)


@pytest.mark.parametrize("layer", [convolution, grouped, transposed, dense])
@pytest.mark.parametrize("norms", [1, 2])
def test_folded_layers_compute_the_same(layer, norms):
    draft = Draft(4, (5, 6))
    x = layer(draft)
    for index in range(norms):
        x = draft.add(f"norm{index}", BatchNorm(1e-3), x)
    net = weighted(draft, draft.add("relu", Activation("relu"), x))
    folded = fold(net)
    assert [node.name for node in folded.nodes] == ["image", "layer", "relu"]
    assert folded.by_name["layer"].layer.bias
    assert set(folded.parameters) == {"layer.weight", "layer.bias"}
    assert folded.parameters["layer.weight"].dtype == np.float32
    agree(net, folded)


def test_the_formula():
    draft = Draft(1, ())
    net = draft.finished(draft.add("norm", BatchNorm(0.5), draft.add("layer", Dense(1, bias=True), draft.image)))
    arrays = {"layer.weight": [[3.0]], "layer.bias": [7.0]}
    arrays |= {"norm.scale": [2.0], "norm.shift": [1.0], "norm.mean": [4.0], "norm.variance": [3.5]}
    net = network("one", net.nodes, ["norm"], parameters={key: np.array(value) for key, value in arrays.items()})
    folded = fold(net)
    factor = 2 / (3.5 + 0.5) ** 0.5
    assert folded.parameters["layer.weight"] == [[3 * factor]]
    assert folded.parameters["layer.bias"] == [(7 - 4) * factor + 1]
    assert (folded.outputs[0].name, folded.outputs[0].node) == ("norm", "layer")


def test_only_what_no_one_else_reads_is_folded():
    draft = Draft(4, (5, 6))
    read_twice = draft.add("norm", BatchNorm(), draft.conv("read", draft.image, 4))
    shown = draft.add("norm2", BatchNorm(), draft.conv("shown", draft.image, 4))
    alone = draft.add("norm3", BatchNorm(), draft.add("relu", Activation("relu"), draft.image))
    net = weighted(draft, draft.add("sum", Combine("add"), read_twice, "read", alone, shown), "shown")
    assert fold(net) is net


def test_without_arrays_shapes_are_folded():
    net = NETWORKS["resnet50"]()
    folded = fold(net)
    assert not any(isinstance(node.layer, BatchNorm) for node in folded.nodes)
    channels = sum(net.tensors[node.name].channels for node in net.nodes if isinstance(node.layer, BatchNorm))
    assert folded.parameter_count == net.parameter_count - channels
    assert folded.macs == net.macs
    assert not folded.parameters


@pytest.mark.parametrize("missing", ["layer.weight", "norm.variance", "norm.shift"])
def test_weights_that_cannot_be_computed_are_left_out(missing):
    draft = Draft(4, (5, 6))
    shapes = draft.finished(draft.add("norm", BatchNorm(), draft.conv("layer", draft.image, 4)))
    arrays = {key: array for key, array in random_weights(shapes).items() if key != missing}
    folded = fold(network("some", shapes.nodes, ["norm"], parameters=arrays))
    assert [node.name for node in folded.nodes] == ["image", "layer"]
    assert not folded.parameters


def _heads(*norms):
    """Three uses of one convolution, each with the batch norm owner given, or none."""
    draft = Draft(4, (5, 6))
    ends = []
    for index, owner in enumerate(norms):
        x = draft.add(f"active{index}", Activation("relu" if index else "neg"), draft.image)
        x = draft.conv(f"head{index}", x, 4)
        if index:
            node = draft.nodes.pop()
            x = draft.add(node.name, node.layer, *node.inputs, shares="head0")
        if owner is not None:
            x = draft.add(f"norm{index}", BatchNorm(), x, shares=None if owner == index else f"norm{owner}")
        ends.append(x)
    return weighted(draft, *ends)


@pytest.mark.parametrize(
    ("norms", "shares"),
    [
        ((0, 1, 2), (None, None, None)),
        ((0, 0, 0), (None, "head0", "head0")),
        ((0, 0, 2), (None, "head0", None)),
        ((0, None, None), (None, None, "head1")),
        ((None, 1, None), (None, None, "head0")),
    ],
)
def test_weights_are_shared_where_the_norms_are(norms, shares):
    net = _heads(*norms)
    folded = fold(net)
    assert tuple(folded.by_name[f"head{index}"].shares for index in range(3)) == shares
    agree(net, folded)
