"""Activations as tables, and operations on several tensors element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from accelsim.arithmetic import floating
from accelsim.arithmetic.formats import WIDEST_TENSOR_BITS, Array, Format
from accelsim.arithmetic.kernels import pointwise as kernels
from accelsim.arithmetic.moving import combined_operands
from accelsim.arithmetic.operations.hard_swish import hard_swish_table
from accelsim.arithmetic.operations.place import Operation, Place, as_real, output_of
from accelsim.arithmetic.operations.processor import fuses
from accelsim.arithmetic.rational import applied_as_the_runtime
from accelsim.arithmetic.requantise import fixed_point
from accelsim.errors import InputError
from accelsim.network.layers import Activation, Combine, Layer

#: Two flat operands, whether the first is one number a channel, and where the result goes.
Pairwise = Callable[[Array, Array, bool, Array], None]

#: Bits to spare while operands of an addition are brought to one unit, by the width of the widest.
ADDITION_BITS = {8: 20, 16: 15}


def table(activation: Activation, source: Format, output: Format, rounding: str = "even") -> Array:
    """The output of an activation for every integer of the input, from the lowest.

    Raises `InputError` where the function has no value at one of them.
    """
    integers = np.arange(source.type.low, source.type.high + 1)
    apply = applied_as_the_runtime if rounding == "even" else floating.applied
    reals = apply(activation, as_real(integers, source))
    try:
        return output.nearest(reals, rounding)
    except InputError:
        at = integers[np.isnan(reals)][0]
        raise InputError(f"{activation.function} has no value at {at} ({source.label})") from None


def _fixed_table(own: Activation, source: Format, output: Format) -> Array | None:
    """The table of a function whose slopes, or all of it, have a form in fixed point; None for others."""
    if own.function == "hard_swish" and source.type.bits == output.type.bits == 8:
        return hard_swish_table(source, output)
    slope = source.scale[0] / output.scale[0]
    if own.function == "leaky_relu":
        below = own.parameters[0] * slope
        limits = (output.type.low, output.type.high)
    elif own.function in ("relu", "relu6", "clip"):
        below = slope
        ends = {"relu": (0.0, np.inf), "relu6": (0.0, 6.0)}.get(own.function, own.parameters)
        clamped = output.nearest(np.array(ends, np.float32), "away")
        limits = (int(clamped[0]), int(clamped[1]))
    else:
        return None
    if below < 0:
        return None
    integers = np.arange(source.type.low, source.type.high + 1, dtype=np.int64) - source.zero_point[0]
    parts = [
        fixed_point(np.array([real])).apply(
            part.astype(np.int32)[:, None], output.zero_point[0], *limits, np.dtype(np.int64)
        )
        for real, part in ((below, integers[integers < 0]), (slope, integers[integers >= 0]))
    ]
    return np.concatenate(parts)[:, 0].astype(output.type.dtype)


def activation(place: Place) -> Operation | None:
    source, output = place.sources[0], place.output
    if not place.in_integers or source is None or output is None or source.type.bits > WIDEST_TENSOR_BITS:
        return None if place.fixed else _real_activation(place)
    assert isinstance(place.layer, Activation)
    try:
        values = _fixed_table(place.layer, source, output) if place.fixed else None
        values = table(place.layer, source, output, place.rounding) if values is None else values
    except InputError as error:
        raise InputError(f"{place.name}: {error}") from None
    lowest = source.type.low
    if source == output and np.array_equal(values, np.arange(lowest, source.type.high + 1)):
        return lambda layer, operands: operands[0]

    def look_up(layer: Layer, operands: Sequence[Array]) -> Array:
        flat = np.ascontiguousarray(operands[0]).reshape(-1)
        out = np.empty(flat.shape, output.type.dtype)
        kernels.looked_up(flat, lowest, values, out)
        return out.reshape(operands[0].shape)

    return look_up


def _real_activation(place: Place) -> Operation:
    def apply(layer: Layer, operands: Sequence[Array]) -> Array:
        assert isinstance(layer, Activation)
        return place.written(applied_as_the_runtime(layer, place.reals(operands)[0]))

    return apply


def combination(place: Place) -> Operation | None:
    assert isinstance(place.layer, Combine)
    kernel = (BY_FIXED if place.fixed else BY_FLOAT).get(place.layer.operation)
    if not place.in_integers or len(place.sources) != 2 or kernel is None:
        return None
    if not place.fixed and not _combined_as_bytes(place):
        return None
    run, output = kernel(place), place.output
    assert output is not None

    def combine(layer: Layer, operands: Sequence[Array]) -> Array:
        assert isinstance(layer, Combine)
        shape, repeated = operands[0].shape, False
        if layer.repeat or operands[1].shape != shape:
            tensor = output_of(layer, operands)
            shape = (*tensor.spatial, tensor.channels)
            operands = combined_operands(layer, operands, tensor)
            repeated = _is_repeated(operands[0], shape)
            operands = [np.broadcast_to(x, shape) for x in operands]
        first, second = (np.ascontiguousarray(x).reshape(-1) for x in operands)
        out = np.empty(first.shape, output.type.dtype)
        run(first, second, repeated, out)
        return out.reshape(shape)

    return combine


def _combined_as_bytes(place: Place) -> bool:
    """Whether ONNX Runtime combines such integers as they are; others it takes for the real numbers they stand for."""
    assert isinstance(place.layer, Combine)
    types = {kind.type for kind in (*place.sources, place.output) if kind is not None}
    one = len(types) == 1 or place.layer.operation == "multiply"
    return one and all(kind.bits <= 8 for kind in types)


def _is_repeated(operand: Array, shape: tuple[int, ...]) -> bool:
    """Whether an operand is one number over the innermost run of a channels-first map that it is broadcast to."""
    wider = [axis for axis, (own, full) in enumerate(zip(operand.shape, shape, strict=True)) if own != full]
    return bool(wider) and len(shape) - 1 not in wider


def _parameters(place: Place) -> tuple[list[Format], Format]:
    sources, output = [f for f in place.sources if f is not None], place.output
    assert output is not None
    return sources, output


def _add_by_float(place: Place) -> Pairwise:
    (first, second), output = _parameters(place)
    one, other = first.scales[0] / output.scales[0], second.scales[0] / output.scales[0]
    # The zero points are folded into one constant, a product at a time, fused as a compiler fuses them.
    inner = np.float32(other * np.float32(second.zero_point[0]))
    folded = np.float32(np.float64(one) * first.zero_point[0] + np.float64(inner))
    fixed = np.float32(output.zero_point[0]) - folded
    low, high = output.type.low, output.type.high
    add = kernels.add_fused if fuses() else kernels.add_by_float
    return lambda a, b, first_repeated, out: add(a, b, one, other, fixed, not first_repeated, low, high, out)


def _multiply_by_float(place: Place) -> Pairwise:
    (first, second), output = _parameters(place)
    ratio = first.scales[0] * second.scales[0] / output.scales[0]
    zeros = first.zero_point[0], second.zero_point[0]
    low, high = output.type.low, output.type.high
    return lambda a, b, _, out: kernels.multiply_by_float(a, b, *zeros, ratio, output.zero_point[0], low, high, out)


def _add_by_fixed(place: Place) -> Pairwise:
    (first, second), output = _parameters(place)
    assert isinstance(place.layer, Combine)
    sign = 1 if place.layer.operation == "add" else -1
    left = ADDITION_BITS[8 if max(first.type.bits, second.type.bits) <= 8 else 16]
    twice = 2 * max(first.scale[0], second.scale[0])
    made = fixed_point(
        np.array([first.scale[0] / twice, second.scale[0] / twice, twice / (2.0**left * output.scale[0])])
    )
    zeros = np.array([first.zero_point[0], second.zero_point[0]], np.int64)
    low, high = output.type.low, output.type.high
    return lambda a, b, _, out: kernels.add_by_fixed(
        a, b, zeros, made.significand, made.shift, left, sign, output.zero_point[0], low, high, out
    )


def _multiply_by_fixed(place: Place) -> Pairwise:
    (first, second), output = _parameters(place)
    made = fixed_point(np.array([first.scale[0] * second.scale[0] / output.scale[0]]))
    zeros = np.array([first.zero_point[0], second.zero_point[0]], np.int64)
    low, high = output.type.low, output.type.high
    return lambda a, b, _, out: kernels.multiply_by_fixed(
        a, b, zeros, int(made.significand[0]), int(made.shift[0]), output.zero_point[0], low, high, out
    )


BY_FLOAT: dict[str, Callable[[Place], Pairwise]] = {"add": _add_by_float, "multiply": _multiply_by_float}
BY_FIXED: dict[str, Callable[[Place], Pairwise]] = {
    "add": _add_by_fixed,
    "subtract": _add_by_fixed,
    "multiply": _multiply_by_fixed,
}
