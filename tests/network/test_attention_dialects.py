"""Squeeze-excite blocks as ONNX files spell them: averages, dense layers, gates and layouts of many exporters."""

from itertools import product

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from accelsim.network.attention import attention_buffering, find_attention
from accelsim.network.readers.onnx.reader import read_onnx
from accelsim.network.rewrites.tile_attention import tile_attention
from accelsim.network.writers.onnx import write_onnx
from tests.network.writers.test_onnx import execute

CHANNELS, HIDDEN, HEIGHT, WIDTH = 8, 4, 12, 10


class File:
    """An ONNX graph, one operator after another; `axis` is where the channels of the map are."""

    def __init__(self, opset, axis=1):
        self.opset, self.axis = opset, axis
        self.nodes, self.initializers = [], []
        self.rng = np.random.default_rng(0)

    @property
    def space(self):
        return [2, 3] if self.axis == 1 else [1, 2]

    def op(self, operator, *inputs, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def const(self, values, kind=np.float32):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(values, kind), name))
        return name

    def weight(self, *shape):
        return self.const(self.rng.normal(size=shape) * 0.5)

    def integers(self, *values):
        return self.const(values, np.int64)

    def mean(self, x, axes, keepdims=1):
        if self.opset >= 18:
            return self.op("ReduceMean", x, self.integers(*axes), keepdims=keepdims)
        return self.op("ReduceMean", x, axes=list(axes), keepdims=keepdims)

    def unsqueeze(self, x, *axes):
        if self.opset >= 13:
            return self.op("Unsqueeze", x, self.integers(*axes))
        return self.op("Unsqueeze", x, axes=list(axes))

    def squeeze(self, x, *axes):
        if self.opset >= 13:
            return self.op("Squeeze", x, self.integers(*axes))
        return self.op("Squeeze", x, axes=list(axes))

    def clip(self, x, low, high):
        if self.opset >= 11:
            return self.op("Clip", x, self.const(low), self.const(high))
        return self.op("Clip", x, min=low, max=high)

    def save(self, path, result):
        shape = [1, CHANNELS, HEIGHT, WIDTH]
        info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", result)]
        graph = helper.make_graph(self.nodes, "se", info[:1], info[1:], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


def one_point(file):
    return [1, CHANNELS, 1, 1] if file.axis == 1 else [1, 1, 1, CHANNELS]


#: From the map to its averages: with the axes of space kept (1 each), or a vector.
def _global_pool(file, x):
    return file.op("GlobalAveragePool", x), True


def _reduce(file, x):
    return file.mean(x, file.space), True


def _reduce_negative(file, x):
    return file.mean(x, [axis - 4 for axis in file.space]), True


def _reduce_to_vector(file, x):
    return file.mean(x, file.space, keepdims=0), False


def _one_axis_after_the_other(file, x):
    return file.mean(file.mean(x, file.space[1:], keepdims=0), file.space[:1], keepdims=0), False


def _full_size_pool(file, x):
    return file.op("AveragePool", x, kernel_shape=[HEIGHT, WIDTH]), True


def _flat_map(file, x):
    return file.mean(file.op("Reshape", x, file.integers(1, CHANNELS, -1)), [2], keepdims=0), False


def _flat_map_kept(file, x):
    flat = file.op("Reshape", x, file.integers(0, 0, -1))
    return file.op("Reshape", file.mean(flat, [-1]), file.integers(1, CHANNELS, 1, 1)), True


def _flattened(file, x):
    return file.op("Flatten", file.op("GlobalAveragePool", x)), False


def _squeezed(file, x):
    return file.squeeze(file.op("GlobalAveragePool", x), 2, 3), False


SQUEEZES = [
    _global_pool, _reduce, _reduce_negative, _reduce_to_vector, _one_axis_after_the_other, _full_size_pool, _flat_map,
    _flat_map_kept, _flattened, _squeezed,
]  # fmt: skip
ANY_LAYOUT = (_reduce, _reduce_negative, _reduce_to_vector, _one_axis_after_the_other)


def _to_map(file, x, kept):
    return x if kept else file.op("Reshape", x, file.integers(*one_point(file)))


def _to_vector(file, x, kept):
    return file.op("Reshape", x, file.integers(-1, CHANNELS)) if kept else x


#: From averages to the excitation.
def _convolutions(file, x, kept):
    x = _to_map(file, x, kept)
    x = file.op("Conv", x, file.weight(HIDDEN, CHANNELS, 1, 1), file.weight(HIDDEN))
    return file.op("Conv", file.op("Relu", x), file.weight(CHANNELS, HIDDEN, 1, 1), file.weight(CHANNELS)), True


def _gemm(file, x, kept):
    x = _to_vector(file, x, kept)
    x = file.op("Gemm", x, file.weight(HIDDEN, CHANNELS), file.weight(HIDDEN), transB=1)
    weights = (file.weight(CHANNELS, HIDDEN), file.weight(CHANNELS))
    return file.op("Gemm", file.op("Relu", x), *weights, transB=1), False


def _matmul(file, x, kept):
    x = file.op("Add", file.op("MatMul", _to_vector(file, x, kept), file.weight(CHANNELS, HIDDEN)), file.weight(HIDDEN))
    return file.op("MatMul", file.op("Relu", x), file.weight(HIDDEN, CHANNELS)), False


def _silu_between(file, x, kept):
    x = file.op("Conv", _to_map(file, x, kept), file.weight(HIDDEN, CHANNELS, 1, 1))
    x = file.op("Mul", x, file.op("Sigmoid", x))
    return file.op("Conv", x, file.weight(CHANNELS, HIDDEN, 1, 1)), True


def _norm_between(file, x, kept):
    x = file.op("Conv", _to_map(file, x, kept), file.weight(HIDDEN, CHANNELS, 1, 1))
    ones, zeros = file.const(np.ones(HIDDEN)), file.const(np.zeros(HIDDEN))
    x = file.op("Relu", file.op("BatchNormalization", x, ones, zeros, zeros, ones))
    return file.op("Conv", x, file.weight(CHANNELS, HIDDEN, 1, 1)), True


def _transposed_convolutions(file, x, kept):
    x = file.op("Transpose", _to_map(file, x, kept), perm=[0, 3, 1, 2])
    excited, _ = _convolutions(file, x, True)
    return file.op("Transpose", excited, perm=[0, 2, 3, 1]), True


EXCITATIONS = [_convolutions, _gemm, _matmul, _silu_between, _norm_between]


#: From the excitation to the gate.
def _sigmoid(file, x):
    return file.op("Sigmoid", x)


def _hard_sigmoid(file, x):
    return file.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def _add_clip_divide(file, x):
    return file.op("Div", file.clip(file.op("Add", x, file.const(3.0)), 0.0, 6.0), file.const(6.0))


def _clip_multiply(file, x):
    return file.op("Mul", file.clip(file.op("Add", file.const([3.0]), x), 0.0, 6.0), file.const([1 / 6]))


def _relu_minimum(file, x):
    x = file.op("Min", file.op("Relu", file.op("Add", x, file.const(3.0))), file.const(6.0))
    return file.op("Div", x, file.const(6.0))


def _logistic(file, x):
    x = file.op("Add", file.op("Exp", file.op("Neg", x)), file.const(1.0))
    return file.op("Div", file.const(1.0), x)


def _reciprocal(file, x):
    return file.op("Reciprocal", file.op("Add", file.const(1.0), file.op("Exp", file.op("Neg", x))))


def _tanh(file, x):
    x = file.op("Tanh", file.op("Mul", x, file.const(0.5)))
    return file.op("Mul", file.op("Add", x, file.const(1.0)), file.const(0.5))


GATES = [_sigmoid, _hard_sigmoid, _add_clip_divide, _clip_multiply, _relu_minimum, _logistic, _reciprocal, _tanh]


#: From the gate to the product.
def _reshaped(file, x, gate, kept):
    return file.op("Mul", x, gate if kept else file.op("Reshape", gate, file.integers(*one_point(file))))


def _swapped(file, x, gate, kept):
    return file.op("Mul", gate if kept else file.op("Reshape", gate, file.integers(*one_point(file))), x)


def _unsqueezed(file, x, gate, kept):
    return file.op("Mul", x, gate if kept else file.unsqueeze(gate, *file.space))


def _one_axis_at_a_time(file, x, gate, kept):
    axis = file.space[0]
    return file.op("Mul", x, gate if kept else file.unsqueeze(file.unsqueeze(gate, axis), axis + 1))


def _expanded(file, x, gate, kept):
    gate = gate if kept else file.op("Reshape", gate, file.integers(*one_point(file)))
    return file.op("Mul", x, file.op("Expand", gate, file.op("Shape", x)))


def _upsampled(file, x, gate, kept):
    gate = gate if kept else file.op("Reshape", gate, file.integers(*one_point(file)))
    scales = file.const([1, 1, HEIGHT, WIDTH] if file.axis == 1 else [1, HEIGHT, WIDTH, 1])
    if file.opset < 10:
        return file.op("Mul", x, file.op("Upsample", gate, scales))
    return file.op("Mul", x, file.op("Resize", gate, "", scales))


PRODUCTS = [_reshaped, _swapped, _unsqueezed, _one_axis_at_a_time, _expanded, _upsampled]


def _file(opset, axis, squeeze, excitation, gate, combine):
    """A convolution, the block, another convolution; channels-last blocks stand between two transpositions."""
    file = File(opset, axis)
    x = file.op("Relu", file.op("Conv", "x", file.weight(CHANNELS, CHANNELS, 3, 3), pads=[1, 1, 1, 1]))
    if axis == 3:
        x = file.op("Transpose", x, perm=[0, 2, 3, 1])
    mean, kept = squeeze(file, x)
    excited, kept = excitation(file, mean, kept)
    scaled = combine(file, x, gate(file, excited), kept)
    if axis == 3:
        scaled = file.op("Transpose", scaled, perm=[0, 3, 1, 2])
    projected = file.op("Conv", scaled, file.weight(CHANNELS, CHANNELS, 1, 1))
    return file, file.op("Add", projected, "x")


def _cases():
    """Every spelling of each part with the first of the others, and each pair of squeeze and excitation."""
    first = (SQUEEZES[0], EXCITATIONS[0], GATES[0], PRODUCTS[0])
    vector = (SQUEEZES[0], EXCITATIONS[1], GATES[0], PRODUCTS[0])
    cases = [(s, e, *first[2:]) for s, e in product(SQUEEZES, EXCITATIONS)]
    cases += [(*base[:2], gate, base[3]) for base in (first, vector) for gate in GATES]
    cases += [(*base[:3], combine) for base in (first, vector) for combine in PRODUCTS]
    return cases


def names(value):
    return value.__name__.strip("_") if callable(value) else None


def check(tmp_path, file, result):
    """One block is found, and whole or made whole again the network computes what the file does."""
    path = tmp_path / "file.onnx"
    file.save(path, result)
    net = read_onnx(path)
    (only,) = find_attention(net)
    assert only.tile is None
    assert only.skip == net.inputs[0].node
    tiled = tile_attention(net, 5)
    (tile,) = find_attention(tiled)
    assert tile.tile == (5, WIDTH)
    x = np.random.default_rng(1).normal(size=(1, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
    (expected,) = execute(path, {"x": x}).values()
    for same in (net, tile_attention(tiled, HEIGHT)):
        write_onnx(same, tmp_path / "same.onnx")
        (found,) = execute(tmp_path / "same.onnx", {"x": x}).values()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("opset", [9, 13, 18])
@pytest.mark.parametrize(("squeeze", "excitation", "gate", "combine"), _cases(), ids=names)
def test_channels_first(tmp_path, opset, squeeze, excitation, gate, combine):
    check(tmp_path, *_file(opset, 1, squeeze, excitation, gate, combine))


@pytest.mark.parametrize("combine", [_reshaped, _swapped, _unsqueezed, _expanded], ids=names)
@pytest.mark.parametrize("excitation", [_gemm, _matmul, _transposed_convolutions], ids=names)
@pytest.mark.parametrize("squeeze", ANY_LAYOUT, ids=names)
def test_channels_last(tmp_path, squeeze, excitation, combine):
    """As converters from TensorFlow leave them between two transpositions."""
    check(tmp_path, *_file(13, 3, squeeze, excitation, _sigmoid, combine))


def _tiled_file(opset, rows, columns, wide, **pooling):
    """As a quantisation tool writes tiles: pool, excite, resample, crop; `wide` resamples columns too."""
    file = File(opset)
    x = file.op("Relu", file.op("Conv", "x", file.weight(CHANNELS, CHANNELS, 3, 3), pads=[1, 1, 1, 1]))
    mean = file.op("AveragePool", x, kernel_shape=[rows, columns], strides=[rows, columns], **pooling)
    excited, _ = _convolutions(file, mean, True)
    gate = _sigmoid(file, excited)
    scales = file.const([1, 1, rows, columns if wide else 1])
    gate = file.op("Resize", gate, file.const([]), scales, **NEAREST)
    tops = file.integers(0, 0)
    gate = file.op("Slice", gate, tops, file.integers(HEIGHT, WIDTH if wide else 1), file.integers(2, 3))
    return file, file.op("Add", file.op("Mul", x, gate), "x")


NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


@pytest.mark.parametrize(
    ("rows", "columns", "wide"), [(7, WIDTH, True), (7, WIDTH, False), (4, WIDTH, False), (5, 3, True), (6, 5, True)]
)
@pytest.mark.parametrize("opset", [11, 18])
def test_tiles(tmp_path, opset, rows, columns, wide):
    file, result = _tiled_file(opset, rows, columns, wide, ceil_mode=1)
    path = tmp_path / "tiled.onnx"
    file.save(path, result)
    net = read_onnx(path)
    (only,) = find_attention(net)
    assert only.tile == (rows, columns)
    assert attention_buffering(net).total_elements == 2 * rows * WIDTH * CHANNELS
    x = np.random.default_rng(1).normal(size=(1, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
    (expected,) = execute(path, {"x": x}).values()
    again = tile_attention(tile_attention(net, 2), rows, columns=columns)
    for same in (net, again):
        write_onnx(same, tmp_path / "same.onnx")
        (found,) = execute(tmp_path / "same.onnx", {"x": x}).values()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
