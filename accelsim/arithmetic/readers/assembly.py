"""Layers and formats gathered from a file, and the integer network they become.

While a file is read, rounding to a format is a layer of its own, of a form no pattern of real networks contains.
Most of these are then absorbed by the layer in front of them, whose output has the format from then on; what is left
becomes a clip to the format's range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from accelsim.arithmetic.encodings import Stored
from accelsim.arithmetic.formats import Format
from accelsim.arithmetic.network import IntegerNetwork, Requantiser, integer_network
from accelsim.network.graph import Network, Node, network
from accelsim.network.layers import (
    Activation,
    ChannelPool,
    Concat,
    Input,
    Layer,
    Pad,
    Pool,
    Rearrange,
    Reduce,
    Resize,
    Slice,
)

#: What stands for rounding while a file is read: the greatest of each run of one channel.
ROUNDING = ChannelPool("maximum", 1)
#: Activations that do not fall as their input rises and clamp only, so that rounding first changes nothing.
CLAMPS = frozenset(("relu", "relu6", "clip"))


def rounding_layer(kind: Stored) -> Activation:
    """What rounding to a format is to real numbers: a clip to its range."""
    return Activation("clip", kind.ends)


def keeps_format(layer: Layer) -> bool:
    """Whether a layer's outputs are some of its inputs, unchanged."""
    if isinstance(layer, Pool | Reduce):
        return layer.operation in ("maximum", "minimum")
    if isinstance(layer, Pad):
        return layer.mode != "constant" or layer.value == 0
    return isinstance(layer, Rearrange | Slice | Concat) or (isinstance(layer, Resize) and layer.mode == "nearest")


def assembled(
    net: Network,
    formats: Mapping[str, Stored],
    weight_formats: Mapping[str, Format],
    ports: Mapping[str, Stored | None],
    requantiser: Requantiser,
    dividing: frozenset[str] = frozenset(),
) -> IntegerNetwork:
    """`net`, whose rounding layers are in `formats`, with them absorbed and formats passed on."""
    held = dict(formats)
    slim = _absorbed(net, held)
    _pass_down(slim, held)
    _pass_up(slim, held)
    kept = {key: kind for key, kind in weight_formats.items() if key in slim.parameters}
    return integer_network(slim, held, kept, ports, requantiser, dividing=dividing)


def _absorbed(net: Network, held: dict[str, Stored]) -> Network:
    """`net` without the rounding layers that alone read a layer of real numbers; `held` follows."""
    home: dict[str, str] = {}
    for node in net.nodes:
        if node.layer != ROUNDING:
            continue
        source = home.get(node.inputs[0], node.inputs[0])
        alone = len(net.consumers[node.inputs[0]]) == 1 and node.inputs[0] not in net.output_nodes
        if (alone and source not in held) or held.get(source) == held[node.name]:
            held[source] = held.pop(node.name)
            home[node.name] = source
    nodes = [
        replace(node, inputs=tuple(home.get(name, name) for name in node.inputs), layer=_final(node, held))
        for node in net.nodes
        if node.name not in home
    ]
    outputs = [replace(port, node=home.get(port.node, port.node)) for port in net.outputs]
    return network(net.name, nodes, outputs, net.inputs, net.parameters)


def _final(node: Node, held: Mapping[str, Stored]) -> Layer:
    return rounding_layer(held[node.name]) if node.layer == ROUNDING else node.layer


def _pass_down(net: Network, held: dict[str, Stored]) -> None:
    """Layers that only move elements have the format of what they read; so have maxima of integers."""
    for node in net.nodes:
        kinds = {held.get(source) for source in node.inputs}
        if node.name not in held and len(kinds) == 1 and None not in kinds:
            (only,) = kinds
            assert only is not None
            if not keeps_format(node.layer) and not _pads_with_one_of(node.layer, only):
                continue
            # A number times its scale may be infinite, which is no number of most types.
            if only.channels == 1 and (isinstance(only, Format) or not isinstance(node.layer, Pool | Reduce)):
                held[node.name] = only


def _pads_with_one_of(layer: Layer, kind: Stored) -> bool:
    """Whether a layer pads with a number of the format."""
    if not isinstance(layer, Pad) or not isinstance(kind, Format):
        return False
    value = np.array([layer.value], np.float32)
    return np.array_equal(kind.real(kind.nearest(value)), value)


def _pass_up(net: Network, held: dict[str, Stored]) -> None:
    """What a clamp alone reads may be rounded to integers before it is clamped, and what is moved before that."""
    for node in reversed(net.nodes):
        clamps = isinstance(node.layer, Activation) and node.layer.function in CLAMPS
        kind = held.get(node.name)
        moves = keeps_format(node.layer) and len(node.inputs) == 1 and kind is not None and kind.channels == 1
        if not isinstance(kind, Format) or not (clamps or moves):
            continue
        source = node.inputs[0]
        alone = len(net.consumers[source]) == 1 and source not in net.output_nodes
        if source not in held and alone and not isinstance(net.by_name[source].layer, Input):
            held[source] = kind
