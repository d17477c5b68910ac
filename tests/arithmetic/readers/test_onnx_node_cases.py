"""The node tests of the onnx package that are about integers, as whole networks of one operator."""

import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import accelsim as acs

OPERATORS = {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QuantizeLinear", "DequantizeLinear"}


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
    if isinstance(x, onnx.TensorProto):
        x = numpy_helper.to_array(x)
    (y,) = acs.execute(acs.load_integer_network(path), np.asarray(x)).values()
    expected = outputs[0] if isinstance(outputs[0], np.ndarray) else numpy_helper.to_array(outputs[0])
    assert y.shape == expected.shape
    # Types that NumPy has not come in one that holds all their numbers.
    assert np.array_equal(y, expected.astype(y.dtype))
    assert y.astype(expected.dtype).tobytes() == expected.tobytes()
