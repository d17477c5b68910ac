"""How much a stage has to do for one output pixel, and along which axes that can be unrolled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

from accelsim.network.graph import Network, Node, once_a_network
from accelsim.network.layers import Convolution, Dense, Product, Reduce, TransposedConvolution
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div


@dataclass(frozen=True, slots=True)
class LoopNest:
    """Multiplications of one output pixel as inputs x outputs x window; `pixels` pixels of a row can go together.

    An unrolling takes a divisor of each of the four.
    """

    inputs: int
    outputs: int
    window: int
    pixels: int

    @property
    def macs(self) -> int:
        """Multiplications of one output pixel."""
        return self.inputs * self.outputs * self.window


def loop_nest(net: Network, node: Node) -> LoopNest | None:
    """The loops of a layer that multiplies by weights or by a stationary operand; None for all others."""
    return _loop_nests(net).get(node.name)


@once_a_network
def _loop_nests(net: Network) -> Mapping[str, LoopNest]:
    nests = {node.name: nest for node in net.nodes if (nest := _loops(net, node)) is not None}
    return MappingProxyType(nests)


def _loops(net: Network, node: Node) -> LoopNest | None:
    layer, output = node.layer, net.tensors[node.name]
    if isinstance(layer, Convolution):
        inputs = net.sources(node)[0].channels // layer.groups
        return LoopNest(inputs, layer.channels, prod(layer.kernel), output.row_pixels)
    if isinstance(layer, TransposedConvolution):
        inputs = net.sources(node)[0].channels // layer.groups
        taps = prod(ceil_div(k, s) for k, s in zip(layer.kernel, layer.stride, strict=True))
        return LoopNest(inputs, layer.channels, taps, output.row_pixels)
    if isinstance(layer, Dense):
        return LoopNest(net.sources(node)[0].channels, layer.channels, 1, output.row_pixels)
    if isinstance(layer, Product):
        return LoopNest(net.sources(node)[0].channels // layer.groups, output.channels, 1, output.row_pixels)
    return None


def fired_tensor(net: Network, node: Node) -> Tensor:
    """The tensor whose pixels a stage fires for: its output, or what a reduction accumulates."""
    return net.sources(node)[0] if isinstance(node.layer, Reduce) else net.tensors[node.name]
