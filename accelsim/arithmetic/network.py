"""A network in integers: the graph as it is timed, with what every tensor's numbers stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, get_args

from accelsim.arithmetic.encodings import Encoding, Stored
from accelsim.arithmetic.formats import Accumulator, Array, Format
from accelsim.errors import InputError, collected
from accelsim.network.graph import Network, Node, Port
from accelsim.network.layers import BatchNorm, Weighted

Requantiser = Literal["float", "fixed_point"]


@dataclass(frozen=True)
class IntegerNetwork:
    """Frozen; build it with `integer_network`, which checks what this class promises.

    `formats` gives a node's output format by its name; one without it gives real numbers in single precision. Numbers
    in an `Encoding` are computed with as the real numbers they stand for.
    `weight_formats` gives that of an array in `network.parameters` by its key: integers as stored, zero points not
    yet taken away. An integer bias is in units of input scale times weight scale; a real one is single precision.
    `ports` gives the format in which an input or output is handed over, None for real numbers. Means of nodes in
    `dividing` are sums divided by their count, halves away from zero; others are sums times a multiplier.
    """

    network: Network
    formats: Mapping[str, Stored]
    weight_formats: Mapping[str, Format] = field(repr=False)
    ports: Mapping[str, Stored | None]
    requantiser: Requantiser = "float"
    accumulator: Accumulator = field(default_factory=Accumulator)
    dividing: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.network.name

    @cached_property
    def real_nodes(self) -> tuple[str, ...]:
        """Nodes that compute in single precision, in topological order."""
        return tuple(node.name for node in self.network.nodes if not self._in_integers(node))

    def _in_integers(self, node: Node) -> bool:
        """Whether a node gives integers, and takes no numbers that stand for real ones as it computes."""
        encoded = any(isinstance(self.formats.get(name), Encoding) for name in (node.name, *node.inputs))
        weighted = isinstance(node.layer, Weighted) and f"{node.name}.weight" not in self.weight_formats
        return node.name in self.formats and not encoded and not weighted

    def arrays(self, node: Node) -> dict[str, Array]:
        """A node's own arrays by their short names, its running statistics included."""
        extra = ("mean", "variance") if isinstance(node.layer, BatchNorm) else ()
        keys = (*node.layer.weights(self.network.sources(node)), *extra)
        found = {key: self.network.parameters.get(f"{node.name}.{key}") for key in keys}
        return {key: array for key, array in found.items() if array is not None}


def integer_network(
    network: Network,
    formats: Mapping[str, Stored],
    weight_formats: Mapping[str, Format],
    ports: Mapping[str, Stored | None],
    requantiser: Requantiser = "float",
    accumulator: Accumulator | None = None,
    dividing: frozenset[str] = frozenset(),
) -> IntegerNetwork:
    """A checked `IntegerNetwork`. Raises `InputError` with every array that is missing or does not fit its format."""
    if requantiser not in get_args(Requantiser):
        raise InputError(f"requantiser = {requantiser!r} is not {' or '.join(get_args(Requantiser))}")
    inet = IntegerNetwork(
        network,
        MappingProxyType(dict(formats)),
        MappingProxyType(dict(weight_formats)),
        MappingProxyType(dict(ports)),
        requantiser,
        Accumulator() if accumulator is None else accumulator,
        dividing,
    )
    problems = [problem for node in network.nodes for problem in _node_problems(inet, node)]
    problems += [problem for port in (*network.inputs, *network.outputs) for problem in _port_problems(inet, port)]
    if problems:
        raise collected(problems)
    return inet


def _port_problems(inet: IntegerNetwork, port: Port) -> list[str]:
    """Several scales are along axes of a node's tensor, which a port may have in another order."""
    kind = inet.ports.get(port.name)
    if kind is None or kind.channels == 1 or kind == inet.formats.get(port.node):
        return []
    return [f"{inet.name}: {port.name} has {kind.channels} scales that its layer {port.node} has not"]


def _node_problems(inet: IntegerNetwork, node: Node) -> list[str]:
    net = inet.network
    place = f"{net.name}: {node.name}"
    arrays = inet.arrays(node)
    shapes = node.layer.weights(net.sources(node))
    problems = [f"{place}: {key} has no values" for key in shapes if key not in arrays]
    problems += [
        f"{place}: {key} has shape {tuple(arrays[key].shape)}, not {shape}"
        for key, shape in shapes.items()
        if key in arrays and tuple(arrays[key].shape) != tuple(shape)
    ]
    own = inet.formats.get(node.name)
    tensor = net.tensors[node.name]
    if own is not None and not own.fits((*tensor.spatial, tensor.channels)):
        problems.append(f"{place}: {own.channels} scales for {tensor.channels} channels")
    if not problems:
        problems += _array_problems(inet, node, arrays, place)
    return problems


def _array_problems(inet: IntegerNetwork, node: Node, arrays: Mapping[str, Array], place: str) -> list[str]:
    problems = []
    for key, array in arrays.items():
        kind = inet.weight_formats.get(f"{node.name}.{key}")
        if kind is None:
            continue
        try:
            kind.checked(f"{place}: {key}", array)
        except InputError as error:
            problems.append(str(error))
        channels = inet.network.tensors[node.name].channels
        if kind.channels not in (1, channels):
            problems.append(f"{place}: {key} has {kind.channels} scales for {channels} channels")
    return problems
