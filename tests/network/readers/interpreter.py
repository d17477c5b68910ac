"""Runs a network in floating point, a layer at a time and with no thought for speed.

Used to compare what a reader made of a file with what the file computes. Arrays are canonical:
(*space, channels).
"""

from functools import reduce, singledispatch
from itertools import product

import numpy as np

from accelsim.network import layers
from accelsim.network.graph import Network
from accelsim.network.readers.onnx.activations import FUNCTIONS

REDUCTIONS = {
    "mean": np.mean, "maximum": np.max, "minimum": np.min, "sum": np.sum, "product": np.prod, "average": np.mean,
    "l1": lambda x, axis: np.abs(x).sum(axis), "l2": lambda x, axis: np.sqrt((x**2).sum(axis)),
    "lp": lambda x, axis: np.sqrt((x**2).sum(axis)), "argmax": np.argmax, "argmin": np.argmin,
}  # fmt: skip
COMBINATIONS = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "power": np.power,
    "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip


def run(net: Network, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs as the file declares them, from inputs as it declares them."""
    values: dict[str, np.ndarray] = {}
    for port in net.inputs:
        tensor = net.tensors[port.node]
        order = [*port.spatial_axes, *port.channel_axes]
        rest = [axis for axis in range(len(port.shape)) if axis not in order]
        values[port.node] = feeds[port.name].transpose(rest + order).reshape(*tensor.spatial, tensor.channels)
    for node in net.nodes:
        if node.name not in values:
            own = {
                key: np.asarray(net.parameters[f"{node.name}.{key}"])
                for key in (*node.layer.weights(net.sources(node)), "mean", "variance")
                if f"{node.name}.{key}" in net.parameters
            }
            with np.errstate(all="ignore"):
                values[node.name] = compute(node.layer, [values[name] for name in node.inputs], own)
            tensor = net.tensors[node.name]
            assert values[node.name].shape == (*tensor.spatial, tensor.channels), node
            for key, shape in node.layer.weights(net.sources(node)).items():
                assert own[key].shape == shape, (node, key, own[key].shape, shape)
    return [_as_declared(values[port.node], port) for port in net.outputs]


def _as_declared(value, port):
    order = [*port.spatial_axes, *port.channel_axes]
    rest = [axis for axis in range(len(port.shape)) if axis not in order]
    assert all(port.shape[axis] == 1 for axis in rest), port
    moved = value.reshape([port.shape[axis] for axis in rest + order])
    return moved.transpose(np.argsort(rest + order))


@singledispatch
def compute(layer, inputs, weights):
    raise AssertionError(f"no interpretation of {layer}")


@compute.register
def _(layer: layers.Constant, inputs, weights):
    return weights["value"]


@compute.register
def _(layer: layers.Convolution, inputs, weights):
    (x,) = inputs
    x = np.pad(x, (*layer.padding, (0, 0)))
    outputs = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape, layer.kernel, layer.stride, layer.dilation, strict=False)
    ]
    w, channels = weights["weight"], x.shape[-1] // layer.groups
    result = np.zeros((*outputs, layer.channels))
    for tap in product(*map(range, layer.kernel)):
        cut = tuple(
            slice(t * d, t * d + (o - 1) * s + 1, s)
            for t, d, o, s in zip(tap, layer.dilation, outputs, layer.stride, strict=True)
        )
        at = w[(slice(None), slice(None), *tap)].reshape(layer.groups, -1, channels)
        window = x[cut].reshape(*outputs, layer.groups, channels)
        result += np.einsum("...gc,goc->...go", window, at).reshape(result.shape)
    return result + weights.get("bias", 0)


@compute.register
def _(layer: layers.TransposedConvolution, inputs, weights):
    (x,) = inputs
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, k, s, d, e in zip(
            x.shape, layer.kernel, layer.stride, layer.dilation, layer.output_padding, strict=False
        )
    ]
    w = weights["weight"].reshape(layer.groups, x.shape[-1] // layer.groups, -1, *layer.kernel)
    result = np.zeros((*full, layer.channels))
    grouped = x.reshape(*x.shape[:-1], layer.groups, -1)
    for tap in product(*map(range, layer.kernel)):
        cut = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, layer.dilation, x.shape, layer.stride, strict=False)
        )
        at = w[(slice(None), slice(None), slice(None), *tap)]
        result[cut] += np.einsum("...gc,gco->...go", grouped, at).reshape(*x.shape[:-1], layer.channels)
    cut = tuple(slice(b, n - a) for (b, a), n in zip(layer.padding, full, strict=True))
    return result[cut] + weights.get("bias", 0)


@compute.register
def _(layer: layers.Dense, inputs, weights):
    return inputs[0] @ weights["weight"].T + weights.get("bias", 0)


@compute.register
def _(layer: layers.Product, inputs, weights):
    first, second = (x.reshape(*x.shape[:-1], layer.groups, -1) for x in inputs)
    equation = "...mgk,...ngk->...mgn" if layer.transposed else "...mgk,...kgn->...mgn"
    result = np.einsum(equation, first, second)
    return result.reshape(*result.shape[:-2], -1)


@compute.register
def _(layer: layers.Pool, inputs, weights):
    (x,) = inputs
    outputs = layer.output((_tensor(x),)).spatial
    result = np.zeros((*outputs, x.shape[-1]))
    for at in np.ndindex(*outputs):
        taps, total = [], 1
        for o, n, k, s, d, (before, after) in zip(
            at, x.shape, layer.kernel, layer.stride, layer.dilation, layer.padding, strict=False
        ):
            points = [o * s - before + t * d for t in range(k)]
            taps.append([p for p in points if 0 <= p < n])
            total *= sum(p < n + after for p in points)
        window = x[np.ix_(*taps)].reshape(-1, x.shape[-1])
        if layer.operation == "average" and layer.count_include_pad:
            result[at] = window.sum(0) / total
        else:
            result[at] = REDUCTIONS[layer.operation](window, axis=0)
    return result


@compute.register
def _(layer: layers.Reduce, inputs, weights):
    (x,) = inputs
    tiles = layer.sizes(_tensor(x))
    result = np.zeros((*layer.output((_tensor(x),)).spatial, x.shape[-1]))
    for at in np.ndindex(*result.shape[:-1]):
        window = x[tuple(slice(o * t, o * t + t) for o, t in zip(at, tiles, strict=True))]
        result[at] = REDUCTIONS[layer.operation](window.reshape(-1, x.shape[-1]), axis=0)
    return result


@compute.register
def _(layer: layers.ChannelPool, inputs, weights):
    (x,) = inputs
    return REDUCTIONS[layer.operation](x.reshape(*x.shape[:-1], -1, layer.factor), axis=-1)


@compute.register
def _(layer: layers.Combine, inputs, weights):
    assert not layer.repeat
    if layer.operation == "mean":
        return reduce(np.add, inputs) / len(inputs)
    return reduce(COMBINATIONS[layer.operation], inputs)


@compute.register
def _(layer: layers.Concat, inputs, weights):
    return np.concatenate(inputs, layer.axis)


@compute.register
def _(layer: layers.Slice, inputs, weights):
    return np.take(inputs[0], layer.start + np.arange(layer.size) * layer.step, layer.axis)


@compute.register
def _(layer: layers.Pad, inputs, weights):
    pads = (*layer.padding, layer.channel_padding)
    x = inputs[0][tuple(slice(max(-b, 0), n + min(a, 0)) for (b, a), n in zip(pads, inputs[0].shape, strict=True))]
    grown = [(max(b, 0), max(a, 0)) for b, a in pads]
    return np.pad(x, grown, layer.mode, **({"constant_values": layer.value} if layer.mode == "constant" else {}))


@compute.register
def _(layer: layers.Resize, inputs, weights):
    """Nearest only, by whole factors, which every coordinate rule agrees on."""
    (x,) = inputs
    assert layer.mode == "nearest"
    for axis, size in enumerate(layer.spatial):
        x = np.take(x, np.arange(size) * x.shape[axis] // size, axis)
    return x


@compute.register
def _(layer: layers.Activation, inputs, weights):
    return FUNCTIONS[layer.function](inputs[0], *layer.parameters)


@compute.register
def _(layer: layers.PRelu, inputs, weights):
    return np.where(inputs[0] < 0, inputs[0] * weights["slope"], inputs[0])


@compute.register
def _(layer: layers.BatchNorm, inputs, weights):
    centred = (inputs[0] - weights["mean"]) / np.sqrt(weights["variance"] + layer.epsilon)
    return centred * weights["scale"] + weights["shift"]


@compute.register
def _(layer: layers.Normalise, inputs, weights):
    (x,) = inputs
    grouped = x.reshape(*x.shape[:-1], layer.groups, -1)
    space = tuple(range(x.ndim - 1))
    axes = {"channels": (-1,), "space": space, "all": (*space, -1)}[layer.over]
    centred = grouped - grouped.mean(axes, keepdims=True) if layer.centred else grouped
    spread = np.sqrt((centred**2).mean(axes, keepdims=True) + layer.epsilon)
    result = (centred / spread).reshape(x.shape)
    return result * weights.get("scale", 1) + weights.get("shift", 0)


@compute.register
def _(layer: layers.LocalNorm, inputs, weights):
    (x,) = inputs
    result = np.zeros_like(x)
    for c in range(x.shape[-1]):
        low, high = c - (layer.size - 1) // 2, c + -(-(layer.size - 1) // 2)
        squares = (x[..., max(0, low) : high + 1] ** 2).sum(-1)
        result[..., c] = x[..., c] / (layer.bias + layer.alpha / layer.size * squares) ** layer.beta
    return result


@compute.register
def _(layer: layers.Softmax, inputs, weights):
    (x,) = inputs
    grouped = x.reshape(-1, *x.shape[-1:]) if layer.over == "space" else x.reshape(*x.shape[:-1], layer.groups, -1)
    axis = 0 if layer.over == "space" else -1
    shifted = grouped - grouped.max(axis, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    return (logs if layer.log else np.exp(logs)).reshape(x.shape)


@compute.register
def _(layer: layers.Rearrange, inputs, weights):
    moved = inputs[0].reshape(layer.split).transpose(layer.order)
    return moved.reshape(*layer.spatial, layer.channels)


@compute.register
def _(layer: layers.Embedding, inputs, weights):
    return weights["weight"][inputs[0][..., 0].astype(int)]


def _tensor(x):
    return layers.Tensor(x.shape[-1], x.shape[:-1])
