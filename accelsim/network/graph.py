"""A network: layers in topological order, each with one output named like the layer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from math import prod
from types import MappingProxyType
from typing import Concatenate, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError, collected
from accelsim.network.layers import KIND_NAMES, Constant, Input, Layer
from accelsim.network.statistics import LayerStatistics
from accelsim.network.tensor import Tensor

P = ParamSpec("P")
R = TypeVar("R")

#: More elements in one tensor than any machine or file of this field has.
LARGEST_TENSOR = 2**40


@dataclass(frozen=True, slots=True)
class Node:
    """A layer in its place: `inputs` are names of other nodes, in the order the layer reads them.

    `shares` names the node of the same kind whose weights this one uses as well.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...] = ()
    shares: str | None = None

    @property
    def kind(self) -> str:
        return KIND_NAMES[type(self.layer)]


@dataclass(frozen=True, slots=True)
class Port:
    """How a file declares an input or output: its `name`, the node behind it and its `shape`.

    `spatial_axes` and `channel_axes` say which axes of `shape` make up, in raster order, the
    node's space and channels; axes in neither have size 1.
    """

    name: str
    node: str
    shape: tuple[int, ...]
    spatial_axes: tuple[int, ...]
    channel_axes: tuple[int, ...]


def once_a_network(function: Callable[Concatenate[Network, P], R]) -> Callable[Concatenate[Network, P], R]:
    """`function` of a network and of hashable positional arguments, worked out once and kept with the network."""

    @wraps(function)
    def kept(net: Network, /, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (function, args, *sorted(kwargs.items())) if kwargs else (function, args)
        if key not in net.derived:
            net.derived[key] = function(net, *args, **kwargs)
        return cast(R, net.derived[key])

    return kept


def channels_first(name: str, node: str, tensor: Tensor) -> Port:
    """A port of shape (1, channels, *spatial)."""
    axes = tuple(range(2, 2 + len(tensor.spatial)))
    return Port(name, node, (1, tensor.channels, *tensor.spatial), axes, (1,))


@dataclass(frozen=True)
class Network:
    """Frozen graph; build it with `network`, which checks everything this class promises.

    `parameters` holds weights as arrays under "layer.weight name"; a network may have all, some or
    none of them, since timing needs shapes only. `statistics` are figures of execution by layer, for any of them.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    tensors: Mapping[str, Tensor]
    parameters: Mapping[str, NDArray[np.generic]] = field(repr=False)
    statistics: Mapping[str, LayerStatistics] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        return MappingProxyType({node.name: node for node in self.nodes})

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the nodes that read each node, once an operand, in topological order."""
        readers: dict[str, list[str]] = defaultdict(list)
        for node in self.nodes:
            for source in node.inputs:
                readers[source].append(node.name)
        return MappingProxyType({node.name: tuple(readers[node.name]) for node in self.nodes})

    @cached_property
    def constant_nodes(self) -> frozenset[str]:
        """Names of the nodes that no input reaches."""
        fixed: set[str] = set()
        for node in self.nodes:
            if isinstance(node.layer, Constant) or (node.inputs and fixed.issuperset(node.inputs)):
                fixed.add(node.name)
        return frozenset(fixed)

    @cached_property
    def output_nodes(self) -> frozenset[str]:
        return frozenset(port.node for port in self.outputs)

    @cached_property
    def derived(self) -> dict[Hashable, object]:
        """Room for what follows from this network alone (`once_a_network`)."""
        return {}

    def sources(self, node: Node) -> tuple[Tensor, ...]:
        """Shapes of a node's inputs."""
        return tuple(self.tensors[name] for name in node.inputs)

    def macs_of(self, node: Node) -> int:
        return node.layer.macs(self.sources(node), self.tensors[node.name])

    def parameters_of(self, node: Node) -> int:
        """Trained values in a node (running statistics and untrained constants do not count)."""
        if isinstance(node.layer, Constant) and not node.layer.trained:
            return 0
        return sum(prod(shape) for shape in node.layer.weights(self.sources(node)).values())

    def with_statistics(self, statistics: Mapping[str, LayerStatistics]) -> Network:
        """The same network with these figures. Raises `InputError` for names that are no layers."""
        unknown = [name for name in statistics if name not in self.by_name]
        if unknown:
            raise collected([f"{self.name}: statistics of '{name}', which is no layer" for name in unknown])
        return replace(self, statistics=MappingProxyType(dict(statistics)))

    @property
    def macs(self) -> int:
        return sum(self.macs_of(node) for node in self.nodes)

    @property
    def parameter_count(self) -> int:
        """Trained values; a weight that several nodes share, as `Node.shares` or as one array, counts once."""
        sizes: dict[int | tuple[str, str], int] = {}
        for node in self.nodes:
            if isinstance(node.layer, Constant) and not node.layer.trained:
                continue
            for name, shape in node.layer.weights(self.sources(node)).items():
                array = self.parameters.get(f"{node.name}.{name}")
                key = (node.shares or node.name, name) if array is None else id(array)
                sizes[key] = prod(shape)
        return sum(sizes.values())


def network(
    name: str,
    nodes: Sequence[Node],
    outputs: Sequence[str | Port],
    inputs: Sequence[Port] = (),
    parameters: Mapping[str, NDArray[np.generic]] | None = None,
) -> Network:
    """A checked `Network` in a topological order that keeps the given order where it can.

    Nodes that no output needs are left out, inputs excepted. `outputs` given as node names and
    inputs not given become ports of shape (1, channels, *spatial). A node that shares weights gets
    its owner's arrays under its own name too; where the owner is left out, the first sharer owns them.
    Raises `InputError` with every duplicate name, dangling input, cycle or misfit of shapes.
    """
    named = {node.name: node for node in nodes}
    problems = _naming_problems(name, nodes, named) + _owner_problems(name, nodes, named)
    wanted = [port if isinstance(port, str) else port.node for port in outputs]
    problems += [f"{name}: output '{node}' is not a layer" for node in wanted if node not in named]
    if not wanted:
        problems.append(f"{name}: the network has no output")
    if problems:
        raise collected(problems)
    arrays = _shared_arrays(name, nodes, parameters or {})
    ordered = _with_owners(_topological(name, named, wanted))
    tensors = _shapes(name, ordered)
    _check_sharing(name, ordered, tensors)
    for node in (n for n in ordered if isinstance(n.layer, Input)):
        if node.name not in {port.node for port in inputs}:
            inputs = (*inputs, channels_first(node.name, node.name, tensors[node.name]))
    ports = tuple(channels_first(p, p, tensors[p]) if isinstance(p, str) else p for p in outputs)
    kept = {
        f"{n.name}.{w}"
        for n in ordered
        for w in (*n.layer.weights(tuple(tensors[i] for i in n.inputs)), "mean", "variance")
    }
    arrays = {key: array for key, array in arrays.items() if key in kept}
    return Network(name, ordered, tuple(inputs), ports, MappingProxyType(tensors), MappingProxyType(arrays))


def rebuilt(
    net: Network, nodes: Sequence[Node], parameters: Mapping[str, NDArray[np.generic]] | None = None
) -> Network:
    """`net` with other nodes (and arrays), its ports kept; what a rewrite returns.

    Statistics stay with the layers that compute what they did: they, their arrays and all before them are the same.
    """
    arrays = net.parameters if parameters is None else parameters
    made = network(net.name, nodes, net.outputs, net.inputs, arrays)
    return made.with_statistics(_still_true(net, made)) if net.statistics else made


def _still_true(before: Network, after: Network) -> dict[str, LayerStatistics]:
    same: set[str] = set()
    for node in after.nodes:
        keys = [f"{node.name}.{weight}" for weight in (*node.layer.weights(after.sources(node)), "mean", "variance")]
        kept = all(after.parameters.get(key) is before.parameters.get(key) for key in keys)
        if kept and before.by_name.get(node.name) == node and same.issuperset(node.inputs):
            same.add(node.name)
    return {name: figures for name, figures in before.statistics.items() if name in same}


def renamed(net: Network, name: str) -> Network:
    return replace(net, name=name)


def without_weights(net: Network) -> Network:
    return replace(net, parameters=MappingProxyType({}))


def _naming_problems(name: str, nodes: Sequence[Node], named: Mapping[str, Node]) -> list[str]:
    problems = []
    if len(named) != len(nodes):
        twice = sorted(name for name, count in Counter(node.name for node in nodes).items() if count > 1)
        problems.append(f"{name}: layer names must differ, given twice: {', '.join(twice)}")
    for node in nodes:
        arity = node.layer.arity
        if (arity >= 0 and len(node.inputs) != arity) or (arity < 0 and not node.inputs):
            expected = arity if arity >= 0 else "one or more"
            problems.append(f"{name}: {node.name} ({node.kind}) has {len(node.inputs)} inputs, not {expected}")
        problems += [f"{name}: {node.name} reads '{s}', which is no layer" for s in node.inputs if s not in named]
    return problems


def _sharers(nodes: Sequence[Node]) -> list[tuple[Node, str]]:
    """Every node without weights of its own, with the name of their owner."""
    return [(node, node.shares) for node in nodes if node.shares is not None]


def _owner_problems(name: str, nodes: Sequence[Node], named: Mapping[str, Node]) -> list[str]:
    problems = []
    for node, owner in _sharers(nodes):
        if owner not in named:
            problems.append(f"{name}: {node.name} shares the weights of '{owner}', which is no layer")
        elif named[owner].shares is not None:
            problems.append(f"{name}: {node.name} shares the weights of {owner}, which owns none; name their owner")
    return problems


def _shared_arrays(
    name: str, nodes: Sequence[Node], parameters: Mapping[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.generic]]:
    """`parameters` with every owner's arrays under its sharers' names as well."""
    owned: dict[str, dict[str, NDArray[np.generic]]] = defaultdict(dict)
    for key, array in parameters.items():
        owner, _, weight = key.rpartition(".")
        owned[owner][weight] = array
    arrays = dict(parameters)
    for node, owner in _sharers(nodes):
        for weight, array in owned[owner].items():
            if arrays.setdefault(f"{node.name}.{weight}", array) is not array:
                raise InputError(f"{name}: {node.name}.{weight} differs from that of {owner}, which it shares")
    return arrays


def _with_owners(ordered: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes, the first sharer in its place where an owner is not among them."""
    kept = {node.name for node in ordered}
    heirs: dict[str, str] = {}
    nodes = []
    for node in ordered:
        if node.shares is None or node.shares in kept:
            nodes.append(node)
            continue
        heir = heirs.setdefault(node.shares, node.name)
        nodes.append(replace(node, shares=None if heir == node.name else heir))
    return tuple(nodes)


def _check_sharing(name: str, ordered: Sequence[Node], tensors: Mapping[str, Tensor]) -> None:
    by_name = {node.name: node for node in ordered}
    problems = []
    for node, owner in ((n, by_name[owner]) for n, owner in _sharers(ordered)):
        mine, theirs = (n.layer.weights(tuple(tensors[s] for s in n.inputs)) for n in (node, owner))
        if node.kind != owner.kind or mine != theirs:
            problems.append(
                f"{name}: {node.name} ({node.kind}, weights {mine}) cannot share those of "
                f"{owner.name} ({owner.kind}, weights {theirs})"
            )
    if problems:
        raise collected(problems)


def _topological(name: str, named: Mapping[str, Node], wanted: Sequence[str]) -> tuple[Node, ...]:
    needed: set[str] = set(wanted) | {n.name for n in named.values() if isinstance(n.layer, Input)}
    stack = list(needed)
    while stack:
        for source in named[stack.pop()].inputs:
            if source not in needed:
                needed.add(source)
                stack.append(source)
    ordered: dict[str, Node] = {}
    for root in (node for node in named if node in needed):
        _visit(name, root, named, ordered)
    return tuple(ordered.values())


def _visit(name: str, root: str, named: Mapping[str, Node], ordered: dict[str, Node]) -> None:
    """Depth first from `root` without recursion: networks may be thousands of layers deep."""
    path: dict[str, int] = {root: 0}
    stack = [root]
    while stack:
        node = named[stack[-1]]
        position = path[node.name]
        if node.name in ordered or position == len(node.inputs):
            ordered.setdefault(node.name, node)
            path.pop(stack.pop())
            continue
        path[node.name] += 1
        source = node.inputs[position]
        if source in path:
            names = list(path)
            raise InputError(
                f"{name}: layers form a cycle: {' -> '.join([*reversed(names[names.index(source) :]), names[-1]])}"
            )
        if source not in ordered:
            path[source] = 0
            stack.append(source)


def _shapes(name: str, ordered: Sequence[Node]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for node in ordered:
        try:
            tensor = node.layer.output(tuple(tensors[source] for source in node.inputs))
        except InputError as error:
            raise InputError(f"{name}: {node.name} ({node.kind}): {error}") from None
        if tensor.elements > LARGEST_TENSOR:
            raise InputError(
                f"{name}: {node.name} ({node.kind}): {tensor.label} has {tensor.elements:,} elements; the most is 2^40"
            )
        tensors[node.name] = tensor
    return tensors
