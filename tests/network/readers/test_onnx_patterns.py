"""Functions and norms that exporters write out are read as the single layers they are, and nothing else is."""

from itertools import product

import numpy as np
import pytest
from onnx import helper

from accelsim.network.layers import Activation, Combine, Normalise
from tests.network.readers.onnx_models import check_against_onnx, kinds, model, weight

MAP = (1, 6, 4, 5)


def written(lines, weights=None, shape=MAP, opset=17):
    """A model from lines such as 'y = Add x one'; names that are numbers become constants."""
    arrays = dict(weights or {})
    nodes = []
    for line in lines:
        output, _, call = line.partition(" = ")
        kind, *inputs = call.split()
        for name in inputs:
            if name.lstrip("-").replace(".", "").replace("e-", "").isdigit():
                arrays[name] = np.array(float(name), np.float32)
        attributes = {"axes": [-1]} if kind == "ReduceMean" else {}
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
    return model(nodes, {"x": shape}, [nodes[-1].output[0]], arrays, opset)


def layers(tmp_path, made):
    net = check_against_onnx(tmp_path, made)
    return [node.layer for node in net.nodes if node.kind not in ("input", "constant")]


GATES = {
    "add clip": ["a = Add x 3", "g = Clip a 0 6"],
    "add relu min": ["a = Add 3 x", "r = Relu a", "g = Min r 6"],
    "max min": ["a = Add x 3", "r = Max a 0", "g = Min 6 r"],
}
#: Where the division by 6 stands.
SCALINGS = {
    "gate divided": ["h = Div g 6", "y = Mul x h"],
    "gate times sixth": ["h = Mul g 0.16666667", "y = Mul h x"],
    "product divided": ["h = Mul x g", "y = Div h 6"],
    "product times sixth": ["h = Mul g x", "y = Mul 0.16666667 h"],
    "input divided": ["h = Div x 6", "y = Mul h g"],
}


@pytest.mark.parametrize(("gate", "scaling"), list(product(GATES, SCALINGS)))
def test_hard_swish_in_every_order(tmp_path, gate, scaling):
    assert layers(tmp_path, written(GATES[gate] + SCALINGS[scaling])) == [Activation("hard_swish")]


WRITTEN = {
    "hard_swish": ["g = HardSigmoid x", "y = Mul x g"],
    "silu": ["g = Sigmoid x", "y = Mul x g"],
    "silu by exp": ["n = Neg x", "e = Exp n", "d = Add e 1", "y = Div x d"],
    "gelu": ["s = Div x 1.4142135", "e = Erf s", "p = Add e 1", "m = Mul x p", "y = Mul m 0.5"],
    "gelu halved first": ["h = Mul x 0.5", "s = Mul x 0.70710677", "e = Erf s", "p = Add 1 e", "y = Mul h p"],
    "gelu_tanh": [
        "c = Pow x 3", "k = Mul c 0.044715", "i = Add x k", "s = Mul i 0.7978846", "t = Tanh s", "p = Add t 1",
        "h = Mul x 0.5", "y = Mul h p",
    ],
    "mish": ["s = Softplus x", "t = Tanh s", "y = Mul x t"],
    "softplus": ["e = Exp x", "p = Add e 1", "y = Log p"],
    "softsign": ["a = Abs x", "p = Add a 1", "y = Div x p"],
    "relu": ["y = Max x 0"],
    "relu6": ["y = Clip x 0 6"],
    "sigmoid": ["n = Neg x", "e = Exp n", "p = Add e 1", "y = Reciprocal p"],
    "neg": ["y = Mul x -1"],
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_activations_written_out(tmp_path, name):
    made = written(WRITTEN[name])
    for node in made.graph.node:
        if node.op_type == "HardSigmoid":
            node.attribute.append(helper.make_attribute("alpha", 1 / 6))
    assert layers(tmp_path, made) == [Activation(name.split()[0])]


PARAMETERS = {
    "leaky": (["s = Mul x 0.1", "y = Max x s"], Activation("leaky_relu", (0.1,))),
    "square": (["y = Mul x x"], Activation("power", (2.0,))),
    "clip": (["a = Max x -0.5", "y = Min a 0.75"], Activation("clip", (-0.5, 0.75))),
    "hard sigmoid": (["a = Add x 3", "c = Clip a 0 6", "y = Div c 6"], Activation("hard_sigmoid", (0.166667, 0.5))),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_found(tmp_path, name):
    lines, expected = PARAMETERS[name]
    assert layers(tmp_path, written(lines)) == [expected]


OTHERS = {
    "quick gelu": (["s = Mul x 1.702", "g = Sigmoid s", "y = Mul x g"], ["combine", "activation", "combine"]),
    "another gate": (["a = Add x 2", "c = Clip a 0 6", "y = Mul x c"], ["combine", "activation", "combine"]),
    "shifted": (["y = Add x 1"], ["combine"]),
    "scaled": (["y = Mul x 2"], ["combine"]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_resembles_a_function_is_left_alone(tmp_path, name):
    lines, expected = OTHERS[name]
    assert kinds(check_against_onnx(tmp_path, written(lines))) == expected


def test_a_value_used_elsewhere_keeps_its_layer(tmp_path):
    made = written(["g = Sigmoid x", "m = Mul x g", "y = Add m g"])
    assert kinds(check_against_onnx(tmp_path, made)) == ["activation", "combine", "combine"]


def test_a_gate_from_a_pooled_map_is_no_silu(tmp_path):
    made = written(["p = GlobalAveragePool x", "g = Sigmoid p", "y = Mul x g"])
    assert kinds(check_against_onnx(tmp_path, made)) == ["reduce", "activation", "combine"]


VECTORS = {"w": weight(8), "b": weight(8, seed=3)}
CENTRED = ["m = ReduceMean x", "c = Sub x m"]
NORMS = {
    "pow sqrt div": [*CENTRED, "q = Pow c 2", "v = ReduceMean q", "e = Add v 0.001", "r = Sqrt e", "n = Div c r"],
    "mul sqrt": [*CENTRED, "q = Mul c c", "v = ReduceMean q", "e = Add 0.001 v", "r = Sqrt e", "n = Div c r"],
    "reciprocal": [
        *CENTRED, "q = Pow c 2", "v = ReduceMean q", "e = Add v 0.001", "r = Sqrt e", "i = Reciprocal r", "n = Mul c i",
    ],
    "difference twice": [
        *CENTRED, "d = Sub x m", "q = Pow d 2", "v = ReduceMean q", "e = Add v 0.001", "r = Sqrt e", "n = Div c r",
    ],
}  # fmt: skip
AFFINE = ["s = Mul n w", "y = Add s b"]


@pytest.mark.parametrize("name", NORMS)
def test_layer_norm_written_out(tmp_path, name):
    (layer,) = layers(tmp_path, written(NORMS[name] + AFFINE, VECTORS, (1, 5, 8)))
    assert layer == Normalise("channels", 1, True, True, pytest.approx(1e-3))


def test_rms_norm_written_out(tmp_path):
    lines = ["q = Pow x 2", "v = ReduceMean q", "e = Add v 0.001", "r = Sqrt e", "n = Div x r", "y = Mul w n"]
    (layer,) = layers(tmp_path, written(lines, VECTORS, (1, 5, 8)))
    assert layer == Normalise("channels", 1, True, False, pytest.approx(1e-3))


def test_group_norm_as_an_instance_norm_of_groups(tmp_path):
    nodes = [
        helper.make_node("Reshape", ["x", "grouped"], ["g"]),
        helper.make_node("InstanceNormalization", ["g", "ones", "zeros"], ["i"]),
        helper.make_node("Reshape", ["i", "back"], ["r"]),
        helper.make_node("Mul", ["r", "w"], ["s"]),
        helper.make_node("Add", ["s", "b"], ["y"]),
    ]
    weights = {
        "grouped": np.array([0, 3, -1], np.int64), "back": np.array(MAP, np.int64),
        "ones": np.ones(3, np.float32), "zeros": np.zeros(3, np.float32),
        "w": weight(6, 1, 1), "b": weight(6, 1, 1, seed=2),
    }  # fmt: skip
    (layer,) = layers(tmp_path, model(nodes, {"x": MAP}, ["y"], weights))
    assert (layer.over, layer.groups, layer.affine) == ("all", 3, True)


def test_a_vector_added_to_a_product_with_weights_is_its_bias(tmp_path):
    made = written(["m = MatMul x w", "y = Add b m"], {"w": weight(8, 4), "b": weight(4)}, (1, 5, 8))
    net = check_against_onnx(tmp_path, made)
    assert kinds(net) == ["dense"]
    assert net.nodes[-1].layer.bias
    assert net.parameter_count == 8 * 4 + 4


def test_factors_one_after_the_other_are_one(tmp_path):
    made = written(["a = Mul x 3", "b = Div a 4", "y = Mul 0.5 b"])
    assert layers(tmp_path, made) == [Combine("multiply")]


def test_stacked_and_summed_is_added(tmp_path):
    nodes = [helper.make_node("Unsqueeze", [name, "axis"], [f"{name}u"]) for name in ("x", "z")]
    nodes += [
        helper.make_node("Concat", ["xu", "zu"], ["s"], axis=-1),
        helper.make_node("ReduceSum", ["s", "axis"], ["y"], keepdims=0),
    ]
    made = model(nodes, {"x": MAP, "z": MAP}, ["y"], {"axis": np.array([-1], np.int64)})
    assert layers(tmp_path, made) == [Combine("add")]
