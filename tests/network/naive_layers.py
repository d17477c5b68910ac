"""Every kind of layer in plain NumPy, point by point, on maps of shape (*spatial, channels)."""

from functools import singledispatch
from itertools import product
from math import erf, prod

import numpy as np

from accelsim.network import layers as kinds


def run(net, feeds):
    """The result of every node, in double precision."""
    values = {}
    for node in net.nodes:
        weights = {
            key.rpartition(".")[2]: np.asarray(array, np.float64)
            for key, array in net.parameters.items()
            if key.rpartition(".")[0] == node.name
        }
        if isinstance(node.layer, kinds.Input):
            values[node.name] = feeds[node.name]
        else:
            sources = [values[name] for name in node.inputs]
            values[node.name] = compute(node.layer, sources, weights, net.tensors[node.name])
    return values


def random_weights(net, seed=0):
    """Arrays for every weight of `net`, drawn so that nothing grows beyond what single precision holds."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for node in (node for node in net.nodes if node.shares is None):
        for name, shape in node.layer.weights(net.sources(node)).items():
            fan = prod(shape[1:]) if name == "weight" else 1
            arrays[f"{node.name}.{name}"] = (rng.normal(size=shape) / fan**0.5).astype(np.float32)
        if isinstance(node.layer, kinds.BatchNorm):
            size = net.tensors[node.name].channels
            arrays[f"{node.name}.mean"] = rng.normal(size=size).astype(np.float32)
            arrays[f"{node.name}.variance"] = rng.uniform(0.5, 2, size).astype(np.float32)
    return arrays


@singledispatch
def compute(layer, sources, weights, output):
    raise NotImplementedError(type(layer))


def _taps(layer, position, size):
    """The taps of a window on one axis and the input coordinates they read, those in the padding left out."""
    return [
        [(t, o * s - p[0] + t * d) for t in range(k) if 0 <= o * s - p[0] + t * d < n]
        for o, k, s, p, d, n in zip(
            position, layer.kernel, layer.stride, layer.padding, layer.dilation, size, strict=True
        )
    ]


def windows_of(layer, source, output):
    """Output position, with the (taps, input coordinates) pairs of its window."""
    for position in np.ndindex(*output.spatial):
        axes = _taps(layer, position, source.shape[:-1])
        yield position, [(tuple(t for t, _ in pairs), tuple(c for _, c in pairs)) for pairs in product(*axes)]


@compute.register
def _(layer: kinds.Constant, sources, weights, output):
    return weights["value"]


@compute.register
def _(layer: kinds.Convolution, sources, weights, output):
    (source,), result = sources, np.zeros((*output.spatial, output.channels))
    ins, outs = source.shape[-1] // layer.groups, layer.channels // layer.groups
    for position, window in windows_of(layer, source, output):
        for taps, here in window:
            for group in range(layer.groups):
                matrix = weights["weight"][(slice(group * outs, (group + 1) * outs), slice(None), *taps)]
                part = matrix @ source[here][group * ins : (group + 1) * ins]
                result[position][group * outs : (group + 1) * outs] += part
    return result + weights.get("bias", 0)


@compute.register
def _(layer: kinds.TransposedConvolution, sources, weights, output):
    (source,), result = sources, np.zeros((*output.spatial, output.channels))
    ins, outs = source.shape[-1] // layer.groups, layer.channels // layer.groups
    for here in np.ndindex(*source.shape[:-1]):
        for taps in np.ndindex(*layer.kernel):
            axes = zip(here, layer.stride, layer.padding, taps, layer.dilation, strict=True)
            there = tuple(i * s - p[0] + t * d for i, s, p, t, d in axes)
            if not all(0 <= x < n for x, n in zip(there, output.spatial, strict=True)):
                continue
            for group in range(layer.groups):
                matrix = weights["weight"][(slice(group * ins, (group + 1) * ins), slice(None), *taps)]
                result[there][group * outs : (group + 1) * outs] += (
                    source[here][group * ins : (group + 1) * ins] @ matrix
                )
    return result + weights.get("bias", 0)


@compute.register
def _(layer: kinds.Dense, sources, weights, output):
    return sources[0] @ weights["weight"].T + weights.get("bias", 0)


@compute.register
def _(layer: kinds.Product, sources, weights, output):
    first, second = sources
    heads = []
    for group in range(layer.groups):
        a = np.split(first, layer.groups, axis=-1)[group]
        b = np.split(second, layer.groups, axis=-1)[group]
        heads.append(a @ (np.swapaxes(b, -1, -2) if layer.transposed else b))
    return np.concatenate(heads, axis=-1)


@compute.register
def _(layer: kinds.Pool, sources, weights, output):
    (source,), result = sources, np.zeros((*output.spatial, output.channels))
    for position, window in windows_of(layer, source, output):
        values = np.array([source[here] for _, here in window])
        if layer.operation == "maximum":
            result[position] = values.max(axis=0)
        elif layer.operation == "lp":
            result[position] = np.sqrt((values**2).sum(axis=0))
        else:
            padded = (n + sum(p) for n, p in zip(source.shape, layer.padding, strict=False))
            inside = (
                sum(o * s + t * d < n for t in range(k))
                for o, k, s, d, n in zip(position, layer.kernel, layer.stride, layer.dilation, padded, strict=True)
            )
            result[position] = values.sum(axis=0) / (prod(inside) if layer.count_include_pad else len(values))
    return result


REDUCED = {
    "mean": np.mean, "average": np.mean, "maximum": np.max, "minimum": np.min, "sum": np.sum, "product": np.prod,
    "l1": lambda x, axis: np.abs(x).sum(axis=axis), "l2": lambda x, axis: np.sqrt((x**2).sum(axis=axis)),
    "lp": lambda x, axis: np.sqrt((x**2).sum(axis=axis)),
}  # fmt: skip


@compute.register
def _(layer: kinds.Reduce, sources, weights, output):
    (source,) = sources
    tile = source.shape[:-1] if layer.tile is None else layer.tile
    result = np.zeros((*output.spatial, output.channels))
    for position in np.ndindex(*output.spatial):
        part = source[tuple(slice(o * t, (o + 1) * t) for o, t in zip(position, tile, strict=True))]
        result[position] = REDUCED[layer.operation](part.reshape(-1, output.channels), axis=0)
    return result


@compute.register
def _(layer: kinds.ChannelPool, sources, weights, output):
    runs = sources[0].reshape(*output.spatial, output.channels, layer.factor)
    return REDUCED[layer.operation](runs, axis=-1)


COMBINED = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "maximum": np.maximum,
    "minimum": np.minimum, "mean": np.add, "power": np.power,
}  # fmt: skip


@compute.register
def _(layer: kinds.Combine, sources, weights, output):
    operands = []
    for operand, source in enumerate(sources):
        value = source.reshape((1,) * (len(output.spatial) + 1 - source.ndim) + source.shape)
        if layer.repeat and layer.repeat[operand]:
            for axis, times in enumerate(layer.repeat[operand]):
                value = value.repeat(times, axis=axis).take(range(output.spatial[axis]), axis=axis)
        operands.append(value)
    result = operands[0]
    for value in operands[1:]:
        result = COMBINED[layer.operation](result, value)
    return result / len(operands) if layer.operation == "mean" else result


@compute.register
def _(layer: kinds.Concat, sources, weights, output):
    return np.concatenate(sources, axis=layer.axis)


@compute.register
def _(layer: kinds.Slice, sources, weights, output):
    return sources[0].take(layer.start + np.arange(layer.size) * layer.step, axis=layer.axis)


@compute.register
def _(layer: kinds.Pad, sources, weights, output):
    padding = (*layer.padding, layer.channel_padding)
    grown = [(max(before, 0), max(after, 0)) for before, after in padding]
    cut = tuple(
        slice(max(-before, 0), n - max(-after, 0)) for n, (before, after) in zip(sources[0].shape, padding, strict=True)
    )
    if layer.mode == "constant":
        return np.pad(sources[0][cut], grown, constant_values=layer.value)
    return np.pad(sources[0][cut], grown, mode=layer.mode)


@compute.register
def _(layer: kinds.Resize, sources, weights, output):
    result = sources[0]
    for axis, size in enumerate(layer.spatial):
        result = _resampled(result, axis, size, layer)
    return result


def _resampled(source, axis, size, layer):
    n = source.shape[axis]
    here = np.arange(size, dtype=np.float64)
    if layer.coordinates == "asymmetric":
        centre = here * n / size
    elif layer.coordinates == "align_corners":
        centre = here * (n - 1) / max(size - 1, 1)
    elif layer.coordinates == "tf_half_pixel_for_nn":
        centre = (here + 0.5) * n / size
    elif layer.coordinates == "pytorch_half_pixel" and size == 1:
        centre = np.zeros(1)
    else:
        centre = (here + 0.5) * n / size - 0.5
    if layer.mode == "nearest":
        index = (
            np.floor(centre) if layer.coordinates in ("asymmetric", "tf_half_pixel_for_nn") else np.ceil(centre - 0.5)
        )
        return source.take(np.clip(index, 0, n - 1).astype(int), axis=axis)
    low = np.floor(np.clip(centre, 0, n - 1)).astype(int)
    part = (np.clip(centre, 0, n - 1) - low).reshape([-1 if a == axis else 1 for a in range(source.ndim)])
    return source.take(low, axis=axis) * (1 - part) + source.take(np.minimum(low + 1, n - 1), axis=axis) * part


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


FUNCTIONS = {
    "abs": np.abs, "ceil": np.ceil, "clip": lambda x, low, high: np.clip(x, low, high), "cos": np.cos,
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1)), "erf": np.vectorize(erf), "exp": np.exp,
    "floor": np.floor, "gelu": lambda x: x * (1 + np.vectorize(erf)(x / 2**0.5)) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2,
    "hard_sigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "leaky_relu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "log": np.log, "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))), "neg": np.negative,
    "power": lambda x, exponent: x**exponent, "reciprocal": np.reciprocal, "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6), "round": np.round,
    "selu": lambda x, alpha, gamma: gamma * np.where(x > 0, x, alpha * (np.exp(x) - 1)), "sigmoid": _sigmoid,
    "sign": np.sign, "silu": lambda x: x * _sigmoid(x), "sin": np.sin, "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)), "sqrt": np.sqrt, "tanh": np.tanh,
    "threshold": lambda x, alpha: np.where(x > alpha, x, 0),
}  # fmt: skip


@compute.register
def _(layer: kinds.Activation, sources, weights, output):
    return FUNCTIONS[layer.function](sources[0], *layer.parameters)


@compute.register
def _(layer: kinds.PRelu, sources, weights, output):
    return np.where(sources[0] < 0, weights["slope"] * sources[0], sources[0])


@compute.register
def _(layer: kinds.BatchNorm, sources, weights, output):
    normal = (sources[0] - weights["mean"]) / np.sqrt(weights["variance"] + layer.epsilon)
    return normal * weights["scale"] + weights["shift"]


@compute.register
def _(layer: kinds.Normalise, sources, weights, output):
    groups = output.channels if layer.over == "space" else layer.groups
    x = sources[0].reshape(output.pixels, groups, -1)
    axes = (2,) if layer.over == "channels" else (0, 2)
    x = x - x.mean(axis=axes, keepdims=True) if layer.centred else x
    x = x / np.sqrt((x**2).mean(axis=axes, keepdims=True) + layer.epsilon)
    return x.reshape(sources[0].shape) * weights.get("scale", 1) + weights.get("shift", 0)


@compute.register
def _(layer: kinds.LocalNorm, sources, weights, output):
    (source,), total = sources, np.zeros_like(sources[0])
    for channel in range(output.channels):
        first = max(0, channel - (layer.size - 1) // 2)
        total[..., channel] = (source[..., first : channel + layer.size // 2 + 1] ** 2).sum(axis=-1)
    return source / (layer.bias + layer.alpha / layer.size * total) ** layer.beta


@compute.register
def _(layer: kinds.Softmax, sources, weights, output):
    shape = (output.pixels, layer.groups, -1) if layer.over == "channels" else (output.pixels, output.channels, 1)
    axis = 2 if layer.over == "channels" else 0
    x = np.exp(sources[0].reshape(shape))
    x = (x / x.sum(axis=axis, keepdims=True)).reshape(sources[0].shape)
    return np.log(x) if layer.log else x


@compute.register
def _(layer: kinds.Rearrange, sources, weights, output):
    return sources[0].reshape(layer.split).transpose(layer.order).reshape(*layer.spatial, layer.channels)


@compute.register
def _(layer: kinds.Embedding, sources, weights, output):
    return weights["weight"][sources[0][..., 0].astype(int)]
