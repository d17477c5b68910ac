"""What ONNX operators on integers, and those that round, become: QOperator, QDQ and QONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from accelsim.arithmetic.encodings import Encoding, NumberType
from accelsim.arithmetic.formats import INT32, UINT8, Array, Format, IntegerType
from accelsim.arithmetic.minifloats import FloatType
from accelsim.arithmetic.readers.constants import Quantised, along, constant_of, format_of, quotient, reals_of
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
from accelsim.network.readers.onnx.builder import Value, Weight
from accelsim.network.readers.onnx.operator import NotReadable, Operator
from accelsim.network.readers.onnx.values import Values, optional, present
from accelsim.network.readers.onnx.view import View

if TYPE_CHECKING:
    from accelsim.arithmetic.readers.onnx import IntegerReading

Special = Callable[["IntegerReading", Operator, Values], list[Value]]


def _per_channel(read: IntegerReading, view: View, kind: Format, axis: int) -> View:
    """`view` with the axis of several scales as its channels."""
    if kind.channels == 1:
        return view
    axis = axis + len(view.axes) if axis < 0 else axis
    if not 0 <= axis < len(view.axes) or view.size(axis) != kind.channels:
        raise InputError(f"{kind.channels} scales on axis {axis} of shape {list(view.shape)}")
    return read.build.pixelwise(view, [axis])


def quantise_linear(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    kind, value = rounded_to(op, inputs), present(inputs, 0)
    if op.inputs[0] in read.held:
        raise NotReadable("of integers")
    if isinstance(value, Weight):
        numbers = encoding_of(op, inputs, value.shape, kind).nearest(value.array)
        return [Weight(unpacked(numbers, kind), stored=True)]
    assert isinstance(value, View)
    view, stored = placed(read.build, value, encoding_of(op, inputs, value.shape, kind))
    return read.give(op.outputs[0], view, stored)


def dequantise_linear(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    check_result(op, inputs)
    value = present(inputs, 0)
    if isinstance(value, Weight):
        return [_dequantised(op, inputs, value)]
    assert isinstance(value, View)
    kind = _held_type(read, op.inputs[0], value)
    view, stored = placed(read.build, value, encoding_of(op, inputs, value.shape, kind))
    return [read.take(op.inputs[0], view, stored)]


def converted_type(read: IntegerReading, op: Operator, inputs: Values) -> list[Value] | None:
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


def _input_type(read: IntegerReading, name: str) -> NumberType:
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


def operand(read: IntegerReading, op: Operator, inputs: Values, at: Sourced, axis: int = 0) -> Value:
    """An integer operand as the real value it stands for: an activation, or a constant."""
    scale = np.ones(1, np.float32) if at.scale < 0 else constant(inputs, at.scale, "a scale")
    zero = constant(inputs, at.zero, "a zero point")
    value = present(inputs, at.value)
    if isinstance(value, Weight):
        return constant_of(value, scale, zero, axis)
    name = op.inputs[at.value]
    assert isinstance(value, View)
    return read.take(name, value, format_of(scale, zero, _held_type(read, name, value)))


def _held_type(read: IntegerReading, name: str, value: View) -> NumberType:
    known = read.held.get(name)
    return known.type if known is not None else _input_type(read, value.node)


def result_format(inputs: Values, scale: int, zero: int, like: NumberType | None = None) -> Format:
    """The format of a result, which is `like` its operand where a zero point does not say its type."""
    own = constant(inputs, zero, "a zero point")
    return format_of(constant(inputs, scale, "a scale"), own, like if own is None else None)


def _operand_type(read: IntegerReading, op: Operator, inputs: Values, position: int) -> NumberType:
    value = present(inputs, position)
    if isinstance(value, Weight):
        return type_of(value.array, "constants of type")
    assert isinstance(value, View)
    return _held_type(read, op.inputs[position], value)


def qlinear_conv(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    source, weight = operand(read, op, inputs, Sourced(0, 1, 2)), operand(read, op, inputs, Sourced(3, 4, 5))
    kind = result_format(inputs, 6, 7)
    made = read.weighted(replace(op, kind="Conv", domain=""), [source, weight, optional(inputs, 8)], kind)
    return read.give(op.outputs[0], made[0], kind)


def qlinear_matmul(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    second = present(inputs, 3)
    axis = len(second.array.shape) - 1 if isinstance(second, Weight) else 0
    pair = [operand(read, op, inputs, Sourced(0, 1, 2)), operand(read, op, inputs, Sourced(3, 4, 5), axis)]
    return _product(read, op, pair, result_format(inputs, 6, 7))


def _product(read: IntegerReading, op: Operator, pair: list[Value], kind: Format) -> list[Value]:
    plain = replace(op, kind="MatMul", domain="")
    both = read.weighted(plain, pair, kind) if isinstance(pair[1], Quantised) else read._known(plain, pair)
    return read.give(op.outputs[0], both[0], kind)


def conv_integer(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    pair = [operand(read, op, inputs, Sourced(0, -1, 2)), operand(read, op, inputs, Sourced(1, -1, 3))]
    kind = Format(INT32)
    made = read.weighted(replace(op, kind="Conv", domain=""), pair, kind)
    return read.give(op.outputs[0], made[0], kind)


def matmul_integer(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    second = present(inputs, 1)
    axis = len(second.array.shape) - 1 if isinstance(second, Weight) else 0
    pair = [operand(read, op, inputs, Sourced(0, -1, 2)), operand(read, op, inputs, Sourced(1, -1, 3), axis)]
    return _product(read, op, pair, Format(INT32))


def qgemm(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
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
    def special(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
        pair: list[Value | None] = [operand(read, op, inputs, Sourced(k, k + 1, k + 2)) for k in (0, 3)]
        made = read._known(replace(op, kind=kind, domain=""), pair)
        like = _operand_type(read, op, inputs, 0)
        return read.give(op.outputs[0], made[0], result_format(inputs, 6, 7, like))

    return special


def _unary(kind: str) -> Special:
    def special(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
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


def qlinear_concat(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    sources: list[Value | None] = [
        operand(read, op, inputs, Sourced(k, k + 1, k + 2)) for k in range(2, len(inputs), 3)
    ]
    made = read._known(replace(op, kind="Concat", domain=""), sources)
    return read.give(op.outputs[0], made[0], result_format(inputs, 0, 1))


def qonnx_quant(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
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


def bipolar_quant(read: IntegerReading, op: Operator, inputs: Values) -> list[Value]:
    """Minus or plus one scale, as two bits."""
    scale, value = present(inputs, 1), present(inputs, 0)
    if not isinstance(scale, Weight) or not isinstance(value, Weight):
        raise NotReadable("of an activation: a sign has no value at 0")
    signs = np.where(value.array >= 0, np.float32(1), np.float32(-1)) * scale.array
    return _rounded(read, op, Weight(signs), scale.array, np.zeros(1, np.float32), IntegerType(2, narrow=True))


def _rounded(
    read: IntegerReading, op: Operator, value: Value, scale: Array, zero: Array, kind: IntegerType
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
    reals = quotient(value.array, whole, axis) + along(whole.zeros, whole, value.array, axis)
    integers = np.clip(np.rint(reals), kind.low, kind.high).astype(kind.dtype).reshape(value.shape)
    return [Quantised(reals_of(integers, whole, axis), value.stored, integers, whole, axis)]


def _real_result(read: IntegerReading, op: Operator, view: View, kind: Format) -> list[Value]:
    """A rounded activation whose readers take it for real numbers."""
    made = read.give(op.outputs[0], view, kind)
    del read.held[op.outputs[0]]
    return made


SPECIAL: Mapping[str, Special] = {
    "QuantizeLinear": quantise_linear, "DequantizeLinear": dequantise_linear, "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul, "ConvInteger": conv_integer, "MatMulInteger": matmul_integer, "QGemm": qgemm,
    "QLinearAdd": _elementwise("Add"), "QLinearMul": _elementwise("Mul"), "QLinearConcat": qlinear_concat,
    "QLinearAveragePool": _unary("AveragePool"), "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearSigmoid": _unary("Sigmoid"), "QLinearLeakyRelu": _unary("LeakyRelu"), "QLinearSoftmax": _unary("Softmax"),
    "QLinearReduceMean": _unary("ReduceMean"), "Quant": qonnx_quant, "IntQuant": qonnx_quant,
    "BipolarQuant": bipolar_quant,
}  # fmt: skip
