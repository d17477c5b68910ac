"""The node tests of the onnx package that are about integers, as whole networks of one operator."""

import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import accelsim as acs
from accelsim.errors import InputError

OPERATORS = {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QuantizeLinear", "DequantizeLinear"}
#: What is refused: other number systems, and scales a block of an activation.
REFUSED = {"_e4m3": "float8|type 17", "_e5m2": "float8|type 19", "_float4": "FLOAT4E2M1", "_blocked": "scales a block"}


def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    return [case for case in found if {n.op_type for n in case.model.graph.node} <= OPERATORS]


def with_one_input(case):
    """A case with its first input free and the others stored."""
    inputs, outputs = case.data_sets[0]
    made = onnx.ModelProto()
    made.CopyFrom(case.model)
    del made.graph.input[1:]
    for entry, value in zip(case.model.graph.input[1:], inputs[1:], strict=True):
        stored = value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(value, entry.name)
        stored.name = entry.name
        made.graph.initializer.append(stored)
    return made, inputs[0], outputs


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_node_case(case, tmp_path):
    made, x, outputs = with_one_input(case)
    path = tmp_path / "case.onnx"
    path.write_bytes(made.SerializeToString())
    reason = next((words for part, words in REFUSED.items() if part in case.name), None)
    if reason is not None:
        with pytest.raises(InputError, match=reason):
            acs.load_integer_network(path)
        return
    if isinstance(x, onnx.TensorProto):
        x = numpy_helper.to_array(x)
    (y,) = acs.execute(acs.load_integer_network(path), np.asarray(x)).values()
    expected = outputs[0] if isinstance(outputs[0], np.ndarray) else numpy_helper.to_array(outputs[0])
    assert y.shape == expected.shape
    assert np.array_equal(y.astype(expected.dtype), expected)
