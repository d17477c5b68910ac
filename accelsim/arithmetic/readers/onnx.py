"""ONNX files in integers: QOperator, QDQ and QONNX, read by the reader of real networks with roundings in it.

What is stored in integers is read as such, what is rounded on the way becomes a layer of its own, and operators
between them are read as ever; `assembly` then turns roundings into formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from accelsim.arithmetic.encodings import Stored, same_scales
from accelsim.arithmetic.formats import INT32, Array, Format, IntegerType
from accelsim.arithmetic.network import IntegerNetwork
from accelsim.arithmetic.readers.assembly import ROUNDING, assembled
from accelsim.arithmetic.readers.constants import Quantised
from accelsim.arithmetic.readers.onnx_operators import SPECIAL, converted_type
from accelsim.arithmetic.readers.scales import NUMBERED, TYPES, unpacked
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


def read_integer_onnx(path: Path, input_shape: Any = None) -> IntegerNetwork:
    """An integer network of an ONNX file. Raises as `read_onnx` does, and for scales or zero points that are none."""
    path = Path(path)
    model = load_model(path)
    made = IntegerReading(path, model).integer_network(input_shape)
    if not _quantised(model):
        hint = "load_network reads it, quantise makes it so"
        raise InputError(f"{path}: nothing in this network is quantised; {hint}")
    return made


def read_graph(path: Path, input_shape: Any = None) -> Network:
    """The graph of an ONNX file, quantised or not; that of a quantised one has no weights."""
    model = load_model(path)
    if not _quantised(model):
        return read_model(path, model, input_shape)
    return without_weights(IntegerReading(path, model).integer_network(input_shape).network)


def _quantised(model: ModelProto) -> bool:
    return not SPECIAL.keys().isdisjoint(node.op_type for node in model.graph.node)


@dataclass
class IntegerReading(_Reading):
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
