"""Networks that ONNX Runtime's tool quantised give its integers, bit for bit."""

import numpy as np
import onnx
import pytest

import accelsim as acs
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
    inet, session = acs.load_integer_network(path), runtime(path, exact="QInt8" not in form[2])
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
