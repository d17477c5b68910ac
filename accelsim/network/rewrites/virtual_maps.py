"""Virtual feature maps: channels that are computed, activated and pooled before a map is stored (arXiv 2104.14124)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import collected
from accelsim.network.attention import find_attention
from accelsim.network.graph import Network, Node, network
from accelsim.network.layers import Activation, BatchNorm, ChannelPool, Combine, Constant, Convolution, Layer, PRelu
from accelsim.network.tensor import Tensor

Array = NDArray[np.generic]

#: How the channels of a run become one. Either leaves equal values as they are.
OPERATIONS = ("maximum", "mean")
#: What works on every value by itself, with numbers of its channel at most, and so belongs to the layer in front.
FOLLOWERS = (Activation, BatchNorm, PRelu, Combine)


def virtual_maps(net: Network, factor: int, operation: str = "maximum", layers: Sequence[str] | None = None) -> Network:
    """`net` with convolutions that compute `factor` channels for each one stored.

    Each of `layers`, names of convolutions, gets `factor` times its output channels, and with it the batch
    norm, activation and other point-wise layers that belong to it alone, written out or not. Behind them a
    `ChannelPool` named `<convolution>.channel_pool` takes the maximum or the mean of every `factor`
    consecutive channels, and whatever read the map reads that: the same shape as before. MACs and weights of
    the convolutions grow by `factor`, no other convolution changes. All layers keep their names, and outputs
    the names of their ports. Where a pool of the same operation is there already, its factor grows instead.

    `layers` None takes those of `virtual_layers`. Grouped and depthwise convolutions are taken where they are
    named: their runs stay within a group, so every run still reads inputs of its own group only.
    Arrays are repeated, a channel `factor` times: the new filters start as copies of the old ones, and the
    network computes what it did before. Layers that share weights with one that is not widened own theirs.
    Raises `InputError` with every problem of the arguments.
    """
    _check(net, factor, operation, layers)
    chosen = virtual_layers(net) if layers is None else layers
    regions = [_region(net, name) for name in dict.fromkeys(chosen)]
    return _Widening(net, factor, operation, regions).rewritten() if regions else net


def virtual_layers(net: Network) -> tuple[str, ...]:
    """Names of the convolutions whose maps `virtual_maps` pools if it is not told otherwise.

    All but those that are grouped (a pool is to condense filters over all channels), that give a single
    point or lie in the excitation of a squeeze-excite block (no map is stored), that no input reaches, and
    those from which an output is reached with no MACs in between (their channels are the answer).
    """
    gates = {name for block in find_attention(net) for name in block.excite}
    others = gates | _answers(net) | net.constant_nodes
    return tuple(node.name for node in net.nodes if node.name not in others and _is_dense(net, node))


def _is_dense(net: Network, node: Node) -> bool:
    return isinstance(node.layer, Convolution) and node.layer.groups == 1 and net.tensors[node.name].pixels > 1


def _answers(net: Network) -> set[str]:
    """Nodes from which an output is reached with no MACs in between."""
    found: set[str] = set()
    stack = list(net.output_nodes)
    while stack:
        name = stack.pop()
        if name in found:
            continue
        found.add(name)
        node = net.by_name[name]
        stack += () if net.macs_of(node) else node.inputs
    return found


def _check(net: Network, factor: object, operation: object, layers: object) -> None:
    problems = []
    if not isinstance(factor, int) or isinstance(factor, bool) or factor < 2:
        problems.append(f"virtual_maps: factor = {factor!r} must be an integer of at least 2")
    if operation not in OPERATIONS:
        problems.append(f"virtual_maps: operation = {operation!r} is unknown; use {' or '.join(OPERATIONS)}")
    if layers is not None and (isinstance(layers, str) or not isinstance(layers, Sequence | set | frozenset)):
        problems.append(f"virtual_maps: layers = {layers!r} is no list of names; write [{layers!r}]")
    elif layers is not None:
        problems += _name_problems(net, layers)
    if problems:
        raise collected(problems)


def _name_problems(net: Network, layers: Iterable[object]) -> list[str]:
    problems = []
    for index, name in enumerate(layers):
        node = net.by_name.get(name) if isinstance(name, str) else None
        if node is None:
            rule = f"is no layer of {net.name}{_suggestion(net, str(name))}"
        elif not isinstance(node.layer, Convolution):
            rule = f"is of kind {node.kind}, not a convolution{_convolution_before(net, node)}"
        else:
            continue
        problems.append(f"virtual_maps: layers[{index}] = {name!r} {rule}")
    return problems


def _suggestion(net: Network, name: str) -> str:
    convolutions = [node.name for node in net.nodes if isinstance(node.layer, Convolution)]
    close = get_close_matches(name, convolutions, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; its convolutions: {', '.join(convolutions)}" if convolutions else "; it has no convolutions"


def _convolution_before(net: Network, node: Node) -> str:
    """The cure where a layer was named that belongs to a convolution."""
    while isinstance(node.layer, FOLLOWERS):
        node = net.by_name[node.inputs[0]]
    return f"; name '{node.name}' in front of it" if isinstance(node.layer, Convolution) else ""


@dataclass(frozen=True, slots=True)
class _Region:
    """A convolution with all that widens with it; `end` is the node whose map is pooled."""

    convolution: str
    end: str
    members: tuple[str, ...]


def _region(net: Network, convolution: str) -> _Region:
    """The longest run of point-wise layers behind a convolution that nothing else reads into."""
    reached = _reached(net, convolution)
    end, unread = 0, 0
    for position, name in enumerate(reached):
        unread -= sum(source in reached for source in net.by_name[name].inputs) if position else 0
        if unread == 0:
            end = position
        if name in net.output_nodes:
            break
        unread += len(net.consumers[name])
    names = list(reached)[: end + 1]
    vectors = [source for name in names[1:] for source in net.by_name[name].inputs if source not in reached]
    tensor = net.tensors[convolution]
    members = (*names, *(name for name in vectors if net.tensors[name].channels == tensor.channels > 1))
    return _Region(convolution, names[-1], members)


def _reached(net: Network, convolution: str) -> dict[str, None]:
    """The convolution and the point-wise layers that read nothing but it, one another and constants, inputs first."""
    reached = {convolution: None}
    waiting = list(net.consumers[convolution])
    while waiting:
        name = waiting.pop()
        if name not in reached and _follows(net, net.by_name[name], reached, net.tensors[convolution]):
            reached[name] = None
            waiting += net.consumers[name]
    return reached


def _follows(net: Network, node: Node, reached: Mapping[str, None], tensor: Tensor) -> bool:
    if not isinstance(node.layer, FOLLOWERS) or net.tensors[node.name] != tensor:
        return False
    return all(source in reached or _widens(net, source) for source in node.inputs)


def _widens(net: Network, name: str) -> bool:
    """Whether a constant serves any number of channels, or can have more because nothing else uses it."""
    if not isinstance(net.by_name[name].layer, Constant):
        return False
    return net.tensors[name].channels == 1 or (len(net.consumers[name]) == 1 and name not in net.output_nodes)


class _Widening:
    """`pools` gives, for the end of each region, the new pool behind it; `grown` the pools that were there already."""

    def __init__(self, net: Network, factor: int, operation: str, regions: Sequence[_Region]) -> None:
        self._net = net
        self._factor = factor
        self._operation = operation
        self._members = frozenset(name for region in regions for name in region.members)
        self._pools: dict[str, str] = {}
        self._grown: dict[str, ChannelPool] = {}
        for region in regions:
            self._pool(region)
        self._split = self._split_owners()

    def rewritten(self) -> Network:
        nodes = self._nodes()
        outputs = [replace(port, node=self._pools.get(port.node, port.node)) for port in self._net.outputs]
        # shapes first, so that factors no network can have are told before any array is repeated
        shapes = network(self._net.name, nodes, outputs, self._net.inputs)
        if not self._net.parameters:
            return shapes
        return network(self._net.name, nodes, outputs, self._net.inputs, self._arrays())

    def _pool(self, region: _Region) -> None:
        readers = self._net.consumers[region.end]
        behind = self._net.by_name[readers[0]].layer if len(readers) == 1 else None
        alone = region.end not in self._net.output_nodes
        if alone and isinstance(behind, ChannelPool) and behind.operation == self._operation:
            self._grown[readers[0]] = replace(behind, factor=behind.factor * self._factor)
            return
        name = f"{region.convolution}.channel_pool"
        while name in self._net.by_name or name in self._pools.values():
            name += ".channel_pool"
        self._pools[region.end] = name

    def _split_owners(self) -> frozenset[str]:
        """Owners of weights that some of their users widen and others do not."""
        uses: dict[str, set[bool]] = {}
        for node in self._net.nodes:
            uses.setdefault(node.shares or node.name, set()).add(node.name in self._members)
        return frozenset(owner for owner, widened in uses.items() if len(widened) > 1)

    def _nodes(self) -> list[Node]:
        heirs: dict[tuple[str, bool], str] = {}
        nodes = []
        for node in self._net.nodes:
            inputs = tuple(self._pools.get(name, name) for name in node.inputs)
            nodes.append(Node(node.name, self._layer(node), inputs, self._owner(node, heirs)))
            if node.name in self._pools:
                pool = ChannelPool(self._operation, self._factor)
                nodes.append(Node(self._pools[node.name], pool, (node.name,)))
        return nodes

    def _layer(self, node: Node) -> Layer:
        layer = node.layer
        if node.name in self._members and isinstance(layer, Convolution | Constant):
            return replace(layer, channels=layer.channels * self._factor)
        return self._grown.get(node.name, layer)

    def _owner(self, node: Node, heirs: dict[tuple[str, bool], str]) -> str | None:
        """Whose weights `node` uses: where some users of them widened, the first of its own kind."""
        owner = node.shares or node.name
        if owner not in self._split:
            return node.shares
        heir = heirs.setdefault((owner, node.name in self._members), node.name)
        return None if heir == node.name else heir

    def _arrays(self) -> dict[str, Array]:
        """All arrays, those of members with each channel repeated; what was one array stays one."""
        widened: dict[tuple[int, int], Array] = {}
        arrays = dict(self._net.parameters)
        for key, array in arrays.items():
            name, _, weight = key.rpartition(".")
            layer = self._net.by_name[name].layer
            if name not in self._members or (isinstance(layer, PRelu) and layer.shared):
                continue
            axis = array.ndim - 1 if weight == "value" else 0
            if (id(array), axis) not in widened:
                widened[id(array), axis] = np.repeat(array, self._factor, axis)
            arrays[key] = widened[id(array), axis]
        return arrays
