"""Small ONNX files, made by hand."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from accelsim.network.readers.onnx import read_onnx
from tests.network.readers.interpreter import run


def model(nodes, inputs, outputs, weights=None, opset=17):
    """A model whose inputs are given with their shapes; `weights` are its initializers."""
    graph = helper.make_graph(
        list(nodes),
        "made by hand",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    return made


def save(folder: Path, made: onnx.ModelProto, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def single(kind, shape, weights=None, opset=17, outputs=("y",), **attributes):
    """A model of one operator on one input; the other inputs are constants, None where absent."""
    given = [f"w{k}" if array is not None else "" for k, array in enumerate(weights or ())]
    node = helper.make_node(kind, ["x", *given], list(outputs), **attributes)
    arrays = {f"w{k}": array for k, array in enumerate(weights or ()) if array is not None}
    return model([node], {"x": shape}, outputs, arrays, opset)


def check_against_onnx(folder: Path, made: onnx.ModelProto, tolerance: float = 1e-4):
    """The network read from a model, whose outputs have been compared with the model's own on random input."""
    net = read_onnx(save(folder, made))
    rng = np.random.default_rng(0)
    feeds = {port.name: rng.normal(size=port.shape).astype(np.float32) for port in net.inputs}
    expected = reference(made, feeds)
    computed = run(net, {name: array.astype(np.float64) for name, array in feeds.items()})
    for port, ours, theirs in zip(net.outputs, computed, expected, strict=True):
        assert port.shape == theirs.shape, port
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    return net


def reference(made, feeds):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def kinds(net):
    """Kinds of the layers in order, inputs and constants aside."""
    return [node.kind for node in net.nodes if node.kind not in ("input", "constant")]


def weight(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
