"""Every kind of layer in single precision, on arrays of shape (*spatial, channels).

Calibration runs whole networks this way; integer networks use it where a file leaves a layer in real numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce, singledispatch
from itertools import product
from math import erf

import numpy as np

from accelsim.arithmetic.formats import Array
from accelsim.arithmetic.moving import combined_operands, moved, tiles_of
from accelsim.errors import NotModelled
from accelsim.network import layers as kinds
from accelsim.network.tensor import Tensor
from accelsim.network.window import CENTRES

Arrays = Mapping[str, Array]


@singledispatch
def compute(layer: kinds.Layer, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    """The output of a layer in single precision. Raises `NotModelled` for a kind that has no arithmetic here."""
    made = moved(layer, operands, output, np.float32(getattr(layer, "value", 0.0)))
    if made is None:
        raise NotModelled(f"{kinds.KIND_NAMES[type(layer)]} layers are not executed")
    return made


@compute.register
def _(layer: kinds.Constant, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    return np.asarray(arrays["value"], np.float32).reshape(*output.spatial, output.channels)


@compute.register
def _(layer: kinds.Convolution, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    source = operands[0]
    ins, outs = source.shape[-1] // layer.groups, layer.channels // layer.groups
    padded = np.pad(source, (*layer.padding, (0, 0)))
    # (taps, groups, inputs, outputs): a matrix a group for every tap.
    matrices = np.moveaxis(arrays["weight"].reshape(layer.groups, outs, ins, -1), 3, 0).swapaxes(2, 3)
    sums = np.zeros((*output.spatial, layer.groups, outs), np.float32)
    for matrix, taps in zip(matrices, product(*(range(k) for k in layer.kernel)), strict=True):
        axes = zip(taps, layer.dilation, layer.stride, output.spatial, strict=True)
        here = tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, s, o in axes)
        part = padded[here].reshape(-1, layer.groups, ins).swapaxes(0, 1)
        sums += np.matmul(part, matrix).swapaxes(0, 1).reshape(sums.shape)
    return sums.reshape(*output.spatial, output.channels) + arrays.get("bias", np.float32(0))


@compute.register
def _(layer: kinds.TransposedConvolution, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    source = operands[0]
    ins, outs = source.shape[-1] // layer.groups, layer.channels // layer.groups
    axes = tuple(zip(source.shape, layer.kernel, layer.stride, layer.dilation, strict=False))
    full = tuple((n - 1) * s + d * (k - 1) + 1 for n, k, s, d in axes)
    reach = tuple(max(f, p[0] + o) for f, p, o in zip(full, layer.padding, output.spatial, strict=True))
    sums = np.zeros((*reach, layer.groups, outs), np.float32)
    matrices = np.moveaxis(arrays["weight"].reshape(layer.groups, ins, outs, -1), 3, 0)
    grouped = source.reshape(-1, layer.groups, ins).swapaxes(0, 1)
    for matrix, taps in zip(matrices, product(*(range(k) for k in layer.kernel)), strict=True):
        there = tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, (n, _, s, d) in zip(taps, axes, strict=True))
        sums[there] += np.matmul(grouped, matrix).swapaxes(0, 1).reshape(*source.shape[:-1], layer.groups, outs)
    crop = tuple(slice(p[0], p[0] + o) for p, o in zip(layer.padding, output.spatial, strict=True))
    return sums[crop].reshape(*output.spatial, output.channels) + arrays.get("bias", np.float32(0))


@compute.register
def _(layer: kinds.Dense, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    return operands[0] @ arrays["weight"].T + arrays.get("bias", np.float32(0))


@compute.register
def _(layer: kinds.Product, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    first, second = operands
    heads = zip(np.split(first, layer.groups, axis=-1), np.split(second, layer.groups, axis=-1), strict=True)
    return np.concatenate([a @ (b.swapaxes(-1, -2) if layer.transposed else b) for a, b in heads], axis=-1)


@compute.register
def _(layer: kinds.Pool, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    source = operands[0]
    maximum = layer.operation == "maximum"
    result = np.full((*output.spatial, output.channels), -np.inf if maximum else 0, np.float32)
    for taps in product(*(range(k) for k in layer.kernel)):
        here, there = _overlap(layer, taps, source.shape[:-1], output.spatial)
        part = source[here]
        if maximum:
            result[there] = np.maximum(result[there], part)
        else:
            result[there] += part if layer.operation == "average" else part * part
    if layer.operation == "average":
        with np.errstate(invalid="ignore"):
            return result / window_counts(layer, source.shape[:-1], output.spatial)[..., None].astype(np.float32)
    return result if maximum else np.sqrt(result)


def _overlap(
    layer: kinds.Pool, taps: Sequence[int], size: Sequence[int], outputs: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a tap reads the map, and the outputs it does so for."""
    here, there = [], []
    axes = zip(taps, layer.dilation, layer.stride, layer.padding, size, outputs, strict=True)
    for tap, dilation, stride, (before, _), n, count in axes:
        start = tap * dilation - before
        first = max(0, -(start // stride)) if start < 0 else 0
        last = min(count - 1, (n - 1 - start) // stride)
        many = max(last - first + 1, 0)
        here.append(slice(start + first * stride, start + first * stride + max((many - 1) * stride + 1, 0), stride))
        there.append(slice(first, first + many))
        if not many:
            here[-1] = slice(0, 0)
    return tuple(here), tuple(there)


def window_counts(layer: kinds.Pool, size: Sequence[int], outputs: Sequence[int]) -> Array:
    """What an average is divided by at every output: taps on the map, or on map and padding."""
    counts = []
    axes = zip(size, outputs, layer.kernel, layer.stride, layer.padding, layer.dilation, strict=True)
    for n, count, kernel, stride, (before, after), dilation in axes:
        reads = np.arange(count)[:, None] * stride - before + np.arange(kernel) * dilation
        first, end = (-before, n + after) if layer.count_include_pad else (0, n)
        counts.append(((reads >= first) & (reads < end)).sum(axis=1))
    return reduce(np.multiply.outer, counts) if counts else np.ones((), np.int64)


REDUCED: dict[str, Callable[..., Array]] = {
    "mean": np.mean, "maximum": np.max, "minimum": np.min, "sum": np.sum, "product": np.prod,
    "l1": lambda x, axis: np.abs(x).sum(axis=axis), "l2": lambda x, axis: np.sqrt((x * x).sum(axis=axis)),
}  # fmt: skip


@compute.register
def _(layer: kinds.Reduce, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    result = np.empty((*output.spatial, output.channels), np.float32)
    for position, part in tiles_of(layer, operands[0], output):
        result[position] = _reduction(layer.operation)(part.reshape(-1, output.channels), axis=0)
    return result


@compute.register
def _(layer: kinds.ChannelPool, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    runs = operands[0].reshape(*output.spatial, output.channels, layer.factor)
    return np.asarray(_reduction(layer.operation)(runs, axis=-1), np.float32)


def _reduction(operation: str) -> Callable[..., Array]:
    if operation not in REDUCED:
        raise NotModelled(f"reductions '{operation}' are not executed: the order of their norm is not known")
    return REDUCED[operation]


COMBINED: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "maximum": np.maximum,
    "minimum": np.minimum, "mean": np.add, "power": np.power,
}  # fmt: skip


@compute.register
def _(layer: kinds.Combine, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    result = reduce(COMBINED[layer.operation], combined_operands(layer, operands, output))
    return np.asarray(result / np.float32(len(operands)) if layer.operation == "mean" else result, np.float32)


@compute.register
def _(layer: kinds.Resize, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    made = moved(layer, operands, output, np.float32(0))
    if made is not None:
        return made
    if layer.mode != "linear":
        raise NotModelled(f"resizing with mode {layer.mode} is not executed")
    result = operands[0]
    for axis, size in enumerate(layer.spatial):
        result = _interpolated(result, axis, size, layer.coordinates)
    return result


def _interpolated(source: Array, axis: int, size: int, coordinates: str) -> Array:
    n = source.shape[axis]
    numerator, denominator = CENTRES[coordinates](np.arange(size, dtype=np.int64), n, size)
    centre = np.clip(numerator / denominator, 0, n - 1)
    low = np.floor(centre).astype(np.int64)
    part = (centre - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(source.ndim)])
    above = source.take(np.minimum(low + 1, n - 1), axis=axis)
    return np.asarray(source.take(low, axis=axis) * (1 - part) + above * part, np.float32)


_ERF = np.vectorize(erf, otypes=[np.float32])


def _sigmoid(x: Array) -> Array:
    # The exponent is never positive, so that nothing overflows.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)


FUNCTIONS: dict[str, Callable[..., Array]] = {
    "abs": np.abs, "ceil": np.ceil, "clip": lambda x, low, high: np.clip(x, np.float32(low), np.float32(high)),
    "cos": np.cos, "elu": lambda x, alpha: np.where(x > 0, x, np.float32(alpha) * np.expm1(np.minimum(x, 0))),
    "erf": _ERF, "exp": np.exp, "floor": np.floor,
    "gelu": lambda x: x * (1 + _ERF(x / np.float32(2**0.5))) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(np.float32((2 / np.pi) ** 0.5) * (x + np.float32(0.044715) * x**3))) / 2,
    "hard_sigmoid": lambda x, alpha, beta: np.clip(np.float32(alpha) * x + np.float32(beta), 0, 1),
    "hard_swish": lambda x: x * np.clip(x * np.float32(1 / 6) + np.float32(0.5), 0, 1),
    "leaky_relu": lambda x, alpha: np.where(x < 0, np.float32(alpha) * x, x),
    "log": np.log, "mish": lambda x: x * np.tanh(np.logaddexp(0, x)), "neg": np.negative,
    "power": lambda x, exponent: np.power(x, np.float32(exponent)), "reciprocal": np.reciprocal,
    "relu": lambda x: np.maximum(x, 0), "relu6": lambda x: np.clip(x, 0, 6), "round": np.rint,
    "selu": lambda x, alpha, gamma: np.float32(gamma)
    * np.where(x > 0, x, np.float32(alpha) * np.expm1(np.minimum(x, 0))),
    "sigmoid": _sigmoid, "sign": np.sign, "silu": lambda x: x * _sigmoid(x), "sin": np.sin,
    "softplus": lambda x: np.logaddexp(0, x), "softsign": lambda x: x / (1 + np.abs(x)), "sqrt": np.sqrt,
    "tanh": np.tanh, "threshold": lambda x, alpha: np.where(x > np.float32(alpha), x, 0),
}  # fmt: skip


def applied(layer: kinds.Activation, values: Array) -> Array:
    """A unary function in single precision; NaN and infinities are the caller's to refuse."""
    with np.errstate(all="ignore"):
        return np.asarray(FUNCTIONS[layer.function](values.astype(np.float32), *layer.parameters), np.float32)


@compute.register
def _(layer: kinds.Activation, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    return applied(layer, operands[0])


@compute.register
def _(layer: kinds.PRelu, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    return np.where(operands[0] < 0, np.float32(arrays["slope"]) * operands[0], operands[0])


@compute.register
def _(layer: kinds.BatchNorm, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    factor = arrays["scale"] / np.sqrt(arrays["variance"] + np.float32(layer.epsilon))
    return np.asarray((operands[0] - arrays["mean"]) * factor + arrays["shift"], np.float32)


@compute.register
def _(layer: kinds.Normalise, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    groups = output.channels if layer.over == "space" else layer.groups
    axes: tuple[int, ...] = (2,) if layer.over == "channels" else (0, 2)
    x = operands[0].reshape(output.pixels, groups, -1)
    x = x - x.mean(axis=axes, keepdims=True) if layer.centred else x
    x = x / np.sqrt((x * x).mean(axis=axes, keepdims=True) + np.float32(layer.epsilon))
    scaled = x.reshape(operands[0].shape) * arrays.get("scale", np.float32(1)) + arrays.get("shift", np.float32(0))
    return np.asarray(scaled, np.float32)


@compute.register
def _(layer: kinds.LocalNorm, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    source = operands[0]
    squares = np.pad(source * source, [(0, 0)] * (source.ndim - 1) + [((layer.size - 1) // 2, layer.size // 2)])
    total = sum(squares[..., k : k + output.channels] for k in range(layer.size))
    return np.asarray(source / (layer.bias + layer.alpha / layer.size * total) ** layer.beta, np.float32)


@compute.register
def _(layer: kinds.Softmax, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    over_channels = layer.over == "channels"
    x = operands[0].reshape((output.pixels, layer.groups, -1) if over_channels else (output.pixels, output.channels, 1))
    axis = 2 if over_channels else 0
    x = x - x.max(axis=axis, keepdims=True)
    total = np.exp(x).sum(axis=axis, keepdims=True)
    result = x - np.log(total) if layer.log else np.exp(x) / total
    return np.asarray(result.reshape(operands[0].shape), np.float32)


@compute.register
def _(layer: kinds.Embedding, operands: Sequence[Array], arrays: Arrays, output: Tensor) -> Array:
    rows = operands[0][..., 0].astype(np.int64)
    return np.asarray(arrays["weight"][np.clip(rows, 0, layer.count - 1)], np.float32)
