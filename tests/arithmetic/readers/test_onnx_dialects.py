"""Networks that ONNX Runtime's tool quantised give its integers, bit for bit."""

from contextlib import suppress

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import accelsim as acs
from accelsim.errors import InputError
from accelsim.network.layers import Activation
from tests.arithmetic.models import FAMILIES, images, quantised, runtime
from tests.materials import material

pytest.importorskip("onnxruntime.quantization", reason="ONNX Runtime's quantiser is not installed")

#: Input of the classifier of text lines.
TEXT_LINE = (1, 3, 48, 192)

#: Forms the tool writes: (format, scale a channel, type of activations, of weights).
FORMS = [
    ("QOperator", False, "QUInt8", "QInt8"),
    ("QOperator", True, "QUInt8", "QInt8"),
    ("QOperator", False, "QInt8", "QInt8"),
    ("QOperator", False, "QUInt8", "QUInt8"),
    ("QDQ", False, "QUInt8", "QInt8"),
    ("QDQ", True, "QUInt8", "QInt8"),
    ("QDQ", False, "QInt8", "QInt8"),
    ("QDQ", False, "QUInt8", "QUInt8"),
]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form)))
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_bit_for_bit(family, form, tmp_path):
    path = quantised(FAMILIES[family](), tmp_path / "net.onnx", *form)
    inet, session = acs.load_integer_network(path), runtime(path, exact="QInt8" not in form[2] or form[0] == "QDQ")
    assert inet.real_nodes == ()
    x = images(6, seed=50)
    expected = np.concatenate([session.run(None, {"x": image[None]})[0] for image in x])
    (made,) = acs.execute(inet, x).values()
    assert made.dtype == expected.dtype
    assert np.array_equal(made, expected)


def test_the_graph_is_that_of_the_real_network(tmp_path):
    model = FAMILIES["squeeze_excite"]()
    path = quantised(model, tmp_path / "net.onnx", "QDQ")
    real = acs.load_network(path.with_suffix(".float.onnx"))
    inet = acs.load_integer_network(path)
    # The tool leaves out activations that clamp nothing that the integers of their output do not clamp as well.
    clamps = {node.name for node in real.nodes if node.name not in inet.network.by_name}
    assert {real.by_name[name].layer for name in clamps} <= {Activation("relu")}
    for node in inet.network.nodes:
        assert node.layer == real.by_name[node.name].layer
        assert inet.network.tensors[node.name] == real.tensors[node.name]


def test_weights_are_integers(tmp_path):
    inet = acs.load_integer_network(quantised(FAMILIES["resnet"](), tmp_path / "net.onnx", "QOperator", True))
    for key, array in inet.network.parameters.items():
        if key.endswith(".weight"):
            kind = inet.weight_formats[key]
            assert array.dtype == np.int8
            assert kind.channels in (1, array.shape[0])
        elif key.endswith(".bias"):
            assert array.dtype == np.int32


@pytest.mark.parametrize("per_channel", [False, True])
def test_real_biases_are_rounded_as_the_runtime_rounds_them(per_channel, tmp_path):
    path = quantised(FAMILIES["resnet"](), tmp_path / "net.onnx", "QDQ", per_channel, QuantizeBias=False)
    inet = acs.load_integer_network(path)
    biases = [array for key, array in inet.network.parameters.items() if key.endswith(".bias")]
    assert {array.dtype for array in biases} == {np.dtype(np.int32)}
    x = images(2, seed=50)
    expected = np.concatenate([runtime(path).run(None, {"x": image[None]})[0] for image in x])
    (made,) = acs.execute(inet, x).values()
    assert np.array_equal(made, expected)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["QOperator", "QDQ"])
def test_a_trained_squeeze_excite_classifier(form, tmp_path):
    """Every quantised tensor on the way is ONNX Runtime's; hard-swishes and gates are real numbers in between."""
    model = onnx.load(material("ch_ppocr_mobile_v2.0_cls_infer.onnx"))
    (entry,) = model.graph.input
    for dimension, size in zip(entry.type.tensor_type.shape.dim, TEXT_LINE, strict=True):
        dimension.dim_value = size
    path = quantised(model, tmp_path / "net.onnx", form, shape=TEXT_LINE)
    inet, session = acs.load_integer_network(path), runtime(path)
    x = images(3, seed=50, shape=TEXT_LINE)
    expected = np.concatenate([session.run(None, {entry.name: image[None]})[0] for image in x])
    (made,) = acs.execute(inet, x).values()
    assert np.array_equal(made, expected)


def with_bias_scale(factor):
    """A fully connected layer in QDQ form whose bias has `factor` times the scale of its sums."""
    stored = {
        "xs": np.float32(0.5), "xz": np.int8(0), "w": np.array([[2, -3]], np.int8), "ws": np.float32(0.25),
        "wz": np.int8(0), "b": np.array([4, 8], np.int32), "bs": np.float32(0.125 * factor), "bz": np.int32(0),
        "ys": np.float32(0.125), "yz": np.int8(0),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xr"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wr"]),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["br"]),
        helper.make_node("Gemm", ["xr", "wr", "br"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "ys", "yz"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "ys", "yz"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)


@pytest.mark.parametrize("factor", [1, 3])
def test_a_bias_keeps_its_own_scale(factor, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(with_bias_scale(factor).SerializeToString())
    made = acs.execute(acs.load_integer_network(path), np.array([[1.5]], np.float32))["y"]
    sums = np.array([3 * 2, 3 * -3]) + np.array([4, 8]) * factor
    assert made.ravel().tolist() == (sums * 0.125).tolist()


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (2,), (1, 2)])
def test_a_bias_may_be_one_number_for_all(shape, factor, tmp_path):
    path = tmp_path / "net.onnx"
    model = with_bias_scale(factor)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "b")
    bias.CopyFrom(numpy_helper.from_array(np.full(shape, 6, np.int32), "b"))
    path.write_bytes(model.SerializeToString())
    made = acs.execute(acs.load_integer_network(path), np.array([[1.5]], np.float32))["y"]
    assert made.ravel().tolist() == ((np.array([3 * 2, 3 * -3]) + 6 * factor) * 0.125).tolist()


def gemm(kind, bias, alpha=1.0, channels=False, constant=True):
    """QGemm, or Gemm between roundings, of a 3 x 12 matrix; the other one constant, or the same matrix again."""
    rng = np.random.default_rng(0)
    columns = 7 if constant else 3
    scale = rng.uniform(0.005, 0.02, columns if channels else ()).astype(np.float32)
    stored = {
        "xs": np.float32(0.03), "xz": np.uint8(120), "w": rng.integers(-127, 128, (columns, 12)).astype(np.int8),
        "ws": scale, "wz": np.zeros(scale.shape, np.int8), "b": bias, "bs": np.float32(0.03) * scale,
        "ys": np.float32(0.2), "yz": np.uint8(100),
    }  # fmt: skip
    second = ["w", "ws", "wz"] if constant else ["xq", "xs", "xz"]
    nodes = [helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"])]
    if kind == "QGemm":
        operands = ["xq", "xs", "xz", *second, "b", "ys", "yz"]
        nodes.append(helper.make_node(kind, operands, ["yq"], "", domain="com.microsoft", alpha=alpha, transB=1))
    else:
        nodes += [
            helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xr"]),
            helper.make_node("DequantizeLinear", second, ["wr"], axis=0),
            helper.make_node("DequantizeLinear", ["b", "bs"], ["br"]),
            helper.make_node("Gemm", ["xr", "wr", "br"], ["sum"], alpha=alpha, transB=1),
            helper.make_node("QuantizeLinear", ["sum", "ys", "yz"], ["yq"]),
        ]
    nodes.append(helper.make_node("DequantizeLinear", ["yq", "ys", "yz"], ["y"]))
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, columns])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def equal_to_the_runtime(model, path, x, plain=False):
    path.write_bytes(model.SerializeToString())
    (expected,) = runtime(path, plain=plain).run(None, {"x": x})
    inet = acs.load_integer_network(path)
    (made,) = acs.execute(inet, x).values()
    assert np.array_equal(made, expected)
    return inet


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (1, 7), (3, 7)])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Gemm", {}), ("QGemm", {}), ("QGemm", {"alpha": 0.5}), ("QGemm", {"alpha": 2.7, "channels": True}),
        ("QGemm", {"alpha": -1.0}),
    ],
)  # fmt: skip
def test_what_is_added_to_a_matrix(kind, options, shape, plain, tmp_path):
    rng = np.random.default_rng(2)
    model = gemm(kind, rng.integers(-3000, 3000, shape).astype(np.int32), **options)
    x = rng.normal(size=(3, 12)).astype(np.float32)
    inet = equal_to_the_runtime(model, tmp_path / "net.onnx", x, plain)
    assert options.get("alpha", 1) < 0 or len(shape) > 1 or not inet.real_nodes


@pytest.mark.parametrize("shape", [(), (3,), (3, 3)])
def test_qgemm_of_two_activations(shape, tmp_path):
    rng = np.random.default_rng(3)
    model = gemm("QGemm", rng.integers(-3000, 3000, shape).astype(np.int32), constant=False)
    equal_to_the_runtime(model, tmp_path / "net.onnx", rng.normal(size=(3, 12)).astype(np.float32))


def test_a_bias_that_is_no_row_is_told(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(gemm("QGemm", np.ones((3, 5), np.int32), channels=True).SerializeToString())
    with pytest.raises(InputError, match=r"bias of shape \[3, 5\] for 7 columns"):
        acs.load_integer_network(path)


def combined(kind, types):
    """Add or Mul of two roundings of the input to the first two types, rounded to the third."""
    zeros = {np.uint8: 120, np.int8: 7, np.uint16: 30000, np.int16: 7}
    stored = {f"s{k}": np.float32(scale) for k, scale in enumerate((0.03, 0.05, 0.07))}
    stored |= {f"z{k}": own(zeros[own]) for k, own in enumerate(types)}
    nodes = [helper.make_node("Relu", ["x"], ["x1"])]
    for k, (source, made) in enumerate([("x", "a"), ("x1", "b"), ("c", "y")]):
        if made == "y":
            nodes.append(helper.make_node(kind, ["a", "b"], ["c"]))
        nodes.append(helper.make_node("QuantizeLinear", [source, f"s{k}", f"z{k}"], [f"{made}q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{made}q", f"s{k}", f"z{k}"], [made]))
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("kind", ["Add", "Mul"])
@pytest.mark.parametrize(
    "types",
    [
        (np.uint8, np.int8, np.uint8), (np.int8, np.uint16, np.int8), (np.int16, np.uint8, np.int16),
        (np.uint16, np.uint16, np.uint16), (np.int16, np.int16, np.uint8),
    ],
    ids=lambda types: "-".join(own.__name__ for own in types),
)  # fmt: skip
def test_sums_and_products_of_several_types(kind, types, tmp_path):
    x = images(1, shape=(1, 4, 6, 6)) * 2
    equal_to_the_runtime(combined(kind, types), tmp_path / "net.onnx", x)


def qlinear(kind, inputs, **stored):
    """One operator of ONNX Runtime's own on signed bytes, as far as its zero points go."""
    stored = {"s": np.float32(0.03), "z": np.int8(5), "t": np.float32(0.05), "u": np.uint8(5), **stored}
    domain = "" if kind in ("ConvInteger", "QLinearConv") else "com.microsoft"
    nodes = [
        helper.make_node("Transpose", ["x"], ["xt"], perm=[0, 1, 3, 2]),
        helper.make_node(kind, inputs, ["y"], "y", domain=domain),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.INT8, [1, 4, 6, 5])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize("kind", ["QLinearAdd", "QLinearMul"])
def test_a_result_without_a_zero_point_is_of_its_operands_type(kind, tmp_path):
    x = np.random.default_rng(6).integers(-128, 128, (1, 4, 6, 5)).astype(np.int8)
    equal_to_the_runtime(qlinear(kind, ["xt", "s", "z", "xt", "s", "z", "t"]), tmp_path / "net.onnx", x)


@pytest.mark.parametrize("filling", [None, 9])
def test_padding_of_integers_is_an_integer(filling, tmp_path):
    """Left out it is 0, which is no real 0."""
    weight = np.random.default_rng(8).integers(-99, 99, (3, 4, 2, 2)).astype(np.int8)
    stored = {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1]), "v": np.uint8(filling or 0)}
    model = qlinear("QLinearConv", ["xp", "s", "u", "w", "s", "z", "t", "u"], w=weight, **stored)
    model.graph.node[0].input[0] = "xq"
    model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["x", "s", "u"], ["xq"]))
    model.graph.node.insert(2, helper.make_node("Pad", ["xt", "p"] + ["v"] * (filling is not None), ["xp"]))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    inet = equal_to_the_runtime(model, tmp_path / "net.onnx", images(1, shape=(1, 4, 6, 5)))
    assert inet.real_nodes == ()


def test_padding_is_rounded_once(tmp_path):
    """To the numbers behind it, not to those in front as well."""
    model = combined("Add", (np.uint8, np.uint8, np.uint8))
    kept = [node for node in model.graph.node if not {"b", "bq"} & {*node.input, *node.output}]
    pad = helper.make_node("Pad", ["a", "p", "v"], ["c"])
    del model.graph.node[:]
    model.graph.node.extend([*kept[:3], pad, *kept[3:]])
    stored = {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1]), "v": np.float32(0.7)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(own), name) for name, own in stored.items())
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 7, 9]))
    # A second scale, between two numbers of which 0.7 is.
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "s2")
    scale.CopyFrom(numpy_helper.from_array(np.array(0.02, np.float32), "s2"))
    equal_to_the_runtime(model, tmp_path / "net.onnx", images(1, shape=(1, 4, 6, 6)))


def activated(kind, **stored):
    """Bytes, what they stand for, and an activation of that; rounded again where `stored` has a scale for it."""
    stored = {"s": np.float32(0.05), "z": np.uint8(128), **stored}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["real"]),
        helper.make_node(kind, ["real"], ["y"]),
        *([helper.make_node("QuantizeLinear", ["y", "t", "z"], ["yq"])] if "t" in stored else []),
    ]
    number = TensorProto.UINT8 if "t" in stored else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 256])],
        [helper.make_tensor_value_info("yq" if "t" in stored else "y", number, [1, 256])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("scale", [0.0003, 0.01, 0.05, 0.11, 0.2])
@pytest.mark.parametrize("kind", ["Tanh", "Sigmoid"])
def test_functions_have_the_last_bits_of_the_runtimes(kind, scale, tmp_path):
    x = np.arange(256, dtype=np.uint8)[None]
    equal_to_the_runtime(activated(kind, s=np.float32(scale)), tmp_path / "net.onnx", x)


@pytest.mark.parametrize(("scale", "own"), [(0.0133, 0.00706), (0.0305, 0.00917), (0.0672, 0.00995), (0.0728, 0.00858)])
def test_the_last_bit_decides_between_two_integers(scale, own, tmp_path):
    x = np.arange(256, dtype=np.uint8)[None]
    equal_to_the_runtime(activated("Tanh", s=np.float32(scale), t=np.float32(own)), tmp_path / "net.onnx", x)


def test_operators_of_constants_give_constants(tmp_path):
    """As in exports that compute their padding, all of which the tool quantises."""
    made = {"c": np.array([[[[3]], [[-9]], [[4]], [[100]]]], np.int8)}
    model = qlinear("QLinearAdd", ["sum", "t", "z", "xt", "s", "z", "t", "z"], **made)
    first = helper.make_node("QLinearMul", ["c", "s", "z", "c", "s", "z", "t", "z"], ["sum"], domain="com.microsoft")
    model.graph.node.insert(0, first)
    x = np.random.default_rng(7).integers(-128, 128, (1, 4, 6, 5)).astype(np.int8)
    equal_to_the_runtime(model, tmp_path / "net.onnx", x)


@pytest.mark.parametrize(
    "stored",
    [np.int8([[-9, 100]]), np.uint8(7), np.int32([5, -70000]), np.float32(0.5), np.float32([[0.1]])],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_a_constant_is_given_out_as_it_is_stored(stored, tmp_path):
    model = qlinear("QLinearAdd", ["xt", "s", "z", "xt", "s", "z", "t", "z"], kept=stored)
    kind = helper.np_dtype_to_tensor_dtype(stored.dtype)
    model.graph.output.append(helper.make_tensor_value_info("kept", kind, stored.shape))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    made = acs.execute(acs.load_integer_network(path), np.zeros((1, 4, 6, 5), np.int8))["kept"]
    assert (made.dtype, made.shape) == (stored.dtype, stored.shape)
    assert np.array_equal(made, stored)


def test_a_constant_beyond_single_precision_is_told(tmp_path):
    model = qlinear("QLinearAdd", ["xt", "s", "z", "xt", "s", "z", "t", "z"], kept=np.int32([2**24 + 1]))
    model.graph.output.append(helper.make_tensor_value_info("kept", TensorProto.INT32, [1]))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="output kept is a constant of int32 beyond single precision"):
        acs.load_integer_network(path)


@pytest.mark.parametrize(
    ("kind", "inputs", "words"),
    [
        ("QLinearAdd", ["xt", "s", "u", "xt", "s", "u", "t", "u"], "type uint8 for int8"),
        ("QLinearAdd", ["xt", "s", "z", "xt", "s", "u", "t", "z"], "type uint8 for int8"),
        ("QLinearSigmoid", ["xt", "s", "u", "t", "z"], "type uint8 for int8"),
        ("ConvInteger", ["xt", "w", "u"], "type uint8 for int8"),
        ("QLinearConv", ["xt", "s", "z", "w", "s", "u", "t", "z"], "type uint8 for int8"),
    ],
)
def test_zero_points_of_another_type_are_told(kind, inputs, words, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(qlinear(kind, inputs, w=np.full((3, 4, 1, 1), -9, np.int8)).SerializeToString())
    with pytest.raises(InputError, match=rf"net\.onnx: y \(.*{kind}\): a zero point of {words}"):
        acs.load_integer_network(path)


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(6, 8, 1), (6, 6, 1), (6, 8, 2), (8, 8, 2)])
def test_transposed_convolutions_with_a_scale_a_channel(inputs, outputs, groups, rounded, tmp_path):
    """Of rounded and of real operands, in groups that share their scales."""
    rng = np.random.default_rng(4)
    each = outputs // groups
    stored = {
        "xs": np.float32(0.03), "xz": np.uint8(128), "w": rng.integers(-127, 128, (inputs, each, 3, 3)).astype(np.int8),
        "ws": rng.uniform(0.001, 0.02, each).astype(np.float32), "wz": rng.integers(-9, 9, each).astype(np.int8),
        "b": rng.normal(size=outputs).astype(np.float32), "ys": np.float32(0.1), "yz": np.uint8(128),
    }  # fmt: skip
    roundings = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xr"]),
    ]
    nodes = [
        *(roundings if rounded else [helper.make_node("Relu", ["x"], ["xr"])]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wr"], axis=1),
        helper.make_node("ConvTranspose", ["xr", "wr", "b"], ["sum"], group=groups, strides=[2, 2]),
        helper.make_node("QuantizeLinear", ["sum", "ys", "yz"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "ys", "yz"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, inputs, 5, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, outputs, 11, 13])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    inet = equal_to_the_runtime(model, tmp_path / "net.onnx", rng.normal(size=(1, inputs, 5, 6)).astype(np.float32))
    figures = acs.statistics(inet, images(1, shape=(1, inputs, 5, 6)))["sum"]
    shifted = stored["w"].astype(int) - stored["wz"].reshape(1, -1, 1, 1)
    assert figures.weight_zero_density == pytest.approx((shifted == 0).mean())


@pytest.mark.parametrize(("real", "kept"), [(0.3, 2), (-0.0625, 0), (0.1875, 2), (1e30, 1e30)])
def test_a_real_bias_is_a_whole_number_of_units_where_32_bits_hold_it(real, kept, tmp_path):
    model = with_bias_scale(1)
    node = next(node for node in model.graph.node if node.op_type == "Gemm")
    node.input[2] = "real"
    model.graph.initializer.append(numpy_helper.from_array(np.full(2, real, np.float32), "real"))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    inet = acs.load_integer_network(path)
    (bias,) = (array for key, array in inet.network.parameters.items() if key.endswith(".bias"))
    assert bias.tolist() == np.full(2, kept, np.float32).tolist()


def test_a_network_in_real_numbers_is_refused(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(FAMILIES["resnet"]().SerializeToString())
    with pytest.raises(InputError, match=r"net\.onnx: nothing in this network is quantised"):
        acs.load_integer_network(path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("xs", np.float32(0), "scale = 0.0 is not a positive number"),
        ("ws", np.float32("nan"), "scale = nan is not a positive number"),
        ("ys", np.float32(-1), "scale = -1.0 is not a positive number"),
        ("xz", np.float32(0), "rounding to float32"),
        ("ws", np.ones(3, np.float32), "3 scales on axis 1"),
    ],
)
def test_scales_that_are_none(name, value, words, tmp_path):
    model = with_bias_scale(1)
    kept = [tensor for tensor in model.graph.initializer if tensor.name != name]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, numpy_helper.from_array(np.asarray(value), name)])
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=words):
        acs.load_integer_network(path)


def test_damage_is_told_or_harmless(tmp_path):
    """A byte changed anywhere gives a network or an `InputError`, never another fault."""
    content = with_bias_scale(1).SerializeToString()
    rng = np.random.default_rng(0)
    path = tmp_path / "net.onnx"
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        with suppress(InputError):
            acs.load_integer_network(path)
