"""Layers that belong together joined: written-out norms, their scales and shifts, biases, and padding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from accelsim.network.graph import Node
from accelsim.network.layers import (
    Activation,
    ChannelPool,
    Combine,
    Concat,
    Convolution,
    Layer,
    Normalise,
    Pad,
    Padding,
    Pool,
    Rearrange,
    Reduce,
    Slice,
    Weighted,
)
from accelsim.network.readers.onnx.activations import recognise_activations
from accelsim.network.readers.onnx.rewriting import Rewriting
from accelsim.network.readers.onnx.tensors import Array

#: What a maximum never returns from padding.
LOWEST = float(np.finfo(np.float32).min)


def simplify(graph: Rewriting) -> None:
    """Replace patterns by the single layers they stand for."""
    recognise_activations(graph)
    for pattern in (_merge_norm, _merge_affine, _merge_bias, _merge_pad, _merge_scales, _merge_stack, _merge_runs):
        for name in list(graph.nodes):
            if name in graph.nodes:
                pattern(graph, name)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of `source`, over channels, space or both."""

    source: str
    over: str


def _merge_norm(graph: Rewriting, name: str) -> None:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon), or without the means, as one layer."""
    node = graph.nodes[name]
    if not isinstance(node.layer, Combine) or len(node.inputs) != 2:
        return
    for numerator, denominator in (node.inputs, node.inputs[::-1]):
        spread = _spread(graph, denominator, node.layer.operation)
        if spread is None or (node.layer.operation == "divide" and numerator != node.inputs[0]):
            continue
        squared, epsilon = spread
        if not _same(graph, squared.source, numerator):
            continue
        centred = _centred(graph, numerator, squared.over)
        source = numerator if centred is None else centred
        layer = Normalise(squared.over, 1, False, centred is not None, epsilon)
        graph.replace(Node(name, layer, (source,)))
        return


def _spread(graph: Rewriting, name: str, operation: str) -> tuple[Mean, float] | None:
    """What a norm divides by: the mean of squares of something, plus epsilon, under a root."""
    node = graph.nodes[name]
    wanted = {"divide": (Activation("sqrt"), Activation("power", (0.5,))), "multiply": (Activation("power", (-0.5,)),)}
    if node.layer not in wanted.get(operation, ()):
        return None
    variance, epsilon = _without_epsilon(graph, node.inputs[0])
    mean = _mean(graph, variance)
    if mean is None:
        return None
    base = _squared(graph, mean.source)
    return None if base is None else (Mean(base, mean.over), epsilon)


def _without_epsilon(graph: Rewriting, name: str) -> tuple[str, float]:
    node = graph.nodes[name]
    if node.layer == Combine("add") and len(node.inputs) == 2:
        for value, added in (node.inputs, node.inputs[::-1]):
            epsilon = graph.scalar(added)
            if epsilon is not None:
                return value, epsilon
    return name, 0.0


def _mean(graph: Rewriting, name: str) -> Mean | None:
    node = graph.nodes[name]
    if node.layer == Reduce("mean"):
        return Mean(node.inputs[0], "space")
    if not isinstance(node.layer, ChannelPool) or node.layer.operation != "mean":
        return None
    if graph.tensors[name].channels != 1:
        return None
    inner = graph.nodes[node.inputs[0]]
    return Mean(inner.inputs[0], "all") if inner.layer == Reduce("mean") else Mean(node.inputs[0], "channels")


def _squared(graph: Rewriting, name: str) -> str | None:
    node = graph.nodes[name]
    if node.layer == Activation("power", (2.0,)):
        return node.inputs[0]
    square = node.layer == Combine("multiply") and len(node.inputs) == 2 and node.inputs[0] == node.inputs[1]
    return node.inputs[0] if square else None


def _centred(graph: Rewriting, name: str, over: str) -> str | None:
    """What `name` is without its mean, where it is that."""
    node = graph.nodes[name]
    if node.layer != Combine("subtract") or len(node.inputs) != 2:
        return None
    mean = _mean(graph, node.inputs[1])
    return node.inputs[0] if mean == Mean(node.inputs[0], over) else None


def _same(graph: Rewriting, one: str, other: str) -> bool:
    """Whether two nodes compute the same; exporters may write a difference twice."""
    first, second = graph.nodes[one], graph.nodes[other]
    if one == other:
        return True
    alike = first.layer == second.layer and len(first.inputs) == len(second.inputs) == 2
    return alike and isinstance(first.layer, Combine) and first.inputs == second.inputs


def _merge_affine(graph: Rewriting, name: str) -> None:
    """A norm times a number a channel, plus a number a channel."""
    node = graph.nodes[name]
    found = _with_vector(graph, node, ("multiply", "add"))
    if found is None:
        return
    source, vector = found
    norm = graph.nodes[source].layer
    if not isinstance(norm, Normalise) or not graph.sole_reader(source):
        return
    channels = graph.tensors[source].channels
    arrays = _affine_arrays(graph, source, channels)
    key = "scale" if node.layer == Combine("multiply") else "shift"
    if (norm.affine and (key == "scale" or arrays["shift"].any())) or (key == "shift" and not norm.centred):
        return
    inputs = graph.nodes[source].inputs
    graph.replace(Node(name, replace(norm, affine=True), inputs), arrays | {key: vector})


def _affine_arrays(graph: Rewriting, name: str, channels: int) -> dict[str, Array]:
    """Scale and shift of a norm, ones and zeros where it has none."""
    ones = np.broadcast_to(np.ones(1, np.float32), (channels,))
    zeros = np.broadcast_to(np.zeros(1, np.float32), (channels,))
    return {
        "scale": graph.parameters.get(f"{name}.scale", ones),
        "shift": graph.parameters.get(f"{name}.shift", zeros),
    }


def _with_vector(graph: Rewriting, node: Node, operations: tuple[str, ...]) -> tuple[str, Array] | None:
    """Operand and vector of a combination of a tensor with one number a channel."""
    if node.layer not in [Combine(operation) for operation in operations] or len(node.inputs) != 2:
        return None
    for source, constant in (node.inputs, node.inputs[::-1]):
        vector = graph.per_channel(constant, graph.tensors[source].channels)
        if vector is not None and graph.tensors[source].channels > 1:
            return source, vector
    return None


def _merge_bias(graph: Rewriting, name: str) -> None:
    """A number a channel added to a layer with weights is its bias."""
    found = _with_vector(graph, graph.nodes[name], ("add",))
    if found is None:
        return
    source, vector = found
    node = graph.nodes[source]
    if not isinstance(node.layer, Weighted) or node.layer.bias:
        return
    if graph.sole_reader(source) and graph.tensors[source] == graph.tensors[name]:
        graph.replace(Node(source, replace(node.layer, bias=True), node.inputs), {"bias": vector})
        graph.supersede(name, source)


def _merge_pad(graph: Rewriting, name: str) -> None:
    """Padding that every reader can do itself, and means the same."""
    node = graph.nodes[name]
    if not isinstance(node.layer, Pad) or name in graph.outputs or node.layer.mode != "constant":
        return
    if any(node.layer.channel_padding) or any(amount < 0 for pair in node.layer.padding for amount in pair):
        return
    padded = {reader: _padded(graph.nodes[reader].layer, node.layer) for reader in graph.readers(name)}
    for reader, layer in padded.items():
        if layer is None:
            return
        assert graph.nodes[reader].inputs == (name,)
    for reader, layer in padded.items():
        assert layer is not None
        graph.replace(Node(reader, layer, node.inputs))


def _padded(layer: Layer, pad: Pad) -> Layer | None:
    """`layer` with the padding taken in; None where it would not compute the same."""
    if isinstance(layer, Convolution) and pad.value == 0:
        return replace(layer, padding=_sum(layer.padding, pad.padding))
    if not isinstance(layer, Pool) or layer.ceil_mode or any(map(sum, layer.padding)):
        return None
    if layer.operation == "average" and pad.value == 0:
        return replace(layer, padding=pad.padding, count_include_pad=True)
    if layer.operation == "maximum" and pad.value <= LOWEST:
        return replace(layer, padding=pad.padding)
    return None


def _merge_scales(graph: Rewriting, name: str) -> None:
    """A number times a number, one after the other, is one number."""
    outer = _scaled(graph, name)
    if outer is None or not graph.sole_reader(outer[0]) or not graph.sole_reader(outer[1]):
        return
    inner = _scaled(graph, outer[0])
    if inner is None:
        return
    factor = np.array([inner[2] * outer[2]], np.float32)
    graph.replace(Node(name, Combine("multiply"), (inner[0], outer[1])))
    graph.replace(graph.nodes[outer[1]], {"value": factor})


def _scaled(graph: Rewriting, name: str) -> tuple[str, str, float] | None:
    """What a node multiplies by a number, the constant that holds it, and the factor."""
    node = graph.nodes[name]
    if node.layer not in (Combine("multiply"), Combine("divide")) or len(node.inputs) != 2:
        return None
    for source, constant in (node.inputs, node.inputs[::-1]):
        factor = graph.scalar(constant)
        if factor is None or (node.layer == Combine("divide") and (constant != node.inputs[1] or not factor)):
            continue
        return source, constant, factor if node.layer == Combine("multiply") else 1 / factor
    return None


#: Element-wise form of a reduction over tensors that were stacked for it.
STACKED = {"sum": "add", "mean": "mean", "maximum": "maximum", "minimum": "minimum", "product": "multiply"}


def _merge_stack(graph: Rewriting, name: str) -> None:
    """Tensors stacked on a new axis and reduced over it are combined element by element."""
    pool = graph.nodes[name]
    if not isinstance(pool.layer, ChannelPool) or pool.layer.operation not in STACKED:
        return
    moved = graph.nodes[pool.inputs[0]]
    if not isinstance(moved.layer, Rearrange) or not graph.sole_reader(moved.name):
        return
    stack = graph.nodes[moved.inputs[0]]
    count, channels = pool.layer.factor, graph.tensors[name].channels
    pixels = graph.tensors[name].spatial
    if stack.layer != Concat(-1) or len(stack.inputs) != count or not graph.sole_reader(stack.name):
        return
    alike = all(graph.tensors[source] == graph.tensors[name] for source in stack.inputs)
    if alike and _interleaves(moved.layer, prod(pixels), count, channels):
        graph.replace(Node(name, Combine(STACKED[pool.layer.operation]), stack.inputs))


def _interleaves(layer: Rearrange, pixels: int, count: int, channels: int) -> bool:
    """Whether all that a rearrangement does is to exchange the two axes (count, channels) of a pixel."""
    moved = np.arange(count * channels).reshape(count, channels).T.ravel()
    outer = next((k for k in range(len(layer.split) + 1) if prod(layer.split[:k]) == pixels), None)
    if outer is None or layer.order[:outer] != tuple(range(outer)):
        return False
    inside = np.arange(count * channels).reshape(layer.split[outer:])
    return bool((inside.transpose([axis - outer for axis in layer.order[outer:]]).ravel() == moved).all())


def _merge_runs(graph: Rewriting, name: str) -> None:
    """Every n-th channel from the first, from the second and so on, combined: runs of n channels, reduced."""
    node = graph.nodes[name]
    operations = {combined: reduced for reduced, combined in STACKED.items()}
    if not isinstance(node.layer, Combine) or node.layer.repeat or node.layer.operation not in operations:
        return
    slices = [graph.nodes[source] for source in node.inputs]
    count, channels = len(slices), graph.tensors[name].channels
    runs = {Slice(-1, start, channels, count) for start in range(count)}
    if count < 2 or {part.layer for part in slices} != runs or len({part.inputs for part in slices}) > 1:
        return
    if graph.tensors[slices[0].inputs[0]].channels == count * channels:
        graph.replace(Node(name, ChannelPool(operations[node.layer.operation], count), slices[0].inputs))


def _sum(one: Padding, other: Padding) -> Padding:
    return tuple((a + c, b + d) for (a, b), (c, d) in zip(one, other, strict=True))
