"""The layers just read, while patterns of several are replaced by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from accelsim.network.graph import Node
from accelsim.network.layers import Constant
from accelsim.network.readers.onnx.tensors import Array
from accelsim.network.tensor import Tensor


class Rewriting:
    """Nodes by name with their readers; what nothing reads any more is taken out at once."""

    def __init__(
        self,
        nodes: Mapping[str, Node],
        tensors: Mapping[str, Tensor],
        parameters: Mapping[str, Array],
        outputs: set[str],
    ) -> None:
        self.nodes = dict(nodes)
        self.tensors = dict(tensors)
        self.parameters = dict(parameters)
        self.outputs = set(outputs)
        #: Nodes that others took the place of, by name.
        self.replaced: dict[str, str] = {}
        self._positions = {name: position for position, name in enumerate(nodes)}
        self._readers: dict[str, dict[str, None]] = {name: {} for name in nodes}
        for node in nodes.values():
            for source in node.inputs:
                self._readers[source][node.name] = None

    def position(self, name: str) -> int:
        """Place of a node in the order of the file."""
        return self._positions[name]

    def readers(self, name: str) -> tuple[str, ...]:
        return tuple(self._readers[name])

    def sole_reader(self, name: str) -> bool:
        """Whether one node alone needs this one."""
        return len(self._readers[name]) == 1 and name not in self.outputs

    def scalar(self, name: str) -> float | None:
        """The number a constant of one element holds."""
        array = self.constant(name)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None

    def constant(self, name: str) -> Array | None:
        if not isinstance(self.nodes[name].layer, Constant):
            return None
        return self.parameters.get(f"{name}.value")

    def per_channel(self, name: str, channels: int) -> Array | None:
        """A constant with one number a channel and no space, as a vector."""
        array = self.constant(name)
        if array is None or self.tensors[name] != Tensor(channels):
            return None
        return array

    def replace(self, node: Node, arrays: Mapping[str, Array] | None = None) -> None:
        """Put a node in the place of the one with its name; its shape stays."""
        before = self.nodes[node.name].inputs
        self.nodes[node.name] = node
        for source in node.inputs:
            self._readers[source][node.name] = None
        for source in set(before) - set(node.inputs):
            self._readers[source].pop(node.name, None)
            self._drop_unread(source)
        for key, array in (arrays or {}).items():
            self.parameters[f"{node.name}.{key}"] = array

    def supersede(self, name: str, by: str) -> None:
        """Let all that read `name` read `by` instead, the network's outputs included."""
        for reader in self.readers(name):
            node = self.nodes[reader]
            inputs = tuple(by if source == name else source for source in node.inputs)
            self.nodes[reader] = replace(node, inputs=inputs)
            self._readers[by][reader] = None
        self._readers[name].clear()
        if name in self.outputs:
            self.outputs = self.outputs - {name} | {by}
        self.replaced[name] = by
        self._drop_unread(name)

    def _drop_unread(self, name: str) -> None:
        stack = [name]
        while stack:
            current = stack.pop()
            if current not in self.nodes or self._readers[current] or current in self.outputs:
                continue
            if not self.nodes[current].inputs and not isinstance(self.nodes[current].layer, Constant):
                continue
            for source in self.nodes.pop(current).inputs:
                self._readers[source].pop(current, None)
                stack.append(source)
