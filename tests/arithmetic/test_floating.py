"""Layers in single precision against the same in plain NumPy, on random networks and one of every kind."""

import numpy as np
import pytest

from accelsim.arithmetic.calibrate import RealProgram
from accelsim.arithmetic.execute import execute
from accelsim.errors import NotModelled
from accelsim.network import layers as kinds
from accelsim.network.graph import Node, network
from tests.arithmetic.layers import one_layer, plain
from tests.network.naive_layers import random_weights, run

TWO = ((1, 2), (0, 1))
LAYERS = [
    kinds.Convolution(6, (3, 2), (2, 1), TWO, (1, 2), 2, True),
    kinds.TransposedConvolution(4, (3, 2), (2, 1), ((1, 0), (0, 1)), (1, 2), (1, 0), 2, True),
    kinds.Dense(3, True),
    *[kinds.Pool(o, (3, 2), (2, 1), ((1, 1), (0, 1)), (1, 1), c, i) for o, c, i in
      [("maximum", False, False), ("average", False, False), ("average", False, True), ("average", True, False)]],
    *[kinds.Reduce(o, t) for o in ("mean", "maximum", "minimum", "sum", "l1", "l2") for t in (None, (3, 4))],
    *[kinds.ChannelPool(o, 2) for o in ("mean", "maximum", "sum")],
    kinds.Slice(0, 1, 3, 2), kinds.Slice(-1, 3, 3, -1),
    kinds.Pad(((1, -1), (2, 0)), (1, 0), "constant", 0.5), kinds.Pad(((2, 1), (1, 1)), mode="reflect"),
    kinds.Pad(((1, 1), (2, 2)), mode="edge"), kinds.Pad(((1, 1), (2, 2)), mode="wrap"),
    *[kinds.Resize((9, 5), m, c) for m in ("nearest", "linear") for c in ("asymmetric", "half_pixel", "align_corners")],
    kinds.PRelu(), kinds.PRelu(True), kinds.BatchNorm(), kinds.Normalise(), kinds.Normalise("space"),
    kinds.Normalise("all", 2), kinds.LocalNorm(3), kinds.Softmax(), kinds.Softmax(2), kinds.Softmax(1, "space"),
    kinds.Softmax(log=True), kinds.Rearrange((7, 6, 2, 2), (2, 0, 3, 1), (2, 7), 12),
]  # fmt: skip
DOMAINS = {"log": (0.1, 3), "sqrt": (0, 3), "reciprocal": (0.5, 3), "power": (0.1, 2)}


def checked(layer, x):
    bare = network("one", [Node("x", kinds.Input(x.shape[-1], x.shape[:-1])), Node("y", layer, ("x",))], ["y"])
    net = network("one", bare.nodes, ["y"], (), random_weights(bare))
    made = {node.name: value for node, value in RealProgram(net).steps({"x": x})}["y"]
    expected = run(net, {"x": x.astype(np.float64)})["y"]
    assert made.dtype == np.float32
    assert made.shape == expected.shape
    assert np.allclose(made, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layer(layer):
    checked(layer, np.random.default_rng(1).normal(size=(7, 6, 4)).astype(np.float32))


@pytest.mark.parametrize("function", kinds.ACTIVATIONS)
def test_activation(function):
    parameters = tuple([-0.5, 0.7][k] if function == "clip" else 0.4 for k in range(len(kinds.ACTIVATIONS[function])))
    low, high = DOMAINS.get(function, (-6, 6))
    x = np.random.default_rng(2).uniform(low, high, (3, 5, 4)).astype(np.float32)
    checked(kinds.Activation(function, parameters), x)


@pytest.mark.parametrize("operation", kinds.COMBINATIONS)
def test_combination(operation):
    rng = np.random.default_rng(3)
    shapes = [(6, 5, 4), (1, 5, 4), (4,), (2, 3, 4)]
    layer = kinds.Combine(operation, ((), (), (), (3, 2)))
    nodes = [Node(f"x{k}", kinds.Input(s[-1], s[:-1])) for k, s in enumerate(shapes)]
    net = network("one", [*nodes, Node("y", layer, tuple(n.name for n in nodes))], ["y"])
    feeds = {f"x{k}": rng.uniform(0.5, 1.5, s).astype(np.float32) for k, s in enumerate(shapes)}
    made = {node.name: value for node, value in RealProgram(net).steps(feeds)}["y"]
    assert np.allclose(made, run(net, feeds)["y"], rtol=1e-4)


@pytest.mark.parametrize("layer", [kinds.Reduce("lp"), kinds.Resize((9, 5), "cubic", "half_pixel")], ids=str)
def test_what_is_not_executed_is_told(layer):
    with pytest.raises(NotModelled, match="not executed"):
        checked(layer, np.ones((7, 6, 4), np.float32))


def test_a_node_that_is_not_executed_is_named():
    inet = one_layer(kinds.Resize((9, 5), "cubic", "half_pixel"), [(plain(8), 7, 6, 4)], plain(8))
    with pytest.raises(NotModelled, match="one: y: resizing with mode cubic is not executed"):
        execute(inet, np.zeros(inet.network.inputs[0].shape, np.int8))
