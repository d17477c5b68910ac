"""The QONNX dialect: integers of any width between layers, and layers in real numbers where nothing rounds."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import accelsim as acs
from accelsim.errors import InputError
from tests.materials import material


def model(path, bits=4, signed=1, narrow=0, zero=0.0, kind="Quant", mode="ROUND"):
    """A fully connected layer of rounded inputs and weights, its output rounded too."""
    stored = {
        "s": np.float32(0.5), "z": np.float32(zero), "b": np.float32(bits), "ws": np.full((1, 2), 0.25, np.float32),
        "w": np.array([[0.3, -0.8], [5.0, 0.1], [-0.5, 0.6]], np.float32), "zero": np.float32(0), "four": np.float32(4),
        "one": np.float32(1),
    }  # fmt: skip
    domain = "qonnx.custom_op.general"
    options = {"domain": domain, "rounding_mode": mode, "narrow": narrow}
    nodes = [
        helper.make_node(kind, ["x", "s", "z", "b"], ["xq"], signed=signed, **options),
        helper.make_node("Quant", ["w", "ws", "zero", "four"], ["wq"], domain=domain, signed=1, narrow=1),
        helper.make_node("MatMul", ["xq", "wq"], ["sum"], name="fc"),
        helper.make_node("Quant", ["sum", "one", "zero", "four"], ["y"], domain=domain, signed=1, narrow=0),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(domain, 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    return path


@pytest.mark.parametrize(("bits", "signed", "narrow"), [(4, 1, 0), (4, 0, 0), (3, 1, 1), (8, 1, 0), (2, 0, 0)])
def test_rounded_layers(tmp_path, bits, signed, narrow):
    inet = acs.load_integer_network(model(tmp_path / "net.onnx", bits, signed, narrow))
    low = -(2 ** (bits - 1)) + narrow if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    x = np.array([[1.3, -0.9, 2.0], [9.9, -9.9, 0.25]], np.float32)
    integers = np.clip(np.rint(x / 0.5), low, high)
    weights = np.clip(np.rint(np.array([[0.3, -0.8], [5.0, 0.1], [-0.5, 0.6]]) / 0.25), -7, 7)
    expected = np.clip(np.rint(integers @ weights * 0.125), -8, 7)
    (made,) = acs.execute(inet, x).values()
    assert made.dtype == np.float32
    assert np.array_equal(made, expected)
    assert inet.real_nodes == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"mode": "FLOOR"}, "rounding mode FLOOR"), ({"zero": 0.5}, "a zero point that is no whole number"),
     ({"bits": 3.5}, "a bit width that is no whole number"), ({"kind": "Trunc"}, "Trunc")],
)  # fmt: skip
def test_what_is_not_read_is_told(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        acs.load_integer_network(model(tmp_path / "net.onnx", **changes))


@pytest.mark.slow
def test_a_trained_super_resolution_network():
    """Its batch norms are real numbers between integer sums and integer activations."""
    inet = acs.load_integer_network(material("quant_model.onnx"))
    widths = {kind.type.bits for kind in inet.formats.values()}
    assert widths == {4, 8}
    assert all(inet.weight_formats[f"{n.name}.weight"] for n in inet.network.nodes if n.kind == "convolution")
    (port,) = inet.network.inputs
    x = np.random.default_rng(0).uniform(0, 1, port.shape).astype(np.float32)
    (made,) = acs.execute(inet, x).values()
    steps = made / np.float32(inet.formats[inet.network.outputs[0].node].scale[0])
    assert np.allclose(steps, np.rint(steps), atol=1e-3)
