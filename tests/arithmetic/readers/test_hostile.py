"""Quantised files that are damaged, or say what cannot be: `InputError` with the reason, or a network, nothing else."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import accelsim as acs
from accelsim.errors import AccelsimError, InputError, UnsupportedError
from tests.arithmetic.models import quantised, squeeze_excite
from tests.arithmetic.tflite_models import Entry, Step, model


def dense(**changes):
    """A fully connected layer of 4 inputs and 3 outputs, its tensors changed as said."""
    entries = {
        "x": Entry("x", (1, 4), "int8", (0.5,), (3,)),
        "w": Entry("w", (3, 4), "int8", (0.1, 0.2, 0.3), (0, 0, 0), 0, np.ones((3, 4), np.int8)),
        "y": Entry("y", (1, 3), "int8", (0.25,), (0,)),
    }
    for key, value in changes.items():
        tensor, _, name = key.partition("_")
        setattr(entries[tensor], name, value)
    step = Step("FULLY_CONNECTED", [0, 1], [2], "FullyConnectedOptions", {})
    return model(list(entries.values()), [step], [0], [2])


def loaded(content, tmp_path, kind="tflite"):
    path = tmp_path / f"net.{kind}"
    path.write_bytes(content)
    return acs.load_integer_network(path)


def test_the_plain_case_is_read(tmp_path):
    inet = loaded(dense(), tmp_path)
    y = acs.execute(inet, np.array([[5, 7, 9, 11]], np.int8))["y"]
    assert y.tolist() == [[round(20 * 0.5 * s / 0.25) for s in (0.1, 0.2, 0.3)]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_scales": (0.0,)}, r"tensor x: scale = 0\.0 is not a positive number"),
        ({"y_scales": (float("nan"),)}, "tensor y: scale = nan is not a positive number"),
        ({"y_scales": (float("inf"),)}, "tensor y: scale = inf is not a positive number"),
        ({"w_scales": (0.1, -0.2, 0.3)}, r"tensor w: scale = -0\.2.* is not a positive number"),
        ({"x_zeros": (128,)}, "tensor x: zero point 128 is outside int8"),
        ({"w_zeros": (0, -129, 0)}, "tensor w: zero point -129 is outside int8"),
        ({"w_scales": (0.1, 0.2), "w_zeros": (0, 0)}, "2 scales for 3 channels"),
        ({"w_axis": 1, "w_scales": (0.1,) * 4, "w_zeros": (0,) * 4}, "scales along axis 1"),
        ({"w_data": np.ones((3, 3), np.int8)}, "9 bytes for shape"),
        ({"w_shape": (3, -4)}, "has shape"),
        ({"w_shape": (3, 4, 1)}, "weights of shape"),
        ({"y_shape": (1, 5)}, "tensor y is declared as 5, and made as 3"),
    ],
)
def test_tensors_that_cannot_be(changes, words, tmp_path):
    with pytest.raises(InputError, match=words) as caught:
        loaded(dense(**changes), tmp_path)
    assert "net.tflite" in str(caught.value)


def test_every_operator_that_cannot_be_read_is_named_at_once(tmp_path):
    entries = [Entry(f"t{k}", (1, 4), "int8", (0.5,), (0,)) for k in range(4)]
    steps = [Step("CUMSUM", [0], [1]), Step("TANH", [1], [2]), Step("ATAN2", [2], [3])]
    with pytest.raises(UnsupportedError) as caught:
        loaded(model(entries, steps, [0], [3]), tmp_path)
    assert caught.value.problems == ("t1 (CUMSUM)", "t3 (ATAN2)")


def test_strides_of_nothing(tmp_path):
    entries = [
        Entry("x", (1, 4, 4, 1), "int8", (1.0,), (0,)),
        Entry("w", (1, 1, 1, 1), "int8", (1.0,), (0,), 0, np.ones((1, 1, 1, 1), np.int8)),
        Entry("y", (1, 4, 4, 1), "int8", (1.0,), (0,)),
    ]
    step = Step("CONV_2D", [0, 1], [2], "Conv2DOptions", {"StrideW": 0, "StrideH": 1})
    with pytest.raises(InputError, match=r"strides \(1, 0\), dilations \(1, 1\); both are at least 1"):
        loaded(model(entries, [step], [0], [2]), tmp_path)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A network of each dialect, small enough to be damaged many times."""
    folder = tmp_path_factory.mktemp("originals")
    forms = {form: quantised(squeeze_excite(), folder / f"{form}.onnx", form, True) for form in ("QDQ", "QOperator")}
    return {**{form: (path.read_bytes(), "onnx") for form, path in forms.items()}, "tflite": (dense(), "tflite")}


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_damage_gives_a_network_or_a_reason(originals, tmp_path_factory, data):
    """Bytes changed or cut off; whatever is still read is executed as well."""
    content, kind = originals[data.draw(st.sampled_from(sorted(originals)))]
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
    path = tmp_path_factory.getbasetemp() / f"damaged.{kind}"
    path.write_bytes(damaged)
    with suppress(AccelsimError):
        acs.load_network(path)
        inet = acs.load_integer_network(path)
        kinds = {port.name: inet.ports[port.name] for port in inet.network.inputs}
        feeds = {
            port.name: np.zeros(port.shape, np.float32 if kinds[port.name] is None else kinds[port.name].type.dtype)
            for port in inet.network.inputs
        }
        acs.execute(inet, feeds)


def with_constants(**changed):
    """x, rounded to int8, times rounded constants, in QDQ form."""
    stored = {
        "s": np.float32(0.5), "z": np.int8(0), "w": np.array([[1.0, 2], [3, 4]], np.float32),
        "ws": np.float32(0.25), "wz": np.int8(0),
    } | changed  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xr"]),
        helper.make_node("QuantizeLinear", ["w", "ws", "wz"], ["wq"], axis=1),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wr"], axis=1),
        helper.make_node("MatMul", ["xr", "wr"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9).SerializeToString()


def test_constants_beyond_their_format_are_clamped(tmp_path):
    inet = loaded(with_constants(w=np.array([[1e30, -1e30], [np.inf, 1]], np.float32)), tmp_path, "onnx")
    y = acs.execute(inet, np.array([[2.0, 0]], np.float32))["y"]
    assert y.tolist() == [[2 * 127 / 4, -2 * 128 / 4]]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"w": np.array([[np.nan, 1], [1, 1]], np.float32)}, "NaN has no integer"),
        ({"ws": np.array([0.1, np.inf], np.float32), "wz": np.zeros(2, np.int8)}, "scale = inf is not a positive"),
        ({"ws": np.array([0.1, 0.2, 0.3], np.float32), "wz": np.zeros(3, np.int8)}, "3 scales on axis 1"),
        ({"ws": np.array([0.1, 0.2], np.float32), "wz": np.zeros(3, np.int8)}, "2 scales with 3 zero points"),
        ({"s": np.zeros(0, np.float32)}, "scale"),
        ({"z": np.float32(0)}, "rounding to float32"),
    ],
)
def test_constants_and_scales_that_are_none(changed, words, tmp_path):
    with pytest.raises(InputError, match=words):
        loaded(with_constants(**changed), tmp_path, "onnx")
