"""Scales and zero points as ONNX files state them, and the formats and encodings that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from onnx import helper

from accelsim.arithmetic.encodings import Encoding, NumberType, Stored
from accelsim.arithmetic.formats import UINT8, Array, Format, IntegerType
from accelsim.arithmetic.minifloats import FloatType
from accelsim.errors import InputError
from accelsim.network.readers.onnx.builder import Builder, Weight
from accelsim.network.readers.onnx.operator import NotReadable, Operator
from accelsim.network.readers.onnx.values import Values, optional
from accelsim.network.readers.onnx.view import View
from accelsim.units import ceil_div

#: Number types by their number in the file format and the name of the array type in which they are unpacked. Codes of
#: a file may be any, infinities among them.
KINDS: tuple[tuple[int, str, NumberType], ...] = (
    (2, "uint8", IntegerType(8, signed=False)),
    (3, "int8", IntegerType(8)),
    (4, "uint16", IntegerType(16, signed=False)),
    (5, "int16", IntegerType(16)),
    (6, "int32", IntegerType(32)),
    (17, "float8_e4m3fn", FloatType(4, 3, 7, "nan", saturates=False)),
    (18, "float8_e4m3fnuz", FloatType(4, 3, 8, "negative_zero", saturates=False)),
    (19, "float8_e5m2", FloatType(5, 2, 15, "infinities", saturates=False)),
    (20, "float8_e5m2fnuz", FloatType(5, 2, 16, "negative_zero", saturates=False)),
    (21, "uint4", IntegerType(4, signed=False)),
    (22, "int4", IntegerType(4)),
    (23, "float4_e2m1fn", FloatType(2, 1, 1)),
    (25, "uint2", IntegerType(2, signed=False)),
    (26, "int2", IntegerType(2)),
    (27, "float6_e2m3fn", FloatType(2, 3, 1)),
    (28, "float6_e3m2fn", FloatType(3, 2, 3)),
)
NUMBERED = {number: kind for number, _, kind in KINDS}
TYPES = {name: kind for _, name, kind in KINDS}
#: Real numbers that results may be declared as; they are computed in single precision.
FLOAT, REALS = 1, (1, 10, 16)
#: The array type of scales that are powers of two, and no type of results.
POWERS = "float8_e8m0fnu"


def constant(inputs: Values, position: int, what: str) -> Array | None:
    """A constant scale or zero point; None where it is left out."""
    value = optional(inputs, position)
    if value is None:
        return None
    if not isinstance(value, Weight):
        raise NotReadable(f"{what} computed from the network's input")
    return value.array


def type_of(array: Array, what: str) -> NumberType:
    if array.dtype.name not in TYPES:
        raise NotReadable(f"{what} {array.dtype}")
    return TYPES[array.dtype.name]


def rounded_to(op: Operator, inputs: Values) -> NumberType:
    """What a QuantizeLinear rounds to, from its attributes and its zero point."""
    zero, number = constant(inputs, 2, "a zero point"), op.integer("output_dtype", 0)
    if op.integer("precision", 0) not in (0, FLOAT):
        raise NotReadable(f"division in element type {op.integer('precision', 0)}")
    if number and number not in NUMBERED:
        raise NotReadable(f"rounding to element type {number}")
    if number:
        return saturating(op, NUMBERED[number])
    return UINT8 if zero is None else saturating(op, type_of(zero, "rounding to"))


def saturating(op: Operator, kind: NumberType) -> NumberType:
    """The type that an operator rounds to, as its attribute says what becomes of numbers beyond the largest."""
    saturate = op.integer("saturate", 1)
    if saturate not in (0, 1):
        raise InputError(f"saturate = {saturate} is not 0 or 1")
    return replace(kind, saturates=bool(saturate)) if isinstance(kind, FloatType) else kind


def check_result(op: Operator, inputs: Values) -> None:
    """Raises where the result of a DequantizeLinear, of its scale's type unless it says another, is no real number."""
    scale, number = constant(inputs, 1, "a scale"), op.integer("output_dtype", 0)
    if number and number not in REALS:
        raise NotReadable(f"giving element type {number}")
    if not number and scale is not None and scale.dtype.name == POWERS:
        raise InputError(f"scales of type {scale.dtype} without output_dtype, which says what they give")


def encoding_of(op: Operator, inputs: Values, shape: Sequence[int], kind: NumberType) -> Encoding:
    """What QuantizeLinear or DequantizeLinear say of a tensor of `shape`: scales on as many axes, of size 1 or its own.

    Raises `InputError` where they do not fit the tensor or the type.
    """
    scale, zero = constant(inputs, 1, "a scale"), constant(inputs, 2, "a zero point")
    if scale is None or not scale.size:
        raise InputError("a scale is missing")
    zero = np.zeros(scale.shape, np.int64) if zero is None else _whole(zero, kind)
    if zero.size != scale.size and 1 not in (zero.size, scale.size):
        raise InputError(f"{scale.size} scales with {zero.size} zero points")
    with np.errstate(over="ignore"):
        single = scale.astype(np.float32)
    return _distinct(kind, _along(op, single, shape, "scales"), _along(op, zero, shape, "zero points"))


def _whole(zero: Array, kind: NumberType) -> Array:
    if type_of(zero, "a zero point of type").label != kind.label:
        raise InputError(f"a zero point of type {zero.dtype} for {kind.label}")
    if isinstance(kind, FloatType) and zero.astype(np.float32).any():
        raise NotReadable(f"a zero point of {kind.label} other than 0")
    return zero.astype(np.int64)


def _along(op: Operator, values: Array, shape: Sequence[int], what: str) -> Array:
    """`values` with the axes of the tensor, those of blocks repeated."""
    axis, block, rank = op.integer("axis", 1), op.integer("block_size", 0), len(shape)
    place = f"axis {axis} of shape {list(shape)}"
    if block < 0 or (block and not -rank <= axis < rank):
        raise InputError(f"block_size = {block} on {place}")
    if block:
        wanted = list(shape)
        wanted[axis] = ceil_div(shape[axis], block)
        if list(values.shape) != wanted:
            raise InputError(f"{what} of shape {list(values.shape)} for blocks of {block} on {place}, not {wanted}")
        return values.take(np.arange(shape[axis]) // block, axis)
    if values.size == 1:
        return values.reshape((1,) * rank)
    # Of a tensor with one axis there is nothing to choose.
    axis = 0 if rank == 1 else axis
    if not -rank <= axis < rank or values.size != shape[axis] or values.size not in values.shape:
        raise InputError(f"{values.size} {what} on {place}")
    sizes = [1] * rank
    sizes[axis] = -1
    return values.reshape(sizes)


def _distinct(kind: NumberType, scale: Array, zero: Array) -> Encoding:
    """An encoding with one of the scales along axes on which they are all the same."""
    scale, zero = np.broadcast_arrays(scale, zero)
    for axis in range(scale.ndim):
        first = [values.take([0], axis) for values in (scale, zero)]
        if (scale == first[0]).all() and (zero == first[1]).all():
            scale, zero = first
    return Encoding(kind, scale, zero)


def several(encoding: Encoding) -> tuple[int, ...]:
    """Axes along which scales differ."""
    return tuple(axis for axis, size in enumerate(encoding.scales.shape) if size > 1)


def in_a_row(encoding: Encoding) -> Stored:
    """The same of a tensor whose channels are the one axis along which scales differ."""
    scales, zeros = encoding.scales.reshape(-1), encoding.zeros.reshape(-1)
    if isinstance(encoding.type, IntegerType):
        return Format(encoding.type, tuple(scales.tolist()), tuple(zeros.tolist()))
    shape = (encoding.channels,) if encoding.channels > 1 else ()
    return Encoding(encoding.type, scales.reshape(shape), zeros.reshape(shape))


def placed(build: Builder, view: View, encoding: Encoding) -> tuple[View, Stored]:
    """The encoding of a file's tensor as that of the layer behind it, which is arranged where it must be."""
    axes = several(encoding)
    if len(axes) <= 1:
        return (build.pixelwise(view, axes) if axes else view), in_a_row(encoding)
    tensor = build.tensors[view.node]
    sizes = (*tensor.spatial, tensor.channels)
    laid = (_laid_out(view, values).reshape(sizes) for values in (encoding.scales, encoding.zeros))
    made = _distinct(encoding.type, *laid)
    shape = made.scales.shape[several(made)[0] :]
    if len(shape) == 1:
        return view, in_a_row(made)
    return view, Encoding(made.type, made.scales.reshape(shape), made.zeros.reshape(shape))


def _laid_out(view: View, values: Array) -> Array:
    """Values of a file's tensor in the order in which the layer behind it has them."""
    order = view.factors_of(range(len(view.axes)))
    split = np.broadcast_to(values, view.shape).reshape([view.factors[factor] for factor in order])
    return split.transpose(np.argsort(order))


def unpacked(numbers: Array, kind: NumberType) -> Array:
    """Numbers of a type as the file's own are unpacked."""
    number = next(number for number, _, own in KINDS if own.label == kind.label)
    return numbers.astype(helper.tensor_dtype_to_np_dtype(number))
