"""Small float networks of familiar families as ONNX files, and their quantised forms by ONNX Runtime's own tool."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SHAPE = (1, 3, 32, 32)


@dataclass
class Draft:
    """An ONNX graph under construction from random weights."""

    seed: int
    shape: tuple = SHAPE
    nodes: list = field(default_factory=list)
    stored: list = field(default_factory=list)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def store(self, name, array):
        self.stored.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def node(self, kind, inputs, name, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def conv(self, source, inputs, outputs, kernel, name, stride=1, groups=1, act=None):
        fan = inputs // groups * kernel**2
        weight = self.store(f"{name}.w", self.rng.normal(size=(outputs, inputs // groups, kernel, kernel)) / fan**0.5)
        bias = self.store(f"{name}.b", self.rng.normal(size=outputs) / 10)
        pads = [kernel // 2] * 4
        made = self.node("Conv", [source, weight, bias], name, strides=[stride] * 2, pads=pads, group=groups)
        if act == "Clip":
            return self.node("Clip", [made, self.store(f"{name}.low", 0), self.store(f"{name}.high", 6)], f"{name}.act")
        return self.node(act, [made], f"{name}.act") if act else made

    def head(self, source, channels, softmax=False):
        pooled = self.node("Flatten", [self.node("GlobalAveragePool", [source], "pooled")], "flat")
        weight = self.store("fc.w", self.rng.normal(size=(channels, 10)) / 5)
        logits = self.node("Gemm", [pooled, weight, self.store("fc.b", self.rng.normal(size=10))], "logits")
        return self.node("Softmax", [logits], "scores", axis=-1) if softmax else logits

    def model(self, output):
        graph = helper.make_graph(
            self.nodes, "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 10])],
            self.stored,
        )  # fmt: skip
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def resnet(seed=0):
    draft = Draft(seed)
    x = draft.conv("x", 3, 16, 3, "stem", 2, act="Relu")
    x = draft.node("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for k in range(2):
        y = draft.conv(draft.conv(x, 16, 16, 3, f"a{k}", act="Relu"), 16, 16, 3, f"b{k}")
        x = draft.node("Relu", [draft.node("Add", [x, y], f"sum{k}")], f"out{k}")
    y = draft.conv(draft.conv(x, 16, 32, 3, "down.a", 2, act="Relu"), 32, 32, 3, "down.b")
    short = draft.conv(x, 16, 32, 1, "down.c", 2)
    return draft.model(draft.head(draft.node("Relu", [draft.node("Add", [y, short], "last")], "last.act"), 32))


def mobilenet(seed=0):
    draft = Draft(seed)
    x, channels = draft.conv("x", 3, 16, 3, "stem", 2, act="Clip"), 16
    for k, (expansion, outputs, stride) in enumerate([(1, 16, 1), (4, 24, 2), (4, 24, 1), (4, 40, 2), (4, 40, 1)]):
        wide = channels * expansion
        y = draft.conv(x, channels, wide, 1, f"e{k}", act="Clip") if expansion > 1 else x
        y = draft.conv(draft.conv(y, wide, wide, 3, f"d{k}", stride, wide, "Clip"), wide, outputs, 1, f"p{k}")
        x = draft.node("Add", [x, y], f"sum{k}") if stride == 1 and channels == outputs else y
        channels = outputs
    return draft.model(draft.head(x, channels))


def squeeze_excite(seed=0):
    draft = Draft(seed)
    x = stem = draft.conv("x", 3, 16, 3, "stem", 2, act="HardSwish")
    for k, gate in enumerate(("Sigmoid", "HardSigmoid")):
        y = draft.conv(draft.conv(x, 16, 32, 1, f"e{k}", act="HardSwish"), 32, 32, 5, f"d{k}", 1, 32, "Relu")
        small = draft.conv(draft.node("GlobalAveragePool", [y], f"mean{k}"), 32, 8, 1, f"r{k}", act="Relu")
        weight = draft.node(gate, [draft.conv(small, 8, 32, 1, f"x{k}")], f"gate{k}")
        y = draft.conv(draft.node("Mul", [y, weight], f"scaled{k}"), 32, 16, 1, f"p{k}")
        x = draft.node("Add", [y, x], f"sum{k}")
    return draft.model(draft.head(draft.node("Concat", [x, stem], "both", axis=1), 32))


FAMILIES = {"resnet": resnet, "mobilenet": mobilenet, "squeeze_excite": squeeze_excite}


def images(count, seed=1, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=(count, *shape[1:])).astype(np.float32)


def quantised(model, path, form, per_channel=False, activations="QUInt8", weights="QInt8", shape=SHAPE, **extra):
    """Writes a model quantised by ONNX Runtime's static quantiser with `extra` options, calibrated on random images."""
    from onnxruntime import quantization

    # The quantiser takes floating point of 8 bits with this way of calibrating only.
    method = "Distribution" if activations.startswith("QFLOAT8") else "MinMax"

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            name = model.graph.input[0].name
            self.left = iter([{name: image[None]} for image in images(8, shape=shape)])

        def get_next(self):
            return next(self.left, None)

    source = path.with_suffix(".float.onnx")
    source.write_bytes(model.SerializeToString())
    logging.disable(logging.WARNING)
    try:
        quantization.quantize_static(
            str(source), str(path), Reader(), quant_format=getattr(quantization.QuantFormat, form),
            per_channel=per_channel, activation_type=getattr(quantization.QuantType, activations),
            weight_type=getattr(quantization.QuantType, weights), extra_options=extra,
            calibrate_method=getattr(quantization.CalibrationMethod, method),
        )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    return path


def runtime(path, exact=True, plain=False):
    """A session that, if `exact`, multiplies exactly on processors without VNNI too; not all types can be.

    A `plain` one runs the operators of the file as they stand.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(str(path), options)
