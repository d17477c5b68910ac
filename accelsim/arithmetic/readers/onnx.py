"""ONNX files in integers: QOperator, QDQ and QONNX, read by the reader of real networks with roundings in it.

What is stored in integers is read as such, what is rounded on the way becomes a layer of its own, and operators
between them are read as ever; `assembly` then turns roundings into formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from accelsim.arithmetic.encodings import Encoding, NumberType, Stored, same_scales
from accelsim.arithmetic.formats import INT32, UINT8, Array, Format, IntegerType
from accelsim.arithmetic.minifloats import FloatType
from accelsim.arithmetic.network import IntegerNetwork
from accelsim.arithmetic.readers.assembly import ROUNDING, assembled
from accelsim.arithmetic.readers.scales import (
    NUMBERED,
    TYPES,
    check_result,
    constant,
    encoding_of,
    in_a_row,
    placed,
    rounded_to,
    saturating,
    several,
    type_of,
    unpacked,
)
from accelsim.errors import InputError
from accelsim.network.graph import Network, Node, Port, network, without_weights
from accelsim.network.layers import Constant, Input, Weighted
from accelsim.network.readers.onnx.builder import Unknown, Value, Weight
from accelsim.network.readers.onnx.elementwise import applied
from accelsim.network.readers.onnx.file import load_model
from accelsim.network.readers.onnx.operator import NotReadable, Operator
from accelsim.network.readers.onnx.operators import OPERATORS
from accelsim.network.readers.onnx.reader import Scope, _Reading, read_model
from accelsim.network.readers.onnx.values import Values, optional, present
from accelsim.network.readers.onnx.view import View

#: Operators on integers whose result is some of them.
KEEPING = frozenset((
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GlobalMaxPool", "Identity", "MaxPool", "Pad", "Reshape",
    "Resize", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
))  # fmt: skip
#: Operators that say nothing about their input's values.
BLIND = frozenset(("Shape", "Size"))
#: Operators whose weights stay integers.
WEIGHTED = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
#: Operators that change the type of elements.
CASTS = frozenset(("Cast", "CastLike"))
#: Relative difference of a bias's scale from input times weight scale that is rounding.
BIAS_SCALE_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Quantised(Weight):
    """A constant in integers: `array` holds its real values, `integers` what is stored, `axis` that of the scales."""

    integers: Array = field(default_factory=lambda: np.empty(0))
    format: Format | None = None
    axis: int = 0


def read_integer_onnx(path: Path, input_shape: Any = None) -> IntegerNetwork:
    """An integer network of an ONNX file. Raises as `read_onnx` does, and for scales or zero points that are none."""
    path = Path(path)
    model = load_model(path)
    made = _IntegerReading(path, model).integer_network(input_shape)
    if not _quantised(model):
        hint = "load_network reads it, quantise makes it so"
        raise InputError(f"{path}: nothing in this network is quantised; {hint}")
    return made


def read_graph(path: Path, input_shape: Any = None) -> Network:
    """The graph of an ONNX file, quantised or not; that of a quantised one has no weights."""
    model = load_model(path)
    if not _quantised(model):
        return read_model(path, model, input_shape)
    return without_weights(_IntegerReading(path, model).integer_network(input_shape).network)


def _quantised(model: ModelProto) -> bool:
    return not SPECIAL.keys().isdisjoint(node.op_type for node in model.graph.node)


@dataclass
class _IntegerReading(_Reading):
    """`held` says which values of the file are no real numbers, of what format where that is known yet.

    `roundings` are the layers that round, `weight_formats` those of arrays, `constants` those of constant operands,
    whose integers are put in place when all patterns have been recognised. `biases` are those stored with a scale,
    `repeated` the layers whose weights have the same scales in every group.
    """

    held: dict[str, Stored | None] = field(default_factory=dict)
    roundings: dict[str, Stored] = field(default_factory=dict)
    weight_formats: dict[str, Format] = field(default_factory=dict)
    constants: dict[str, Format] = field(default_factory=dict)
    biases: dict[str, Quantised] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)

    def integer_network(self, given: Any) -> IntegerNetwork:
        for entry in self.model.graph.input:
            if entry.type.tensor_type.elem_type in NUMBERED:
                self.held[entry.name] = None
        net = self._with_constants(self.network(given))
        declared = {port.name: self.held.get(port.name) for port in (*net.inputs, *net.outputs)}
        try:
            made = assembled(net, self.roundings, self.weight_formats, declared, "float")
            settled = self._settled(made)
            if settled:
                net = network(net.name, net.nodes, net.outputs, net.inputs, {**net.parameters, **settled})
                made = assembled(net, self.roundings, self.weight_formats, declared, "float")
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
        return made

    def _settled(self, made: IntegerNetwork) -> dict[str, Array]:
        """Biases that become others once the scale of the sums they start is known.

        One stored with another scale becomes real. A real one of a layer whose output is rounded becomes integer, as
        ONNX Runtime does it (its weight and bias quantisation), which wants one scale or one a number of the bias;
        QONNX files keep theirs.
        """
        rounds = any(node.op_type == "DequantizeLinear" for node in self.model.graph.node)
        settled, rounded = {}, made.formats.keys() - self.repeated
        for node in made.network.nodes:
            units, stored = _units(made, node), self.biases.get(node.name)
            bias = made.arrays(node).get("bias")
            if bias is None:
                continue
            if stored is not None and stored.format is not None:
                if units is None or not np.allclose(stored.format.scales, units, rtol=BIAS_SCALE_TOLERANCE, atol=0):
                    settled[f"{node.name}.bias"] = np.broadcast_to(stored.array.reshape(-1), bias.shape)
            elif units is not None and rounds and bias.dtype.kind == "f" and node.name in rounded:
                settled[f"{node.name}.bias"] = _in_units(bias, units)
        return settled

    def _with_constants(self, net: Network) -> Network:
        """`net` with constant operands in integers."""
        arrays = dict(net.parameters)
        for node in net.nodes:
            kind = self.constants.get(node.name)
            if kind is not None and isinstance(node.layer, Constant):
                key = f"{node.name}.value"
                arrays[key] = kind.nearest(arrays[key])
                self.roundings[node.name] = self.weight_formats[key] = kind
        present_nodes = net.by_name
        self.roundings = {name: kind for name, kind in self.roundings.items() if name in present_nodes}
        return network(net.name, net.nodes, net.outputs, net.inputs, arrays)

    def _output(self, name: str, value: Value) -> Port | None:
        if isinstance(value, Weight):
            self._hold_constant(name, value.array)
        return super()._output(name, value)

    def _hold_constant(self, name: str, array: Array) -> None:
        """An output that is constant is given out as it is stored, where single precision carries it so far."""
        kind = TYPES.get(array.dtype.name)
        if array.dtype.kind in "iu" and (array.astype(np.float32).astype(np.float64) != array).any():
            raise InputError(f"{self.path}: output {name} is a constant of {array.dtype} beyond single precision")
        if isinstance(kind, IntegerType):
            self.held[name] = Format(kind)

    def _converted(self, op: Operator, inputs: list[Value | None], scope: Scope) -> list[Value]:
        special = SPECIAL.get(op.kind)
        if special is not None and op.kind not in OPERATORS:
            unknown = [value for value in inputs if isinstance(value, Unknown)]
            if unknown:
                return self._unread(unknown)
            self.build.place = op.name
            return special(self, op, inputs)
        if op.kind in CASTS and isinstance(inputs[0], View):
            self.build.place = op.name
            made = converted_type(self, op, inputs)
            if made is not None:
                return made
        integers = [name for name in op.inputs if name in self.held and isinstance(scope.get(name), View)]
        if integers and op.kind not in KEEPING | BLIND:
            raise NotReadable(f"on the integers of {integers[0]} as they are; DequantizeLinear has to come before it")
        results = super()._converted(op, self._in_integers(op, inputs, integers), scope)
        if integers and op.kind in KEEPING:
            self._keep(op, integers)
        return results

    def _in_integers(self, op: Operator, inputs: list[Value | None], integers: Sequence[str]) -> list[Value | None]:
        """The inputs of an operator that keeps integers; what it pads with, 0 or another, is no real number then."""
        kind = self.held[integers[0]] if integers else None
        value = optional(inputs, 2)
        if op.kind != "Pad" or kind is None or not isinstance(value, Weight | None):
            return inputs
        filling = np.zeros(1, np.int64) if value is None else np.atleast_1d(value.array)
        given: list[Value | None] = [*inputs, None, None]
        return [*given[:2], Weight(kind.real(filling)), *inputs[3:]]

    def _keep(self, op: Operator, integers: Sequence[str]) -> None:
        kinds = {self.held[name] for name in integers}
        if len(kinds) > 1 or len(integers) < sum(
            bool(name) for name in op.inputs[: 1 if op.kind != "Concat" else None]
        ):
            raise NotReadable("joins integers of different formats")
        if op.kind == "Resize" and op.text("mode", "nearest") != "nearest":
            raise NotReadable("interpolates integers as they are")
        for name in op.outputs:
            if name:
                self.held[name] = next(iter(kinds))

    def _known(self, op: Operator, inputs: Sequence[Value | None]) -> list[Value]:
        if op.kind in WEIGHTED and op.domain == "" and any(isinstance(value, View) for value in inputs):
            weight = optional(inputs, 1)
            if isinstance(weight, Quantised) and weight.format is not None:
                return self.weighted(op, inputs, None)
        before = set(self.build.nodes)
        results = super()._known(op, inputs)
        formats = {id(v): v.format for v in inputs if isinstance(v, Quantised) and v.format is not None}
        if len(formats) == 1:
            (kind,) = formats.values()
            self._note_constants(before, kind)
        return results

    def _note_constants(self, before: set[str], kind: Format) -> None:
        for name in set(self.build.nodes) - before:
            if isinstance(self.build.nodes[name].layer, Constant) and kind.channels == 1:
                self.constants[name] = kind

    def weighted(self, op: Operator, inputs: Values, source: Format | None) -> list[Value]:
        """Conv, ConvTranspose, Gemm or MatMul with integer weights; a bias stays integer in units of the sums."""
        weight = present(inputs, 1)
        assert isinstance(weight, Quantised)
        kind = weight.format
        assert kind is not None
        axis = _output_axis(op, weight.integers.ndim)
        plain: list[Value | None] = [inputs[0], Weight(weight.integers), *inputs[2:]]
        if len(plain) > 2:
            plain[2] = _in_sums(inputs[2], weight.integers.shape[axis] if op.kind == "Gemm" else None)
        scaled = any(op.real(name, 1.0) != 1.0 for name in ("alpha", "beta")) if op.kind == "Gemm" else False
        if scaled or (kind.channels > 1 and weight.axis != axis):
            return super()._known(op, inputs)
        groups = op.integer("group", 1) if op.kind == "ConvTranspose" and kind.channels > 1 else 1
        # Files of transposed convolutions state the scales of one group's output channels for those of all.
        kind = replace(kind, scale=kind.scale * groups, zero_point=kind.zero_point * groups)
        before = set(self.build.nodes)
        results = super()._known(op, plain)
        for name in set(self.build.nodes) - before:
            if isinstance(self.build.nodes[name].layer, Weighted):
                self.weight_formats[f"{name}.weight"] = kind
                if len(inputs) > 2 and isinstance(inputs[2], Quantised):
                    self.biases[name] = inputs[2]
                if groups > 1:
                    self.repeated.add(name)
            elif isinstance(self.build.nodes[name].layer, Constant):
                key = f"{name}.value"
                self.build.parameters[key] = _real_of(self.build.parameters[key], kind)
        return results

    def take(self, name: str, value: Value, kind: Stored) -> View:
        """Numbers read with the format that the reader of them states."""
        if not isinstance(value, View):
            raise NotReadable("on nothing but constants")
        if name not in self.held:
            raise InputError(f"{name} holds no integers")
        if self.held[name] is None and not isinstance(self.build.nodes[value.node].layer, Input):
            raise NotReadable(f"integers of {name}, whose scale is not known")
        known = self.held[name] or self.roundings.get(value.node)
        if known is None:
            self.roundings[value.node] = self.held[value.node] = self.held[name] = kind
            self._settle(value.node, kind)
        elif type(known) is not type(kind) or not same_scales(known, kind):
            raise NotReadable(f"{name} is {_told(known)} where it is made and {_told(kind)} where it is read")
        elif kind.channels > 1 and value.node not in self.roundings:
            raise NotReadable(f"{name} was moved since it was rounded, which its {kind.channels} scales were not")
        return value

    def _settle(self, source: str, kind: Stored) -> None:
        """An input of several scales arrives in the order that these are in."""
        if kind.channels > 1 and source in self.build.inputs:
            self.build.inputs[source] = replace(self.build.inputs[source], free=False)

    def give(self, name: str, value: Value, kind: Stored) -> list[Value]:
        """The numbers that a value is rounded to; of constants they are constants."""
        if isinstance(value, Weight):
            return [Weight(unpacked(kind.nearest(value.array), kind.type))]
        assert isinstance(value, View)
        if value.node in self.roundings and self.roundings[value.node] == kind:
            rounded = value
        else:
            rounded = applied(self.build, ROUNDING, value, "rounded")
            self.roundings[rounded.node] = kind
        self.held[name] = kind
        return [rounded]


def _told(kind: Stored) -> str:
    zero = int(kind.zeros.flat[0])
    return f"{kind.label} with zero point {zero}" if zero else kind.label


def _in_sums(bias: Value | None, columns: int | None) -> Value | None:
    """A stored int32 bias as it is: its scale is that of the sums, which files repeat or leave out.

    What is added to a matrix of so many `columns` and is no row of it stays what it stands for.
    """
    if not isinstance(bias, Quantised) or bias.integers.dtype != np.int32:
        return bias
    if bias.format is not None and not bias.format.symmetric:
        return bias
    if columns is None or (bias.integers.size == columns and bias.shape[-1:] == (columns,)):
        return Weight(bias.integers)
    return Weight(np.full(columns, bias.integers.item(), np.int32)) if bias.integers.size == 1 else bias


def _units(made: IntegerNetwork, node: Node) -> Array | None:
    """What one of a weighted layer's sums stands for, by channel; None where operands are real."""
    source = made.formats.get(node.inputs[0]) if node.inputs else None
    weight = made.weight_formats.get(f"{node.name}.weight")
    if not isinstance(source, Format) or weight is None or source.channels > 1:
        return None
    return source.scales * weight.scales


def _in_units(bias: Array, units: Array) -> Array:
    """A real bias in 32-bit integers; as it is where they do not hold it."""
    with np.errstate(over="ignore"):
        integers = np.rint(bias.astype(np.float32) / units)
    fits = np.abs(integers) < -float(INT32.low)
    return integers.astype(np.int32) if fits.all() else bias


def _real_of(array: Array, kind: Format) -> Array:
    """What an operand of a product stands for; an addend beside it is real already."""
    if array.dtype.kind not in "iu":
        return array
    if kind.channels > 1:
        raise NotReadable("weights of a product of two activations with a scale a channel")
    return kind.real(array)


def _output_axis(op: Operator, rank: int) -> int:
    if op.kind == "Gemm":
        return 0 if op.integer("transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": rank - 1}[op.kind]


def format_of(scale: Array | None, zero: Array | None, kind: NumberType | None) -> Format:
    """A format of integers from arrays of the file; without a zero point it is 0, unsigned unless `kind` says more.

    Raises `InputError` for a zero point of another type than `kind`.
    """
    if scale is None:
        raise InputError("a scale is missing")
    own = None if zero is None else type_of(zero, "rounding to")
    if own is not None and kind not in (None, own):
        raise InputError(f"a zero point of type {own.label} for {kind.label}")
    kind = own or kind or UINT8
    if not isinstance(kind, IntegerType):
        raise NotReadable(f"on numbers of {kind.label}")
    scale = scale.reshape(-1)
    zeros = np.zeros(scale.size, np.int64) if zero is None else zero.reshape(-1).astype(np.int64)
    if 1 in (zeros.size, scale.size):
        zeros, scale = np.broadcast_arrays(zeros, scale)
    single = [float(np.float32(s)) for s in scale]
    if len(set(single)) == 1 and len({int(z) for z in zeros}) == 1:
        return Format(kind, (single[0],), (int(zeros[0]),))
    return Format(kind, tuple(single), tuple(int(z) for z in zeros))


def constant_of(weight: Weight, scale: Array | None, zero: Array | None, axis: int) -> Quantised:
    """Stored integers with what they stand for."""
    kind = format_of(scale, zero, type_of(weight.array, "constants of type"))
    integers = weight.array.astype(kind.type.dtype)
    axis = axis + integers.ndim if axis < 0 else axis
    count = 1 if scale is None else scale.size
    if count > 1 and (not 0 <= axis < integers.ndim or integers.shape[axis] != count):
        raise InputError(f"{count} scales on axis {axis} of shape {list(integers.shape)}")
    return Quantised(_reals(integers, kind, axis), weight.stored, integers, kind, axis)


def _reals(integers: Array, kind: Format, axis: int) -> Array:
    shifted = integers.astype(np.int64) - _along(kind.zeros, kind, integers, axis)
    return (shifted.astype(np.float32) * _along(kind.scales, kind, integers, axis)).reshape(integers.shape)


def _along(values: Array, kind: Format, array: Array, axis: int) -> Array:
    """Scales or zero points, one or one a channel, in a shape that goes with `array`, whose channels are on `axis`."""
    if kind.channels > 1 and (not 0 <= axis < array.ndim or array.shape[axis] != kind.channels):
        raise InputError(f"{kind.channels} scales on axis {axis} of shape {list(array.shape)}")
    shape = [-1 if a == axis and kind.channels > 1 else 1 for a in range(array.ndim)]
    return values.reshape(shape)


def _quotient(array: Array, kind: Format, axis: int) -> Array:
    """Real constants over their scale; what is beyond single precision is infinite, and clamped later."""
    if np.isnan(array).any():
        raise InputError("NaN has no integer")
    with np.errstate(over="ignore"):
        return np.asarray(array.astype(np.float32) / _along(kind.scales, kind, array, axis), np.float32)


def _per_channel(read: _IntegerReading, view: View, kind: Format, axis: int) -> View:
    """`view` with the axis of several scales as its channels."""
    if kind.channels == 1:
        return view
    axis = axis + len(view.axes) if axis < 0 else axis
    if not 0 <= axis < len(view.axes) or view.size(axis) != kind.channels:
        raise InputError(f"{kind.channels} scales on axis {axis} of shape {list(view.shape)}")
    return read.build.pixelwise(view, [axis])


def quantise_linear(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    kind, value = rounded_to(op, inputs), present(inputs, 0)
    if op.inputs[0] in read.held:
        raise NotReadable("of integers")
    if isinstance(value, Weight):
        numbers = encoding_of(op, inputs, value.shape, kind).nearest(value.array)
        return [Weight(unpacked(numbers, kind), stored=True)]
    assert isinstance(value, View)
    view, stored = placed(read.build, value, encoding_of(op, inputs, value.shape, kind))
    return read.give(op.outputs[0], view, stored)


def dequantise_linear(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    check_result(op, inputs)
    value = present(inputs, 0)
    if isinstance(value, Weight):
        return [_dequantised(op, inputs, value)]
    assert isinstance(value, View)
    kind = _held_type(read, op.inputs[0], value)
    view, stored = placed(read.build, value, encoding_of(op, inputs, value.shape, kind))
    return [read.take(op.inputs[0], view, stored)]


def converted_type(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value] | None:
    """A cast to or from floating point of few bits, which is rounding with a scale of 1; None for any other."""
    value, like, name = present(inputs, 0), optional(inputs, 1), op.inputs[0]
    wanted = TYPES.get(like.array.dtype.name) if isinstance(like, Weight) else NUMBERED.get(op.integer("to", 0))
    known = read.held.get(name)
    assert isinstance(value, View)
    own = known.type if known is not None else _input_type(read, value.node) if name in read.held else None
    if isinstance(wanted, FloatType):
        if own is not None:
            raise NotReadable(f"of {own.label} to {wanted.label}")
        return read.give(op.outputs[0], value, Encoding(saturating(op, wanted)))
    return [read.take(name, value, Encoding(own))] if isinstance(own, FloatType) and wanted is None else None


def _dequantised(op: Operator, inputs: Values, weight: Weight) -> Weight:
    """Constants as real numbers, with the integers they are where a layer may sum these."""
    kind = type_of(weight.array, "constants of type")
    encoding = encoding_of(op, inputs, weight.shape, kind)
    reals, axes = encoding.real(weight.array), several(encoding)
    if len(axes) > 1 or not isinstance(kind, IntegerType):
        return Weight(reals, weight.stored)
    own = in_a_row(encoding)
    assert isinstance(own, Format)
    return Quantised(reals, weight.stored, weight.array.astype(kind.dtype), own, axes[0] if axes else 0)


def _input_type(read: _IntegerReading, name: str) -> NumberType:
    """The declared type of an input of the network; what is none has the type that is left out in files."""
    for entry in read.model.graph.input:
        if entry.name == name:
            number = entry.type.tensor_type.elem_type
            if number not in NUMBERED:
                raise NotReadable(f"{name} has element type {number}, no integers of up to 32 bits")
            return NUMBERED[number]
    return UINT8


@dataclass(frozen=True)
class Sourced:
    """Positions of an integer operand, its scale and its zero point among an operator's inputs."""

    value: int
    scale: int
    zero: int


def operand(read: _IntegerReading, op: Operator, inputs: Values, at: Sourced, axis: int = 0) -> Value:
    """An integer operand as the real value it stands for: an activation, or a constant."""
    scale = np.ones(1, np.float32) if at.scale < 0 else constant(inputs, at.scale, "a scale")
    zero = constant(inputs, at.zero, "a zero point")
    value = present(inputs, at.value)
    if isinstance(value, Weight):
        return constant_of(value, scale, zero, axis)
    name = op.inputs[at.value]
    assert isinstance(value, View)
    return read.take(name, value, format_of(scale, zero, _held_type(read, name, value)))


def _held_type(read: _IntegerReading, name: str, value: View) -> NumberType:
    known = read.held.get(name)
    return known.type if known is not None else _input_type(read, value.node)


def result_format(inputs: Values, scale: int, zero: int, like: NumberType | None = None) -> Format:
    """The format of a result, which is `like` its operand where a zero point does not say its type."""
    own = constant(inputs, zero, "a zero point")
    return format_of(constant(inputs, scale, "a scale"), own, like if own is None else None)


def _operand_type(read: _IntegerReading, op: Operator, inputs: Values, position: int) -> NumberType:
    value = present(inputs, position)
    if isinstance(value, Weight):
        return type_of(value.array, "constants of type")
    assert isinstance(value, View)
    return _held_type(read, op.inputs[position], value)


def qlinear_conv(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    source, weight = operand(read, op, inputs, Sourced(0, 1, 2)), operand(read, op, inputs, Sourced(3, 4, 5))
    kind = result_format(inputs, 6, 7)
    made = read.weighted(replace(op, kind="Conv", domain=""), [source, weight, optional(inputs, 8)], kind)
    return read.give(op.outputs[0], made[0], kind)


def qlinear_matmul(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    second = present(inputs, 3)
    axis = len(second.array.shape) - 1 if isinstance(second, Weight) else 0
    pair = [operand(read, op, inputs, Sourced(0, 1, 2)), operand(read, op, inputs, Sourced(3, 4, 5), axis)]
    return _product(read, op, pair, result_format(inputs, 6, 7))


def _product(read: _IntegerReading, op: Operator, pair: list[Value], kind: Format) -> list[Value]:
    plain = replace(op, kind="MatMul", domain="")
    both = read.weighted(plain, pair, kind) if isinstance(pair[1], Quantised) else read._known(plain, pair)
    return read.give(op.outputs[0], both[0], kind)


def conv_integer(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    pair = [operand(read, op, inputs, Sourced(0, -1, 2)), operand(read, op, inputs, Sourced(1, -1, 3))]
    kind = Format(INT32)
    made = read.weighted(replace(op, kind="Conv", domain=""), pair, kind)
    return read.give(op.outputs[0], made[0], kind)


def matmul_integer(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    second = present(inputs, 1)
    axis = len(second.array.shape) - 1 if isinstance(second, Weight) else 0
    pair = [operand(read, op, inputs, Sourced(0, -1, 2)), operand(read, op, inputs, Sourced(1, -1, 3), axis)]
    return _product(read, op, pair, Format(INT32))


def qgemm(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    axis = 0 if op.integer("transB", 0) else 1
    first, second = operand(read, op, inputs, Sourced(0, 1, 2)), operand(read, op, inputs, Sourced(3, 4, 5), axis)
    bias = _bias_of_qgemm(inputs, op.real("alpha", 1.0))
    plain = replace(op, kind="Gemm", domain="")
    if isinstance(second, Quantised):
        plain, second = _without_alpha(plain, second)
        made = read.weighted(plain, [first, second, bias], None)
    else:
        made = read._known(plain, [first, second, bias])
    if optional(inputs, 7) is None:
        return made
    return read.give(op.outputs[0], made[0], result_format(inputs, 7, 8))


def _bias_of_qgemm(inputs: Values, alpha: float) -> Value | None:
    """What is added to the sums before alpha and the scales of the operands are multiplied with them."""
    bias, first, second = optional(inputs, 6), constant(inputs, 1, "a scale"), constant(inputs, 4, "a scale")
    if not isinstance(bias, Weight) or first is None or second is None:
        return bias
    units = np.asarray(np.float32(alpha) * first * second)
    if units.size > 1 and bias.array.size > 1 and bias.shape[-1] not in (1, units.size):
        raise InputError(f"a bias of shape {list(bias.shape)} for {units.size} columns")
    reals = bias.array.astype(np.float32) * (units.reshape(-1) if units.size > 1 else units.reshape(()))
    return Quantised(reals, bias.stored, bias.array)


def _without_alpha(op: Operator, weight: Quantised) -> tuple[Operator, Quantised]:
    """A factor of all sums as one of the weights' scales, which are positive; others stay."""
    alpha, kind = np.float32(op.real("alpha", 1.0)), weight.format
    if kind is None or alpha <= 0:
        return op, weight
    scaled = replace(kind, scale=tuple(float(s) for s in alpha * kind.scales))
    rest = {key: value for key, value in op.attributes.items() if key != "alpha"}
    return replace(op, attributes=rest), replace(weight, array=weight.array * alpha, format=scaled)


def _elementwise(kind: str) -> Special:
    def special(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
        pair: list[Value | None] = [operand(read, op, inputs, Sourced(k, k + 1, k + 2)) for k in (0, 3)]
        made = read._known(replace(op, kind=kind, domain=""), pair)
        like = _operand_type(read, op, inputs, 0)
        return read.give(op.outputs[0], made[0], result_format(inputs, 6, 7, like))

    return special


def _unary(kind: str) -> Special:
    def special(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
        source = operand(read, op, inputs, Sourced(0, 1, 2))
        if op.integer("channels_last", 0):
            raise NotReadable("channels last")
        plain = replace(op, kind=kind, domain="", opset=max(op.opset, op.integer("opset", 17)))
        if kind != "Softmax":
            plain = replace(plain, opset=max(read.versions.get("", 17), 7))
        made = read._known(plain, [source])
        like = _operand_type(read, op, inputs, 0)
        return read.give(op.outputs[0], made[0], result_format(inputs, 3, 4, like))

    return special


def qlinear_concat(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    sources: list[Value | None] = [
        operand(read, op, inputs, Sourced(k, k + 1, k + 2)) for k in range(2, len(inputs), 3)
    ]
    made = read._known(replace(op, kind="Concat", domain=""), sources)
    return read.give(op.outputs[0], made[0], result_format(inputs, 0, 1))


def qonnx_quant(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    """Rounds to integers of any width; its result stays in real numbers, of which only those remain."""
    bits = constant(inputs, 3, "a bit width")
    if bits is None or bits.size != 1 or float(bits.item()) != int(bits.item()):
        raise NotReadable("a bit width that is no whole number")
    if op.text("rounding_mode", "ROUND") not in ("ROUND", "ROUND_TO_EVEN", "HALF_EVEN"):
        raise NotReadable(f"rounding mode {op.text('rounding_mode', '')}")
    kind = IntegerType(int(bits.item()), bool(op.integer("signed", 1)), bool(op.integer("narrow", 0)))
    scale, zero = present(inputs, 1), present(inputs, 2)
    value = present(inputs, 0)
    if not isinstance(scale, Weight) or not isinstance(zero, Weight):
        raise NotReadable("a scale or zero point computed from the network's input")
    return _rounded(read, op, value, scale.array, zero.array, kind)


def bipolar_quant(read: _IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    """Minus or plus one scale, as two bits."""
    scale, value = present(inputs, 1), present(inputs, 0)
    if not isinstance(scale, Weight) or not isinstance(value, Weight):
        raise NotReadable("of an activation: a sign has no value at 0")
    signs = np.where(value.array >= 0, np.float32(1), np.float32(-1)) * scale.array
    return _rounded(read, op, Weight(signs), scale.array, np.zeros(1, np.float32), IntegerType(2, narrow=True))


def _rounded(
    read: _IntegerReading, op: Operator, value: Value, scale: Array, zero: Array, kind: IntegerType
) -> list[Value]:
    axes = [axis for axis, size in enumerate(scale.shape) if size > 1]
    if len(axes) > 1:
        raise NotReadable(f"scales of shape {list(scale.shape)}")
    if not np.array_equal(zero, np.rint(zero)):
        raise NotReadable("a zero point that is no whole number")
    flat = np.broadcast_to(zero, scale.shape).reshape(-1).astype(np.int64)
    scales = tuple(float(np.float32(s)) for s in scale.reshape(-1))
    whole = Format(kind, scales, tuple(int(z) for z in flat))
    rank = len(value.array.shape) if isinstance(value, Weight) else len(value.axes) if isinstance(value, View) else 0
    axis = axes[0] + rank - scale.ndim if axes else 0
    if isinstance(value, View):
        return _real_result(read, op, _per_channel(read, value, whole, axis), whole)
    assert isinstance(value, Weight)
    reals = _quotient(value.array, whole, axis) + _along(whole.zeros, whole, value.array, axis)
    integers = np.clip(np.rint(reals), kind.low, kind.high).astype(kind.dtype).reshape(value.shape)
    return [Quantised(_reals(integers, whole, axis), value.stored, integers, whole, axis)]


def _real_result(read: _IntegerReading, op: Operator, view: View, kind: Format) -> list[Value]:
    """A rounded activation whose readers take it for real numbers."""
    made = read.give(op.outputs[0], view, kind)
    del read.held[op.outputs[0]]
    return made


Special = Callable[[_IntegerReading, Operator, Values], list[Value]]

SPECIAL: Mapping[str, Special] = {
    "QuantizeLinear": quantise_linear, "DequantizeLinear": dequantise_linear, "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul, "ConvInteger": conv_integer, "MatMulInteger": matmul_integer, "QGemm": qgemm,
    "QLinearAdd": _elementwise("Add"), "QLinearMul": _elementwise("Mul"), "QLinearConcat": qlinear_concat,
    "QLinearAveragePool": _unary("AveragePool"), "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearSigmoid": _unary("Sigmoid"), "QLinearLeakyRelu": _unary("LeakyRelu"), "QLinearSoftmax": _unary("Softmax"),
    "QLinearReduceMean": _unary("ReduceMean"), "Quant": qonnx_quant, "IntQuant": qonnx_quant,
    "BipolarQuant": bipolar_quant,
}  # fmt: skip
