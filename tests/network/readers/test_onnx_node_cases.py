"""The node tests of the onnx package: one operator each, with inputs and the outputs they must give.

The first input stays an input and the others become constants, as in an exported network.
"""

import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from accelsim.errors import InputError
from accelsim.network.readers.onnx import read_onnx
from accelsim.network.readers.onnx.operators import OPERATORS
from tests.network.readers.interpreter import run

#: Cases that differ because a layer leaves out what timing does not ask, or works on integers as on reals.
APART = ("_bfloat16", "test_div_", "test_lppool", "test_resize", "test_upsample")
#: What is refused: statistics of a batch, several frames, empty tensors, conditions that are data, sums of one operand.
REFUSED = (
    "training_mode", "_image_3", "test_group_normalization_e", "test_instancenorm_epsilon", "empty_set", "allowzero_",
    "test_shape_start_greater", "start_out_of_bounds", "test_where_", "einsum_sum", "einsum_batch_diagonal",
    "tf_crop_and_resize", "zero_size_splits", "swiglu_alpha",
)  # fmt: skip
#: Operators whose further outputs (masks, positions, statistics) training alone reads.
SIDE_OUTPUTS = {"Dropout", "LayerNormalization", "MaxPool"}


def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    return [case for case in found if case.data_sets and {n.op_type for n in case.model.graph.node} <= set(OPERATORS)]


def with_one_input(case):
    """The model of a case with one input, that input, and the outputs; None where a value is no tensor."""
    inputs, outputs = case.data_sets[0]
    if not inputs or any(not isinstance(value, np.ndarray) or not value.size for value in (*inputs[:1], *outputs)):
        return None
    if any(not isinstance(value, np.ndarray) for value in inputs):
        return None
    made = onnx.ModelProto()
    made.CopyFrom(case.model)
    del made.graph.input[1:]
    if {node.op_type for node in made.graph.node} & SIDE_OUTPUTS:
        del made.graph.output[1:]
        outputs = outputs[:1]
    for entry, value in zip(case.model.graph.input[1:], inputs[1:], strict=True):
        made.graph.initializer.append(numpy_helper.from_array(value, entry.name))
    return made, {case.model.graph.input[0].name: inputs[0]}, outputs


def problem(path, made, feeds, outputs, values):
    """What is wrong with the network read from a case; None where it gives the expected outputs."""
    path.write_bytes(made.SerializeToString())
    net = read_onnx(path, {name: array.shape for name, array in feeds.items()})
    if [port.shape for port in net.outputs] != [array.shape for array in outputs]:
        return f"shapes {[port.shape for port in net.outputs]}, not {[array.shape for array in outputs]}"
    if not values:
        return None
    computed = run(net, {name: array.astype(np.float64) for name, array in feeds.items()})
    close = (np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True) for a, b in zip(computed, outputs, strict=True))
    return None if all(close) else "values differ"


@pytest.mark.filterwarnings("ignore")
def test_node_cases(tmp_path):
    problems, refused, read = [], [], 0
    for case in cases():
        prepared = with_one_input(case)
        if prepared is None:
            continue
        values = not any(part in case.name for part in APART)
        try:
            wrong = problem(tmp_path / f"{case.name}.onnx", *prepared, values)
        except InputError as error:
            refused.append(f"{case.name}: {error}")
            continue
        read += 1
        problems += [] if wrong is None else [f"{case.name}: {wrong}"]
    assert problems == []
    assert [line for line in refused if not any(part in line for part in REFUSED)] == []
    assert read > 400
