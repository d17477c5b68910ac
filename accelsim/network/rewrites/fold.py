"""Batch norms folded into the weights in front of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from accelsim.network.graph import Network, Node, network
from accelsim.network.layers import BatchNorm, TransposedConvolution, Weighted

Array = NDArray[np.generic]


def fold(net: Network) -> Network:
    """`net` with every batch norm that alone reads a convolution or dense layer made part of its weights and bias.

    With k = scale / sqrt(variance + epsilon), weights become weight * k an output channel and the bias
    (bias - mean) * k + shift, computed in double precision and stored in the weights' type. A folded layer
    keeps its name, gains a bias, and keeps arrays only if all that go into them are there. Layers that
    share weights but not the batch norm behind them own their weights afterwards.
    """
    folding = _Folding(net)
    if not folding.norms:
        return net
    nodes = folding.nodes()
    outputs = tuple(replace(port, node=folding.home.get(port.node, port.node)) for port in net.outputs)
    return network(net.name, nodes, outputs, net.inputs, folding.arrays(nodes))


class _Folding:
    """`home` gives, for each folded batch norm, the layer it goes into; `norms` the batch norms of each layer."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self.home: dict[str, str] = {}
        self.norms: dict[str, list[Node]] = {}
        for node in net.nodes:
            if isinstance(node.layer, BatchNorm):
                self._consider(node)

    def _consider(self, norm: Node) -> None:
        source = norm.inputs[0]
        layer = self.home.get(source, source)
        if source in self._net.output_nodes or len(self._net.consumers[source]) > 1:
            return
        if isinstance(self._net.by_name[layer].layer, Weighted):
            self.home[norm.name] = layer
            self.norms.setdefault(layer, []).append(norm)

    def nodes(self) -> list[Node]:
        heirs: dict[str, str] = {}
        kept = []
        for node in self._net.nodes:
            if node.name in self.home:
                continue
            owner = self._owner(node, heirs)
            inputs = tuple(self.home.get(name, name) for name in node.inputs)
            layer = node.layer
            if node.name in self.norms and isinstance(layer, Weighted):
                layer = replace(layer, bias=True)
            kept.append(Node(node.name, layer, inputs, owner))
        return kept

    def _owner(self, node: Node, heirs: dict[str, str]) -> str | None:
        """Whose weights `node` uses after folding; the first unfolded sharer inherits those of a folded owner."""
        if node.shares is None or self._same_norms(node.name, node.shares):
            return node.shares
        if node.name in self.norms:
            return None
        heir = heirs.setdefault(node.shares, node.name)
        return None if heir == node.name else heir

    def _same_norms(self, name: str, owner: str) -> bool:
        mine, theirs = ([(n.shares or n.name, n.layer) for n in self.norms.get(layer, [])] for layer in (name, owner))
        return mine == theirs

    def arrays(self, nodes: Sequence[Node]) -> dict[str, Array]:
        """All arrays after folding; those of layers that still share weights are left to their owners."""
        arrays = dict(self._net.parameters)
        shares = {node.name: node.shares for node in nodes}
        for name, norms in self.norms.items():
            folded = _folded(self._net.by_name[name], norms, self._net.parameters)
            for key in ("weight", "bias"):
                arrays.pop(f"{name}.{key}", None)
            if shares[name] is None:
                arrays |= {f"{name}.{key}": array for key, array in folded.items()}
        return arrays


def _folded(node: Node, norms: Sequence[Node], parameters: Mapping[str, Array]) -> dict[str, Array]:
    """Weight and bias of `node` with `norms` in them; nothing where an array is missing."""
    layer = node.layer
    assert isinstance(layer, Weighted)
    weight = parameters.get(f"{node.name}.weight")
    bias = parameters.get(f"{node.name}.bias") if layer.bias else np.zeros(layer.channels)
    if weight is None or bias is None:
        return {}
    kind, exact_weight, exact_bias = weight.dtype, weight.astype(np.float64), bias.astype(np.float64)
    for norm in norms:
        statistics = [parameters.get(f"{norm.name}.{key}") for key in ("scale", "shift", "mean", "variance")]
        present = [array.astype(np.float64) for array in statistics if array is not None]
        if len(present) < len(statistics):
            return {}
        scale, shift, mean, variance = present
        factor = scale / np.sqrt(variance + _epsilon(norm))
        exact_weight = exact_weight * _a_weight(layer, factor, weight.shape)
        exact_bias = (exact_bias - mean) * factor + shift
    return {"weight": exact_weight.astype(kind), "bias": exact_bias.astype(kind)}


def _epsilon(norm: Node) -> float:
    assert isinstance(norm.layer, BatchNorm)
    return norm.layer.epsilon


def _a_weight(layer: Weighted, factor: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """`factor`, one an output channel, in a shape that multiplies weights of `shape`."""
    taps = (1,) * (len(shape) - 2)
    if not isinstance(layer, TransposedConvolution):
        return factor.reshape(-1, 1, *taps)
    per_group = factor.reshape(layer.groups, -1)
    return per_group.repeat(shape[0] // layer.groups, axis=0).reshape(*shape[:2], *taps)
