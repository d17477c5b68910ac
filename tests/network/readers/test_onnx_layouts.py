"""Elements are moved where a layer needs them elsewhere, and nowhere else."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from accelsim.network.layers import Product, Rearrange, Softmax
from accelsim.network.readers.onnx import read_onnx
from tests.network.readers.interpreter import run
from tests.network.readers.onnx_models import check_against_onnx, kinds, model, reference, save, weight


def ints(*values):
    return np.array(values, np.int64)


def node(text, **attributes):
    """A node from 'y = Kind x w'."""
    output, _, call = text.partition(" = ")
    kind, *inputs = call.split()
    return helper.make_node(kind, inputs, output.split(","), **attributes)


def test_linear_layers_between_convolutions_cost_no_moves(tmp_path):
    nodes = [
        node("a = Conv x w3", pads=[1] * 4),
        node("t = Transpose a", perm=[0, 2, 3, 1]),
        node("n = LayerNormalization t s b"),
        node("l = MatMul n wl"),
        node("r = Relu l"),
        node("k = MatMul r wk"),
        node("g = Mul k gamma"),
        node("u = Transpose g", perm=[0, 3, 1, 2]),
        node("y = Add u x"),
    ]
    weights = {
        "w3": weight(4, 4, 3, 3), "s": weight(4), "b": weight(4), "wl": weight(4, 16), "wk": weight(16, 4),
        "gamma": weight(4),
    }  # fmt: skip
    net = check_against_onnx(tmp_path, model(nodes, {"x": (1, 4, 6, 5)}, ["y"], weights))
    assert kinds(net) == ["convolution", "normalise", "dense", "activation", "dense", "combine", "combine"]


def test_an_input_with_channels_last_arrives_as_the_convolution_wants_it(tmp_path):
    nodes = [node("t = Transpose x", perm=[0, 3, 1, 2]), node("y = Conv t w")]
    net = check_against_onnx(tmp_path, model(nodes, {"x": (1, 5, 6, 3)}, ["y"], {"w": weight(2, 3, 2, 2)}))
    assert kinds(net) == ["convolution"]
    assert net.inputs[0].spatial_axes == (1, 2)
    assert net.inputs[0].channel_axes == (3,)


def test_an_input_reshaped_to_a_map_arrives_as_a_map(tmp_path):
    nodes = [node("t = Reshape x s"), node("y = Conv t w")]
    made = model(nodes, {"x": (1, 36)}, ["y"], {"s": ints(1, 1, 6, 6), "w": weight(2, 1, 3, 3)})
    net = check_against_onnx(tmp_path, made)
    assert kinds(net) == ["convolution"]
    assert net.tensors["x"].spatial == (6, 6)


def test_an_input_read_twice_keeps_its_order(tmp_path):
    nodes = [
        node("t = Transpose x", perm=[0, 2, 1]),
        node("a = MatMul t w"),
        node("s = Softmax x", axis=2),
        node("r = ReduceSum s"),
        node("y = Add a r"),
    ]
    check_against_onnx(tmp_path, model(nodes, {"x": (1, 4, 6)}, ["y"], {"w": weight(4, 3)}))


def attention(heads, positions, depth):
    width = heads * depth
    nodes = [
        node("p = MatMul x w"),
        node("f = Reshape p split"),
        node("t = Transpose f", perm=[2, 0, 3, 1, 4]),
        node("q = Gather t zero", axis=0),
        node("k = Gather t one", axis=0),
        node("v = Gather t two", axis=0),
        node("kt = Transpose k", perm=[0, 1, 3, 2]),
        node("s = MatMul q kt"),
        node("d = Mul s scale"),
        node("a = Softmax d", axis=-1),
        node("o = MatMul a v"),
        node("ot = Transpose o", perm=[0, 2, 1, 3]),
        node("or = Reshape ot merge"),
        node("y = MatMul or wo"),
    ]
    weights = {
        "w": weight(width, 3 * width), "split": ints(1, positions, 3, heads, depth), "merge": ints(1, positions, width),
        "zero": ints(0).reshape(()), "one": ints(1).reshape(()), "two": ints(2).reshape(()),
        "scale": np.array(depth**-0.5, np.float32), "wo": weight(width, width),
    }  # fmt: skip
    return model(nodes, {"x": (1, positions, width)}, ["y"], weights)


@pytest.mark.parametrize(("heads", "positions", "depth"), [(2, 5, 4), (1, 3, 8), (4, 7, 2)])
def test_attention_is_two_products_and_no_moves(tmp_path, heads, positions, depth):
    net = check_against_onnx(tmp_path, attention(heads, positions, depth))
    assert "rearrange" not in kinds(net)
    products = [n.layer for n in net.nodes if isinstance(n.layer, Product)]
    assert products == [Product(heads, True), Product(heads, False)]
    softmax = next(n.layer for n in net.nodes if isinstance(n.layer, Softmax))
    assert softmax == Softmax(heads)
    assert sum(net.macs_of(n) for n in net.nodes if n.kind == "product") == 2 * positions**2 * heads * depth


def test_windows_are_leading_axes_of_a_product(tmp_path):
    """Attention within the 2x3 windows of a 4x6 map: one move in, one out."""
    nodes = [
        node("l = MatMul x linear"),
        node("w = Reshape l cut"),
        node("p = Transpose w", perm=[0, 1, 3, 2, 4, 5]),
        node("f = Reshape p flat"),
        node("ft = Transpose f", perm=[0, 2, 1]),
        node("s = MatMul f ft"),
        node("o = MatMul s f"),
        node("b = Reshape o back"),
        node("u = Transpose b", perm=[0, 1, 3, 2, 4, 5]),
        node("r = Reshape u whole"),
        node("y = Add r x"),
    ]
    weights = {
        "linear": weight(8, 8), "cut": ints(1, 2, 2, 2, 3, 8), "flat": ints(4, 6, 8), "back": ints(1, 2, 2, 2, 3, 8),
        "whole": ints(1, 4, 6, 8),
    }  # fmt: skip
    net = check_against_onnx(tmp_path, model(nodes, {"x": (1, 4, 6, 8)}, ["y"], weights))
    assert kinds(net) == ["dense", "rearrange", "product", "product", "rearrange", "combine"]


def test_channel_shuffle_is_one_move_within_the_pixels(tmp_path):
    nodes = [
        node("c = Conv x w", group=2),
        node("r = Reshape c cut"),
        node("t = Transpose r", perm=[0, 2, 1, 3, 4]),
        node("s = Reshape t whole"),
        node("y = Conv s v", group=2),
    ]
    weights = {
        "w": weight(6, 3, 1, 1), "v": weight(6, 3, 1, 1), "cut": ints(1, 2, 3, 4, 4), "whole": ints(1, 6, 4, 4),
    }  # fmt: skip
    net = check_against_onnx(tmp_path, model(nodes, {"x": (1, 6, 4, 4)}, ["y"], weights))
    assert kinds(net) == ["convolution", "rearrange", "convolution"]
    move = next(n.layer for n in net.nodes if isinstance(n.layer, Rearrange))
    assert move == Rearrange((4, 4, 2, 3), (0, 1, 3, 2), (4, 4), 6)


def test_flattening_a_map_of_one_pixel_costs_nothing(tmp_path):
    nodes = [node("p = GlobalAveragePool x"), node("f = Flatten p"), node("y = Gemm f w")]
    net = check_against_onnx(tmp_path, model(nodes, {"x": (1, 6, 4, 4)}, ["y"], {"w": weight(6, 3)}))
    assert kinds(net) == ["reduce", "dense"]


def test_detection_heads_are_joined_along_their_boxes(tmp_path):
    nodes, outputs = [], []
    shapes = {"a": (1, 10, 4, 4), "b": (1, 10, 2, 2)}
    for name, (_, _, height, width) in shapes.items():
        nodes += [
            node(f"{name}r = Reshape {name} cut{name}"),
            node(f"{name}t = Transpose {name}r", perm=[0, 1, 3, 4, 2]),
            node(f"{name}f = Reshape {name}t flat"),
        ]
        outputs.append(f"{name}f")
        shapes[name] = (1, 10, height, width)
    nodes.append(helper.make_node("Concat", outputs, ["y"], axis=1))
    weights = {"cuta": ints(1, 2, 5, 4, 4), "cutb": ints(1, 2, 5, 2, 2), "flat": ints(1, -1, 5)}
    net = check_against_onnx(tmp_path, model(nodes, shapes, ["y"], weights))
    assert net.outputs[0].shape == (1, 40, 5)
    assert kinds(net) == ["rearrange", "rearrange", "concat"]


def test_token_numbers_are_looked_up(tmp_path):
    nodes = [node("e = Gather table x", axis=0), node("y = LayerNormalization e s")]
    made = model(nodes, {"x": (1, 5)}, ["y"], {"table": weight(11, 8), "s": weight(8)})
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    net = read_onnx(save(tmp_path, made))
    feeds = {"x": np.array([[3, 0, 10, 7, 7]])}
    np.testing.assert_allclose(run(net, feeds)[0], reference(made, feeds)[0], rtol=1e-4, atol=1e-4)
    assert kinds(net) == ["embedding", "normalise"]
    assert net.parameter_count == 11 * 8 + 2 * 8


@pytest.mark.parametrize("computed", [False, True])
def test_what_is_expanded_only_to_be_broadcast_is_left_to_broadcasting(tmp_path, computed):
    """A gate written as x * gate.expand_as(x): the multiply reads the gate, the expansion is no stage."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"], "pool"),
        helper.make_node("Sigmoid", ["mean"], ["gate"], "sigmoid"),
        helper.make_node("Expand", ["gate", "shape"], ["spread"], "expand"),
        helper.make_node("Mul", ["x", "spread"], ["y"], "multiply"),
    ]
    shape = [helper.make_tensor("shape", TensorProto.INT64, [4], [1, 8, 9, 7])]
    if computed:
        nodes.insert(0, helper.make_node("Shape", ["x"], ["shape"], "shape"))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 9, 7]) for name in "xy")
    graph = helper.make_graph(nodes, "gated", [x], [y], [] if computed else shape)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "gated.onnx")
    net = read_onnx(tmp_path / "gated.onnx")
    assert net.by_name["multiply"].inputs == ("x", "sigmoid")
    assert {node.kind for node in net.nodes} == {"input", "reduce", "activation", "combine"}
