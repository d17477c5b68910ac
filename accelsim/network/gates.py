"""Gates, found by structure: operands of a multiply that wait for what is computed from them over space.

Wider than squeeze-excite (`attention`): it takes no weights and no bounded function, so that gates over neighbouring
channels (ECA), by maxima (CBAM) or over several branches are found too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.network.attention import pointwise_forest
from accelsim.network.graph import Network, Node
from accelsim.network.layers import Combine, Pool, Reduce


@dataclass(frozen=True, slots=True)
class Gate:
    """`map` is the operand of `multiply` that waits for the other, `gate`, which a reduction over space made of it."""

    multiply: str
    map: str
    gate: str


def find_gates(net: Network) -> tuple[Gate, ...]:
    """All gates of `net`, in topological order of their multiplies."""
    return _Finder(net).gates()


def reduces_space(net: Network, node: Node) -> bool:
    """Whether `node` gives one value for a tile of its map, or for all of it."""
    if not isinstance(node.layer, Pool | Reduce):
        return False
    before, after = net.sources(node)[0].pixels, net.tensors[node.name].pixels
    return after < before if isinstance(node.layer, Reduce) else after == 1 < before


class _Finder:
    """`roots` gives the tensor that a map is a point-wise function of; bit sets say what comes from what."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self._index = {node.name: position for position, node in enumerate(net.nodes)}
        self._parent, _ = pointwise_forest(net, net.constant_nodes)
        self._above: list[int] = []
        for position, node in enumerate(net.nodes):
            bits = 1 << position
            for name in node.inputs:
                bits |= self._above[self._index[name]]
            self._above.append(bits)
        reducing = (k for k, node in enumerate(net.nodes) if reduces_space(net, node))
        self._reductions = sum(1 << position for position in reducing)

    def gates(self) -> tuple[Gate, ...]:
        return tuple(gate for node in self._net.nodes for gate in self._at(node))

    def _at(self, node: Node) -> Iterator[Gate]:
        if not isinstance(node.layer, Combine) or node.layer.operation != "multiply":
            return
        moving = [name for name in dict.fromkeys(node.inputs) if name not in self._net.constant_nodes]
        for waiting in moving:
            if self._net.tensors[waiting].spatial != self._net.tensors[node.name].spatial:
                continue
            made = next((other for other in moving if other != waiting and self._reduced(waiting, other)), None)
            if made is not None:
                yield Gate(node.name, waiting, made)

    def _reduced(self, waiting: str, other: str) -> bool:
        """Whether `other` comes through a reduction from what `waiting` is a point-wise function of."""
        root = waiting
        while root in self._parent:
            root = self._parent[root]
        start, end = 1 << self._index[root], self._above[self._index[other]]
        found = end & self._reductions
        while found:
            reduction = found.bit_length() - 1
            if self._above[reduction] & start:
                return True
            found ^= 1 << reduction
        return False
