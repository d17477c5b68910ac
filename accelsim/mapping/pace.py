"""How fast a stage fires on the engine it is on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from accelsim.hardware.engine import SpatialEngine, SystolicEngine
from accelsim.mapping.array import Folding
from accelsim.mapping.unrolling import Unroll
from accelsim.mapping.work import fired_tensor, loop_nest
from accelsim.network.graph import Network, Node
from accelsim.network.layers import Input
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div, divisors


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
    sources = net.sources(node)
    streams = (*(sources[k] for k in operands), net.tensors[node.name])
    return _moving_pace(fired_tensor(net, node), streams, isinstance(node.layer, Input), lanes)


@lru_cache(maxsize=4096)
def _moving_pace(fired: Tensor, streams: tuple[Tensor, ...], is_source: bool, lanes: int) -> Pace:
    row_cycles = ceil_div(fired.row_pixels * fired.channels, lanes)
    for together in reversed(divisors(fired.row_pixels)):
        cycles = max(ceil_div(t.elements * together, fired.pixels * lanes) for t in streams)
        if cycles == 1 and is_source and fired.row_pixels > 2 * together * row_cycles:
            return Pace(row_cycles, fired.row_pixels)
        if cycles == 1:
            return Pace(1, together)
    return Pace(max(ceil_div(t.pixels * ceil_div(t.channels, lanes), fired.pixels) for t in streams), 1)


def moving_work_cycles(net: Network, node: Node, operands: tuple[int, ...], lanes: int) -> int:
    """Cycles a frame of such a stage."""
    pace = moving_pace(net, node, operands, lanes)
    return fired_tensor(net, node).pixels // pace.together * pace.interval_cycles


def stage_pace(
    net: Network,
    node: Node,
    operands: tuple[int, ...],
    engine: SpatialEngine | SystolicEngine,
    unroll: Unroll | None,
    foldings: Sequence[Folding],
) -> Pace:
    """The pace of a stage; on a systolic array, where it has `foldings`, that of whole rows."""
    nest = loop_nest(net, node)
    if nest is None:
        return moving_pace(net, node, operands, engine.lanes)
    if foldings:
        return array_pace(foldings, net.tensors[node.name])
    assert unroll is not None
    return Pace(nest.macs // (unroll.inputs * unroll.outputs * unroll.window), unroll.pixels)


def array_pace(foldings: Iterable[Folding], output: Tensor) -> Pace:
    """The pace on a systolic array of a layer that makes `output`: its cycles spread over the rows, rounded up."""
    return Pace(ceil_div(sum(folding.compute_cycles for folding in foldings), output.rows), output.row_pixels)
