"""Maps that wait for a gate computed a second time, from a smaller tensor that waits instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from accelsim.errors import InputError
from accelsim.network.attention import pointwise_forest
from accelsim.network.gates import Gate, find_gates, reduces_space
from accelsim.network.graph import Network, Node, rebuilt
from accelsim.network.layers import (
    Activation,
    BatchNorm,
    ChannelPool,
    Combine,
    Convolution,
    Dense,
    LocalNorm,
    Normalise,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Softmax,
    TransposedConvolution,
)

#: Layers that need a few rows of their input at a time, so that nothing waits where they are computed again.
LOCAL = (
    Activation, BatchNorm, ChannelPool, Combine, Convolution, Dense, LocalNorm, Normalise, Pad, Pool, PRelu, Resize,
    Slice, Softmax, TransposedConvolution,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What waits for a gate in place of its map: `held`, from which the layers `again` make the map a second time."""

    gate: Gate
    held: str
    again: tuple[str, ...]


def recompute_attention(net: Network, count: int | None = None) -> Network:
    """`net` with the maps that wait for a gate computed a second time when the gate is there.

    Of the tensors from which a map follows by local layers alone, that one waits instead which takes least room
    together with the weights that are there twice (the input of an inverted bottleneck, before its expansion); one
    that waits for the same multiply anyway, as an identity skip does, takes none of its own. The layers from there
    to the map are there twice, the copies named `<layer>.again`: they share weights and see the same values, so that
    results are the same bits. The first computation feeds the gate, the second the multiply and whatever else reads
    the map behind it. Maps for which that takes no less room stay as they are, as those of deep layers with many
    weights do. Only the first `count` gates change if it is given. Raises `InputError` for a negative `count`.
    """
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 0):
        raise InputError(f"recompute_attention: count = {count!r} must be an integer of at least 0")
    plans = recomputed_maps(net)[:count]
    return _Copying(net, plans).rewritten() if plans else net


def recomputed_maps(net: Network) -> tuple[Recomputed, ...]:
    """What `recompute_attention` computes twice, a gate each, in topological order of their multiplies."""
    chains = _Chains(net)
    plans = (chains.best(gate) for gate in find_gates(net))
    return tuple(plan for plan in plans if plan is not None)


class _Chains:
    """Ways back from a map over layers that are local, and read one tensor or are point-wise functions of one."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self._position = {node.name: index for index, node in enumerate(net.nodes)}
        self._parent, _ = pointwise_forest(net, net.constant_nodes)

    def best(self, gate: Gate) -> Recomputed | None:
        """From the tensor that takes least room, of several the nearest to the map; None where that is the map."""
        behind = self._behind(gate.multiply)
        held = min(self._sources(gate.map), key=lambda name: self._room(name, gate.map, behind))
        if held == gate.map:
            return None
        return Recomputed(gate, held, self._between(held, gate.map))

    def _room(self, name: str, waiting: str, behind: set[str]) -> int:
        """Elements that wait if `name` does, and weights of the layers from there to `waiting`."""
        weights = sum(self._net.parameters_of(self._net.by_name[layer]) for layer in self._between(name, waiting))
        waits_anyway = name != waiting and not behind.isdisjoint(self._net.consumers[name])
        return weights + (0 if waits_anyway else self._net.tensors[name].elements)

    def _sources(self, name: str) -> Iterator[str]:
        """`name` and the tensors it can be computed from, nearest first."""
        above: str | None = name
        while above is not None:
            yield above
            above = self._above(self._net.by_name[above])

    def _above(self, node: Node) -> str | None:
        if not isinstance(node.layer, LOCAL) or reduces_space(self._net, node) or _over_space(node):
            return None
        if node.name in self._parent:
            return self._parent[node.name]
        moving = {name for name in node.inputs if name not in self._net.constant_nodes}
        return moving.pop() if len(moving) == 1 else None

    def _between(self, held: str, waiting: str) -> tuple[str, ...]:
        """The nodes from `held` (without it) to `waiting`, in topological order."""
        found: set[str] = set()
        stack = [waiting]
        while stack:
            name = stack.pop()
            if name not in found and name != held and name not in self._net.constant_nodes:
                found.add(name)
                stack += self._net.by_name[name].inputs
        return tuple(sorted(found, key=self._position.__getitem__))

    def _behind(self, multiply: str) -> set[str]:
        """`multiply` and all that comes from it."""
        found = {multiply}
        for node in self._net.nodes[self._position[multiply] + 1 :]:
            if not found.isdisjoint(node.inputs):
                found.add(node.name)
        return found


def _over_space(node: Node) -> bool:
    """Whether a layer that normalises needs all of its map first."""
    return isinstance(node.layer, Normalise | Softmax) and node.layer.over != "channels"


class _Copying:
    """Copies of layers, and readers that wait for a gate pointed at them. Gates on one map have one copy of it."""

    def __init__(self, net: Network, plans: Sequence[Recomputed]) -> None:
        self._net = net
        self._plans = plans
        self._nodes = {node.name: node for node in net.nodes}
        self._second: dict[tuple[str, str], str] = {}

    def rewritten(self) -> Network:
        for plan in self._plans:
            waiting = plan.gate.map
            second = self._second.get((plan.held, waiting)) or self._copied(plan)
            for name in self._readers_behind(plan.gate):
                node = self._nodes[name]
                inputs = tuple(second if source == waiting else source for source in node.inputs)
                self._nodes[name] = replace(node, inputs=inputs)
        return rebuilt(self._net, tuple(self._nodes.values()))

    def _copied(self, plan: Recomputed) -> str:
        """The copy of a plan's map, made by copies of all its layers."""
        copies: dict[str, str] = {}
        for name in plan.again:
            node = self._net.by_name[name]
            copies[name] = copy = self._free_name(name)
            shares = node.shares or (name if node.layer.weights(self._net.sources(node)) else None)
            inputs = tuple(copies.get(source, source) for source in node.inputs)
            self._nodes[copy] = Node(copy, node.layer, inputs, shares)
        self._second[plan.held, plan.gate.map] = copies[plan.gate.map]
        return copies[plan.gate.map]

    def _free_name(self, name: str) -> str:
        while name in self._nodes:
            name += ".again"
        return name

    def _readers_behind(self, gate: Gate) -> list[str]:
        """The multiply, and what else reads its map and comes after it."""
        found = {gate.multiply}
        readers = []
        for node in self._net.nodes:
            if node.name == gate.multiply or not found.isdisjoint(node.inputs):
                found.add(node.name)
                if gate.map in node.inputs:
                    readers.append(node.name)
        return readers
