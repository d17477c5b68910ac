"""How much a stage has to do for one output pixel, and along which axes that can be unrolled."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from accelsim.network.graph import Network, Node
from accelsim.network.layers import Convolution, Dense, Input, Product, Reduce, TransposedConvolution
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div, divisors


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


class Pace(NamedTuple):
    """A stage fires `together` pixels of a row in `interval_cycles`."""

    interval_cycles: int
    together: int


def moving_pace(net: Network, node: Node, operands: tuple[int, ...], lanes: int) -> Pace:
    """The pace of a stage that only moves elements, `lanes` of them a cycle.

    What is slower counts: the output, or any of the `operands` that arrive during the frame. Where a
    pixel is narrower than the lanes, as many as divide the row and fit go together in one cycle. A source
    whose rows divide too badly for that offers whole rows.
    """
    fired = fired_tensor(net, node)
    sources = net.sources(node)
    streams = [sources[k] for k in operands] + [net.tensors[node.name]]
    row_cycles = ceil_div(fired.row_pixels * fired.channels, lanes)
    for together in reversed(divisors(fired.row_pixels)):
        cycles = max(ceil_div(t.elements * together, fired.pixels * lanes) for t in streams)
        if cycles == 1 and isinstance(node.layer, Input) and fired.row_pixels > 2 * together * row_cycles:
            return Pace(row_cycles, fired.row_pixels)
        if cycles == 1:
            return Pace(1, together)
    return Pace(max(ceil_div(t.pixels * ceil_div(t.channels, lanes), fired.pixels) for t in streams), 1)


def moving_work_cycles(net: Network, node: Node, operands: tuple[int, ...], lanes: int) -> int:
    """Cycles a frame of such a stage."""
    pace = moving_pace(net, node, operands, lanes)
    return fired_tensor(net, node).pixels // pace.together * pace.interval_cycles
