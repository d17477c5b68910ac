"""Operators that work element by element: activations, arithmetic with broadcasting, selection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from accelsim.errors import InputError
from accelsim.network.layers import Activation, Layer, PRelu
from accelsim.network.readers.onnx.builder import Builder, Value, Weight
from accelsim.network.readers.onnx.folding import clip_bounds, reshaped
from accelsim.network.readers.onnx.joining import combine
from accelsim.network.readers.onnx.operator import NotReadable, Operator
from accelsim.network.readers.onnx.tensors import Array
from accelsim.network.readers.onnx.values import Values, activation, constants, operand, present, weight_of
from accelsim.network.readers.onnx.view import View

#: Function of each operator, with its attributes in the function's order and their defaults.
FUNCTIONS: dict[str, tuple[str, tuple[tuple[str, float], ...]]] = {
    "Abs": ("abs", ()), "Ceil": ("ceil", ()), "Cos": ("cos", ()), "Elu": ("elu", (("alpha", 1.0),)),
    "Erf": ("erf", ()), "Exp": ("exp", ()), "Floor": ("floor", ()),
    "HardSigmoid": ("hard_sigmoid", (("alpha", 0.2), ("beta", 0.5))), "HardSwish": ("hard_swish", ()),
    "LeakyRelu": ("leaky_relu", (("alpha", 0.01),)), "Log": ("log", ()), "Mish": ("mish", ()), "Neg": ("neg", ()),
    "Reciprocal": ("reciprocal", ()), "Relu": ("relu", ()), "Round": ("round", ()),
    "Selu": ("selu", (("alpha", 1.67326319217681884765625), ("gamma", 1.05070102214813232421875))),
    "Sigmoid": ("sigmoid", ()), "Sign": ("sign", ()), "Sin": ("sin", ()), "Softplus": ("softplus", ()),
    "Softsign": ("softsign", ()), "Sqrt": ("sqrt", ()), "Tanh": ("tanh", ()),
    "ThresholdedRelu": ("threshold", (("alpha", 1.0),)),
}  # fmt: skip
ARITHMETIC = {
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide", "Pow": "power",
    "Max": "maximum", "Min": "minimum", "Sum": "add", "Mean": "mean",
}  # fmt: skip


def unary(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    function, parameters = FUNCTIONS[op.kind]
    layer = Activation(function, tuple(op.real(name, default) for name, default in parameters))
    return [applied(build, layer, activation(inputs, 0))]


def applied(build: Builder, layer: Layer, source: View, suffix: str = "") -> View:
    """A layer that keeps its input's shape and layout."""
    return replace(source, node=build.add(layer, (source.node,), None, suffix))


def gelu(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    approximate = op.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise InputError(f"approximate = '{approximate}' is not none or tanh")
    function = "gelu" if approximate == "none" else "gelu_tanh"
    return [applied(build, Activation(function), activation(inputs, 0))]


def swish(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    if op.real("alpha", 1.0) != 1.0:
        raise NotReadable(f"alpha = {op.real('alpha', 1.0)} other than 1")
    return [applied(build, Activation("silu"), activation(inputs, 0))]


def celu(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    """Alpha * elu(x / alpha), which is elu itself where alpha is 1."""
    alpha = op.real("alpha", 1.0)
    source = activation(inputs, 0)
    if alpha == 1.0:
        return [applied(build, Activation("elu", (1.0,)), source)]
    factor = Weight(np.array(alpha, np.float32))
    with build.inner("scaled"):
        inner = combine(build, "divide", [source, factor])
    curve = applied(build, Activation("elu", (1.0,)), inner, "elu")
    return [combine(build, "multiply", [curve, factor])]


def clip(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    for position in (1, 2):
        if position < len(inputs) and inputs[position] is not None:
            weight_of(inputs, position, "a bound")
    low, high = clip_bounds(op, constants(inputs))
    if np.isnan(low) or np.isnan(high):
        raise InputError(f"bounds {low} and {high} must be numbers")
    source = activation(inputs, 0)
    if low == -np.inf and high == np.inf:
        return [source]
    return [applied(build, Activation("clip", (low, high)), source)]


def arithmetic(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    operands = _as_before_spreading(build, [operand(inputs, position) for position in range(len(inputs))])
    if len(operands) == 1:
        return [operands[0]]
    return [combine(build, ARITHMETIC[op.kind], operands)]


def _as_before_spreading(build: Builder, operands: list[View | Weight]) -> list[View | Weight]:
    """`operands` with those that were only spread to be broadcast put back, as far as the result's shape allows."""
    for position, value in enumerate(operands):
        small = build.spread.get(value) if isinstance(value, View) else None
        if small is not None:
            others = [other.shape for k, other in enumerate(operands) if k != position]
            if np.broadcast_shapes(*others, small.shape) == np.broadcast_shapes(*others, value.shape):
                operands[position] = small
    return operands


def prelu(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    """One slope for all, or one a channel; other slopes are written out as max(x, 0) + slope * min(x, 0)."""
    source, weight = activation(inputs, 0), operand(inputs, 1)
    if isinstance(weight, View):
        return [_written_out(build, source, weight)]
    slope = weight.array
    if slope.size == 1:
        return [applied_with(build, PRelu(shared=True), source, {"slope": reshaped(slope, (1,))})]
    shape = (1,) * (len(source.shape) - slope.ndim) + weight.shape
    axis = 1 if len(shape) > 1 else 0
    if len(shape) != len(source.shape) or slope.size != source.size(axis) or shape[axis] != slope.size:
        return [_written_out(build, source, weight)]
    source = build.pixelwise(source, [axis])
    return [applied_with(build, PRelu(), source, {"slope": reshaped(slope, (slope.size,))})]


def _written_out(build: Builder, source: View, slope: View | Weight) -> View:
    above = applied(build, Activation("relu"), source, "above")
    below = applied(build, Activation("clip", (-np.inf, 0.0)), source, "below")
    with build.inner("slope"):
        sloped = combine(build, "multiply", [below, slope])
    return combine(build, "add", [above, sloped])


def applied_with(build: Builder, layer: Layer, source: View, arrays: dict[str, Array]) -> View:
    """The same, for a layer with weights."""
    return replace(source, node=build.add(layer, (source.node,), arrays))


def where(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    """A constant choice: x where the mask holds, else y.

    A mask that fills with a number no activation falls below is a minimum; any other is written out as
    x * mask + y * (1 - mask).
    """
    mask = weight_of(inputs, 0, "the condition").array.astype(bool)
    kept, other = present(inputs, 1), present(inputs, 2)
    if isinstance(kept, Weight):
        mask, kept, other = ~mask, other, kept
    assert isinstance(kept, View)
    if isinstance(other, Weight) and other.array.size == 1 and float(other.array.reshape(-1)[0]) <= -1e30:
        ceiling = np.where(mask, np.float32(np.inf), other.array.astype(np.float32))
        return [combine(build, "minimum", [kept, Weight(ceiling)])]
    assert isinstance(other, View | Weight)
    with build.inner("kept"):
        chosen = combine(build, "multiply", [kept, _as_mask(mask)])
    if isinstance(other, Weight):
        filling = np.where(mask, np.float32(0), other.array.astype(np.float32))
        return [combine(build, "add", [chosen, Weight(filling)])]
    with build.inner("other"):
        filled = combine(build, "multiply", [other, _as_mask(~mask)])
    return [combine(build, "add", [chosen, filled])]


def _as_mask(mask: Array) -> Weight:
    return Weight(mask.astype(np.float32))
