"""TensorFlow Lite files, quantised or not: space outermost and channels innermost, as here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np

from accelsim.arithmetic.formats import Array, Format
from accelsim.arithmetic.network import IntegerNetwork
from accelsim.arithmetic.readers.assembly import ROUNDING, assembled
from accelsim.arithmetic.readers.tflite_file import DAMAGED, File, OperatorEntry, TensorEntry, read_file
from accelsim.errors import InputError, UnsupportedError, collected
from accelsim.network.graph import Network, Node, Port, network
from accelsim.network.layers import (
    Activation,
    Combine,
    Concat,
    Constant,
    Convolution,
    Dense,
    Input,
    Layer,
    Pad,
    Padding,
    Pool,
    PRelu,
    Rearrange,
    Reduce,
    Resize,
    Slice,
    Softmax,
    TransposedConvolution,
    Weighted,
)
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

#: Activations that an operator may carry, by their number in the schema.
FUSED: dict[int, Activation | None] = {
    0: None, 1: Activation("relu"), 2: Activation("clip", (-1.0, 1.0)), 3: Activation("relu6"), 4: Activation("tanh"),
}  # fmt: skip


class NotReadable(InputError):
    """What about an operator is not supported."""


def read_tflite(path: Path) -> IntegerNetwork:
    """An integer network of a file's first subgraph, one frame at a time.

    Raises `UnsupportedError` with every operator that cannot be read, and `InputError` for a damaged file.
    """
    return _Reading(read_file(Path(path))).network()


@dataclass
class _Reading:
    """`made` names the node behind each tensor of the file."""

    file: File
    nodes: dict[str, Node] = field(default_factory=dict)
    parameters: dict[str, Array] = field(default_factory=dict)
    formats: dict[str, Format] = field(default_factory=dict)
    weight_formats: dict[str, Format] = field(default_factory=dict)
    made: dict[int, str] = field(default_factory=dict)
    dividing: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def network(self) -> IntegerNetwork:
        try:
            return self._assembled()
        except UnsupportedError:
            raise
        except InputError as error:
            raise collected([f"{self.file.path}: {line}" for line in str(error).splitlines()]) from None

    def _assembled(self) -> IntegerNetwork:
        inputs = [self._input(index) for index in self.file.inputs]
        for operator in self.file.operators:
            self._read(operator)
        if self.problems:
            raise UnsupportedError(str(self.file.path), self.problems)
        missing = [self.file.tensors[k].name for k in self.file.outputs if k not in self.made]
        if missing:
            raise InputError(f"output {', '.join(missing)} is made by no operator")
        outputs = [self._port(index) for index in self.file.outputs]
        ports = {port.name: self._declared(k) for port, k in zip(inputs, self.file.inputs, strict=True)}
        ports |= {port.name: self._declared(k) for port, k in zip(outputs, self.file.outputs, strict=True)}
        net = network(self.file.path.stem, list(self.nodes.values()), outputs, inputs, self.parameters)
        self._check_shapes(net)
        return assembled(net, self.formats, self.weight_formats, ports, "fixed_point", frozenset(self.dividing))

    def _check_shapes(self, net: Network) -> None:
        """Every tensor has the shape that the file declares."""
        problems = [
            f"tensor {self.entry(index).name} is declared as {self.tensor_of(index).label}, and made as "
            f"{net.tensors[name].label}"
            for index, name in self.made.items()
            if name in net.tensors and net.tensors[name] != self.tensor_of(index)
        ]
        if problems:
            raise collected(problems)

    def _declared(self, index: int) -> Format | None:
        return self.file.tensors[index].format

    def _input(self, index: int) -> Port:
        entry = self.file.tensors[index]
        tensor = canonical(entry.shape)
        name = self._unused(entry.name or f"input{index}")
        self.nodes[name] = Node(name, Input(tensor.channels, tensor.spatial))
        self._hold(index, name)
        return self._port(index)

    def _port(self, index: int) -> Port:
        entry = self.file.tensors[index]
        first = 1 if len(entry.shape) > 1 and entry.shape[0] == 1 else 0
        last = len(entry.shape) - 1
        channels = (last,) if entry.shape else ()
        name = entry.name or f"tensor{index}"
        return Port(name, self.made[index], entry.shape, tuple(range(first, last)), channels)

    def _hold(self, index: int, name: str) -> None:
        self.made[index] = name
        kind = self.file.tensors[index].format
        if kind is not None:
            self.formats[name] = kind

    def _unused(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self.nodes:
            count += 1
            candidate = f"{name}.{count}"
        return candidate

    def _read(self, operator: OperatorEntry) -> None:
        place = self.file.tensors[operator.outputs[0]].name if operator.outputs else operator.kind
        try:
            if operator.kind not in OPERATORS:
                raise NotReadable("")
            if any(k >= 0 and k not in self.made and self.entry(k).data is None for k in operator.inputs):
                return
            OPERATORS[operator.kind](self, operator)
        except InputError as error:
            self.problems.append(f"{place} ({operator.kind})" + (f": {error}" if str(error) else ""))
        except DAMAGED as error:
            self.problems.append(f"{place} ({operator.kind}): malformed: {' '.join(str(error).split())[:120]}")

    def entry(self, index: int) -> TensorEntry:
        return self.file.tensors[index]

    def tensor_of(self, index: int) -> Tensor:
        return canonical(self.entry(index).shape)

    def source(self, operator: OperatorEntry, position: int) -> str:
        """The node an operator reads; a constant becomes one."""
        index = operator.inputs[position]
        if index not in self.made:
            self.made[index] = self._constant(index)
        return self.made[index]

    def _constant(self, index: int) -> str:
        entry = self.entry(index)
        assert entry.data is not None
        tensor = canonical(entry.shape)
        name = self._unused(entry.name or f"constant{index}")
        self.nodes[name] = Node(name, Constant(tensor.channels, tensor.spatial))
        kind = entry.format
        self.parameters[f"{name}.value"] = entry.data.reshape(*tensor.spatial, tensor.channels)
        if kind is not None:
            if kind.channels > 1:
                raise NotReadable("a constant operand with a scale a channel")
            self.formats[name] = self.weight_formats[f"{name}.value"] = kind
        else:
            self.parameters[f"{name}.value"] = self.parameters[f"{name}.value"].astype(np.float32)
        return name

    def constant(self, operator: OperatorEntry, position: int, what: str) -> TensorEntry:
        entry = self.entry(operator.inputs[position])
        if entry.data is None:
            raise NotReadable(f"{what} computed from the network's input")
        return entry

    def numbers(self, operator: OperatorEntry, position: int, what: str) -> tuple[int, ...]:
        data = self.constant(operator, position, what).data
        assert data is not None
        return tuple(int(n) for n in data.reshape(-1))

    def add(self, operator: OperatorEntry, layer: Layer, inputs: Sequence[str], arrays: dict[str, Array] | None = None,
            fused: int = 0) -> str:  # fmt: skip
        """Adds the layer that makes the operator's first output, and the activation it carries behind it."""
        index = operator.outputs[0]
        entry = self.entry(index)
        if fused not in FUSED:
            raise NotReadable(f"fused activation {fused}")
        activation = FUSED[fused]
        final = self._unused(entry.name or f"tensor{index}")
        name = final if activation is None else self._unused(f"{final}.{operator.kind.lower()}")
        self.nodes[name] = Node(name, layer, tuple(inputs))
        self.parameters |= {f"{name}.{key}": array for key, array in (arrays or {}).items()}
        if activation is not None:
            self.nodes[final] = Node(final, activation, (name,))
        kind = entry.format
        if activation is not None and kind is not None and activation.function != "tanh":
            self.formats[name] = kind
        self._hold(index, final)
        return name


def canonical(shape: Sequence[int]) -> Tensor:
    """A tensor of the file without its batch: the last axis is the channels."""
    if not shape:
        return Tensor(1)
    inner = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    return Tensor(inner[-1], tuple(inner[:-1]))


def _padding(read: _Reading, mode: int, space: Sequence[int], kernel: Sequence[int], stride: Sequence[int],
             dilation: Sequence[int]) -> Padding:  # fmt: skip
    """SAME (0) pads so that ceil(size / stride) windows fit, less before than after; VALID (1) does not pad."""
    if min((*stride, *dilation)) < 1:
        raise InputError(f"strides {tuple(stride)}, dilations {tuple(dilation)}; both are at least 1")
    if mode == 1:
        return ((0, 0),) * len(space)
    axes = zip(space, kernel, stride, dilation, strict=True)
    totals = [max((ceil_div(n, s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in axes]
    return tuple((total // 2, total - total // 2) for total in totals)


def _weights(
    read: _Reading, operator: OperatorEntry, position: int, order: Sequence[int], channel_axis: int
) -> TensorEntry:
    """A constant operand of weights, axes in `order`, with one scale, or one along `channel_axis` of the file."""
    entry = read.constant(operator, position, "weights")
    assert entry.data is not None
    if entry.data.ndim != len(order):
        raise InputError(f"weights of shape {entry.shape}")
    if len(entry.scales) > 1 and entry.axis != channel_axis:
        raise NotReadable(f"scales along axis {entry.axis} of the weights")
    return TensorEntry(entry.name, entry.shape, entry.type, entry.scales, entry.zeros, entry.axis,
                       np.ascontiguousarray(entry.data.transpose(order)))  # fmt: skip


def _weighted(read: _Reading, operator: OperatorEntry, layer: Weighted, weights: TensorEntry, bias: int, fused: int,
              source: str) -> None:  # fmt: skip
    """Adds a layer with weights and, at position `bias` of the operator's inputs, a bias."""
    assert weights.data is not None
    arrays: dict[str, Array] = {"weight": weights.data}
    kind = weights.format
    if kind is None:
        arrays["weight"] = weights.data.astype(np.float32)
    if len(operator.inputs) > bias and operator.inputs[bias] >= 0:
        given = read.constant(operator, bias, "bias").data
        assert given is not None
        arrays["bias"] = given.reshape(-1)
        layer = replace(layer, bias=True)
    name = read.add(operator, layer, (source,), arrays, fused)
    if kind is not None:
        read.weight_formats[f"{name}.weight"] = kind


def _convolution(read: _Reading, operator: OperatorEntry) -> None:
    option = operator.options
    weights = _weights(read, operator, 1, (0, 3, 1, 2), 0)
    stride = option("Conv2DOptions.StrideH", 1), option("Conv2DOptions.StrideW", 1)
    dilation = option("Conv2DOptions.DilationHFactor", 1), option("Conv2DOptions.DilationWFactor", 1)
    source = read.tensor_of(operator.inputs[0])
    _check_map(source)
    assert weights.data is not None
    kernel = weights.data.shape[2:]
    groups = source.channels // max(weights.data.shape[1], 1)
    padding = _padding(read, option("Conv2DOptions.Padding", 0), source.spatial, kernel, stride, dilation)
    layer = Convolution(weights.data.shape[0], kernel, stride, padding, dilation, groups)
    fused = option("Conv2DOptions.FusedActivationFunction", 0)
    _weighted(read, operator, layer, weights, 2, fused, read.source(operator, 0))


def _check_map(source: Tensor) -> None:
    if len(source.spatial) != 2:
        raise InputError(f"a map of {source.label} where height and width are expected")


def _depthwise(read: _Reading, operator: OperatorEntry) -> None:
    option = operator.options
    weights = _weights(read, operator, 1, (3, 0, 1, 2), 3)
    holder = "DepthwiseConv2DOptions"
    stride = option(f"{holder}.StrideH", 1), option(f"{holder}.StrideW", 1)
    dilation = option(f"{holder}.DilationHFactor", 1), option(f"{holder}.DilationWFactor", 1)
    source = read.tensor_of(operator.inputs[0])
    _check_map(source)
    assert weights.data is not None
    kernel = weights.data.shape[2:]
    padding = _padding(read, option(f"{holder}.Padding", 0), source.spatial, kernel, stride, dilation)
    layer = Convolution(weights.data.shape[0], kernel, stride, padding, dilation, source.channels)
    fused = option(f"{holder}.FusedActivationFunction", 0)
    _weighted(read, operator, layer, weights, 2, fused, read.source(operator, 0))


def _transposed(read: _Reading, operator: OperatorEntry) -> None:
    option = operator.options
    weights = _weights(read, operator, 1, (3, 0, 1, 2), 0)
    stride = option("TransposeConvOptions.StrideH", 1), option("TransposeConvOptions.StrideW", 1)
    operand = OperatorEntry(operator.kind, (operator.inputs[2], *operator.inputs[1:]), operator.outputs, option)
    source, output = read.tensor_of(operator.inputs[2]), read.tensor_of(operator.outputs[0])
    _check_map(source)
    assert weights.data is not None
    kernel = weights.data.shape[2:]
    same = option("TransposeConvOptions.Padding", 0) == 0
    axes = tuple(zip(source.spatial, kernel, stride, output.spatial, strict=True))
    totals = [max((n - 1) * s + k - o, 0) if same else 0 for n, k, s, o in axes]
    padding = tuple((total // 2, total - total // 2) for total in totals)
    extra = tuple(o - ((n - 1) * s + k - t) for (n, k, s, o), t in zip(axes, totals, strict=True))
    layer = TransposedConvolution(weights.data.shape[1], kernel, stride, padding, (1, 1), extra)
    _weighted(read, operand, layer, weights, 3, option("TransposeConvOptions.FusedActivationFunction", 0),
              read.source(operand, 0))  # fmt: skip


def _dense(read: _Reading, operator: OperatorEntry) -> None:
    weights = _weights(read, operator, 1, (0, 1), 0)
    assert weights.data is not None
    outputs, inputs = weights.data.shape
    source, name = read.tensor_of(operator.inputs[0]), read.source(operator, 0)
    if source.channels != inputs:
        wanted = Tensor(inputs, () if source.elements == inputs else (source.elements // inputs,))
        name = _rearranged(read, name, source, wanted)
    fused = operator.options("FullyConnectedOptions.FusedActivationFunction", 0)
    _weighted(read, operator, Dense(outputs), weights, 2, fused, name)


def _rearranged(read: _Reading, name: str, source: Tensor, wanted: Tensor) -> str:
    added = read._unused(f"{name}.reshape")
    layer = Rearrange((source.elements,), (0,), wanted.spatial, wanted.channels)
    read.nodes[added] = Node(added, layer, (name,))
    return added


COMBINED = {
    "ADD": ("add", "AddOptions"), "SUB": ("subtract", "SubOptions"), "MUL": ("multiply", "MulOptions"),
    "DIV": ("divide", "DivOptions"), "MAXIMUM": ("maximum", ""), "MINIMUM": ("minimum", ""),
}  # fmt: skip


def _combination(read: _Reading, operator: OperatorEntry) -> None:
    operation, holder = COMBINED[operator.kind]
    fused = operator.options(f"{holder}.FusedActivationFunction", 0) if holder else 0
    read.add(operator, Combine(operation), [read.source(operator, k) for k in (0, 1)], None, fused)


def _pool(read: _Reading, operator: OperatorEntry) -> None:
    option = operator.options
    kernel = option("Pool2DOptions.FilterHeight", 1), option("Pool2DOptions.FilterWidth", 1)
    stride = option("Pool2DOptions.StrideH", 1), option("Pool2DOptions.StrideW", 1)
    source = read.tensor_of(operator.inputs[0])
    _check_map(source)
    padding = _padding(read, option("Pool2DOptions.Padding", 0), source.spatial, kernel, stride, (1, 1))
    maximum = operator.kind == "MAX_POOL_2D"
    layer: Layer = Pool("maximum" if maximum else "average", kernel, stride, padding, (1, 1))
    tiles = all(n == k or (k == s and n % k == 0) for n, k, s in zip(source.spatial, kernel, stride, strict=True))
    if tiles and not any(map(sum, padding)):
        layer = Reduce("maximum" if maximum else "mean", None if kernel == source.spatial else kernel)
    fused = option("Pool2DOptions.FusedActivationFunction", 0)
    read.dividing.add(read.add(operator, layer, (read.source(operator, 0),), None, fused))


def _mean(read: _Reading, operator: OperatorEntry) -> None:
    source, rank = read.tensor_of(operator.inputs[0]), len(read.entry(operator.inputs[0]).shape)
    axes = sorted(axis % rank for axis in read.numbers(operator, 1, "axes"))
    if axes != list(range(1, rank - 1)) or rank < 3:
        raise NotReadable(f"axes {axes} other than all of space")
    kept = _next_name(read, operator)
    read.nodes[kept] = Node(kept, Reduce("mean"), (read.source(operator, 0),))
    kind = read.entry(operator.outputs[0]).format
    if kind is not None:
        read.formats[kept] = kind
    wanted = read.tensor_of(operator.outputs[0])
    read.add(operator, Rearrange((source.channels,), (0,), wanted.spatial, wanted.channels), (kept,))


def _next_name(read: _Reading, operator: OperatorEntry) -> str:
    return read._unused(f"{read.entry(operator.outputs[0]).name}.{operator.kind.lower()}")


def _reshape(read: _Reading, operator: OperatorEntry) -> None:
    source, wanted = read.tensor_of(operator.inputs[0]), read.tensor_of(operator.outputs[0])
    if source.elements != wanted.elements:
        raise InputError(f"{source.elements} elements reshaped to {wanted.label}")
    if source == wanted:
        read.made[operator.outputs[0]] = read.source(operator, 0)
        return
    read.add(
        operator, Rearrange((source.elements,), (0,), wanted.spatial, wanted.channels), (read.source(operator, 0),)
    )


UNARY: dict[str, tuple[str, tuple[float, ...]]] = {
    "LOGISTIC": ("sigmoid", ()), "TANH": ("tanh", ()), "RELU": ("relu", ()), "RELU6": ("relu6", ()),
    "RELU_N1_TO_1": ("clip", (-1.0, 1.0)), "RELU_0_TO_1": ("clip", (0.0, 1.0)), "HARD_SWISH": ("hard_swish", ()),
    "ELU": ("elu", (1.0,)), "EXP": ("exp", ()), "ABS": ("abs", ()), "NEG": ("neg", ()), "SQRT": ("sqrt", ()),
    "RSQRT": ("power", (-0.5,)), "SQUARE": ("power", (2.0,)), "LOG": ("log", ()), "SIN": ("sin", ()),
    "COS": ("cos", ()), "FLOOR": ("floor", ()), "CEIL": ("ceil", ()), "ROUND": ("round", ()), "SIGN": ("sign", ()),
}  # fmt: skip


def _unary(read: _Reading, operator: OperatorEntry) -> None:
    if operator.kind == "LEAKY_RELU":
        layer = Activation("leaky_relu", (float(operator.options("LeakyReluOptions.Alpha", 0.0)),))
    elif operator.kind == "GELU":
        layer = Activation("gelu_tanh" if operator.options("GeluOptions.Approximate", False) else "gelu")
    else:
        layer = Activation(*UNARY[operator.kind])
    read.add(operator, layer, (read.source(operator, 0),))


def _prelu(read: _Reading, operator: OperatorEntry) -> None:
    entry = read.constant(operator, 1, "slopes")
    assert entry.data is not None
    channels = read.tensor_of(operator.inputs[0]).channels
    if entry.data.size not in (1, channels):
        raise NotReadable(f"slopes of shape {entry.shape}")
    kind = entry.format
    slope = entry.data.astype(np.float32) if kind is None else kind.real(entry.data)
    arrays = {"slope": slope.reshape(-1)}
    read.add(operator, PRelu(shared=entry.data.size == 1 and channels > 1), (read.source(operator, 0),), arrays)


def _softmax(read: _Reading, operator: OperatorEntry) -> None:
    beta = operator.options("SoftmaxOptions.Beta", 1.0)
    if operator.kind == "SOFTMAX" and beta != 1.0:
        raise NotReadable(f"beta = {beta} other than 1")
    read.add(operator, Softmax(log=operator.kind == "LOG_SOFTMAX"), (read.source(operator, 0),))


def _pad(read: _Reading, operator: OperatorEntry) -> None:
    amounts = read.numbers(operator, 1, "padding")
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    source = read.tensor_of(operator.inputs[0])
    outer = len(pairs) - len(source.spatial) - 1
    if outer < 0 or any(any(pair) for pair in pairs[:outer]):
        raise NotReadable(f"padding {pairs} of a {source.label} map")
    value = 0.0
    if operator.kind == "PADV2":
        entry = read.constant(operator, 2, "the padding's value")
        assert entry.data is not None
        kind = entry.format
        value = float((entry.data if kind is None else kind.real(entry.data)).reshape(-1)[0])
    mode = "constant"
    if operator.kind == "MIRROR_PAD":
        if operator.options("MirrorPadOptions.Mode", 0) != 0:
            raise NotReadable("symmetric mirroring")
        mode = "reflect"
    read.add(operator, Pad(tuple(pairs[outer:-1]), pairs[-1], mode, value), (read.source(operator, 0),))


def _concat(read: _Reading, operator: OperatorEntry) -> None:
    rank = len(read.entry(operator.outputs[0]).shape)
    axis = operator.options("ConcatenationOptions.Axis", 0) % rank
    own = -1 if axis == rank - 1 else axis - (rank - 1 - len(read.tensor_of(operator.outputs[0]).spatial))
    if own < -1 or axis < rank - 1 - len(read.tensor_of(operator.outputs[0]).spatial):
        raise NotReadable(f"axis {axis}")
    fused = operator.options("ConcatenationOptions.FusedActivationFunction", 0)
    read.add(operator, Concat(own), [read.source(operator, k) for k in range(len(operator.inputs))], None, fused)


def _resize(read: _Reading, operator: OperatorEntry) -> None:
    linear = operator.kind == "RESIZE_BILINEAR"
    holder = "ResizeBilinearOptions" if linear else "ResizeNearestNeighborOptions"
    corners = operator.options(f"{holder}.AlignCorners", False)
    centred = operator.options(f"{holder}.HalfPixelCenters", False)
    coordinates = "align_corners" if corners else "half_pixel" if centred else "asymmetric"
    if not linear and centred:
        coordinates = "tf_half_pixel_for_nn"
    if not linear and corners:
        raise NotReadable("nearest neighbours with aligned corners")
    layer = Resize(read.tensor_of(operator.outputs[0]).spatial, "linear" if linear else "nearest", coordinates)
    read.add(operator, layer, (read.source(operator, 0),))


def _quantise(read: _Reading, operator: OperatorEntry) -> None:
    kind = read.entry(operator.outputs[0]).format
    if kind is None or kind.channels > 1:
        raise NotReadable("without one scale")
    read.add(operator, ROUNDING, (read.source(operator, 0),))


def _dequantise(read: _Reading, operator: OperatorEntry) -> None:
    index, output = operator.inputs[0], operator.outputs[0]
    entry = read.entry(index)
    if index in read.made:
        read.made[output] = read.made[index]
        return
    # A constant stored in a smaller type: its real values stand in the place of the output.
    assert entry.data is not None
    kind = entry.format
    reals = entry.data.astype(np.float32) if kind is None else _real_weights(entry, kind)
    old = read.entry(output)
    made = TensorEntry(old.name, old.shape, 0, (), (), 0, reals)
    tensors = (*read.file.tensors[:output], made, *read.file.tensors[output + 1 :])
    read.file = File(read.file.path, tensors, read.file.operators, read.file.inputs, read.file.outputs)


def _real_weights(entry: TensorEntry, kind: Format) -> Array:
    assert entry.data is not None
    shape = [-1 if axis == entry.axis and kind.channels > 1 else 1 for axis in range(entry.data.ndim)]
    shifted = entry.data.astype(np.int64) - kind.zeros.reshape(shape)
    return shifted.astype(np.float32) * kind.scales.reshape(shape)


def _slice(read: _Reading, operator: OperatorEntry) -> None:
    begin = read.numbers(operator, 1, "the beginning")
    shape = read.entry(operator.inputs[0]).shape
    sizes = read.entry(operator.outputs[0]).shape
    steps = (1,) * len(begin)
    if operator.kind == "STRIDED_SLICE":
        steps = read.numbers(operator, 3, "steps")
        masks = [
            operator.options(f"StridedSliceOptions.{m}Mask", 0) for m in ("Begin", "Ellipsis", "NewAxis", "ShrinkAxis")
        ]
        if any(masks[1:]) or any(step < 1 for step in steps):
            raise NotReadable("masks other than begin and end, or steps backwards")
        begin = tuple(0 if masks[0] >> axis & 1 else b for axis, b in enumerate(begin))
    if len(begin) != len(shape) or len(sizes) != len(shape):
        raise NotReadable(f"{len(begin)} beginnings for {len(shape)} axes")
    name = read.source(operator, 0)
    cut = [axis for axis in range(len(shape)) if sizes[axis] != shape[axis]]
    offset = len(shape) - 1 - len(read.tensor_of(operator.inputs[0]).spatial)
    if any(axis < offset for axis in cut):
        raise NotReadable("a slice of the batch")
    for axis in cut[:-1]:
        inner = _next_name(read, operator)
        own = -1 if axis == len(shape) - 1 else axis - offset
        read.nodes[inner] = Node(inner, Slice(own, begin[axis] % shape[axis], sizes[axis], steps[axis]), (name,))
        name = inner
    if not cut:
        read.made[operator.outputs[0]] = name
        return
    own = -1 if cut[-1] == len(shape) - 1 else cut[-1] - offset
    read.add(operator, Slice(own, begin[cut[-1]] % shape[cut[-1]], sizes[cut[-1]], steps[cut[-1]]), (name,))


def _split(read: _Reading, operator: OperatorEntry) -> None:
    (axis,) = read.numbers(operator, 0, "the axis")
    index = operator.inputs[1]
    shape = read.entry(index).shape
    axis %= len(shape)
    offset = len(shape) - 1 - len(read.tensor_of(index).spatial)
    if axis < offset:
        raise NotReadable("a split of the batch")
    own = -1 if axis == len(shape) - 1 else axis - offset
    source, start = read.source(operator, 1), 0
    for output in operator.outputs:
        size = read.entry(output).shape[axis]
        single = OperatorEntry(operator.kind, operator.inputs, (output,), operator.options)
        read.add(single, Slice(own, start, size), (source,))
        start += size


def _transpose(read: _Reading, operator: OperatorEntry) -> None:
    order = read.numbers(operator, 1, "the order of axes")
    shape = read.entry(operator.inputs[0]).shape
    wanted = read.tensor_of(operator.outputs[0])
    if sorted(order) != list(range(len(shape))) or prod(shape) != wanted.elements:
        raise InputError(f"order {order} of {len(shape)} axes")
    read.add(operator, Rearrange(shape, order, wanted.spatial, wanted.channels), (read.source(operator, 0),))


OPERATORS: dict[str, Callable[[_Reading, OperatorEntry], None]] = {
    **dict.fromkeys(COMBINED, _combination), **dict.fromkeys((*UNARY, "LEAKY_RELU", "GELU"), _unary),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _pool),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _reshape),
    **dict.fromkeys(("SOFTMAX", "LOG_SOFTMAX"), _softmax),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad), **dict.fromkeys(("SLICE", "STRIDED_SLICE"), _slice),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    "CONCATENATION": _concat, "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _depthwise, "DEQUANTIZE": _dequantise,
    "FULLY_CONNECTED": _dense, "MEAN": _mean, "PRELU": _prelu, "QUANTIZE": _quantise, "SPLIT": _split,
    "TRANSPOSE": _transpose, "TRANSPOSE_CONV": _transposed,
}  # fmt: skip
