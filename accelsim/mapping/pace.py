"""How fast a stage fires on the engine it is on."""

from __future__ import annotations

from typing import NamedTuple

from accelsim.hardware.engine import SpatialEngine, SystolicEngine
from accelsim.mapping.unrolling import Unroll
from accelsim.mapping.work import fired_tensor, loop_nest
from accelsim.network.graph import Network, Node
from accelsim.network.layers import Convolution, Input, Product, TransposedConvolution
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


def stage_pace(
    net: Network,
    node: Node,
    operands: tuple[int, ...],
    engine: SpatialEngine | SystolicEngine,
    unroll: Unroll | None,
    alone: bool,
) -> Pace:
    """The pace of a stage; on a systolic array that of whole rows.

    A layer that has the array to itself (`alone`) folds all its pixels, and its cycles are spread over its rows,
    rounded up; one that takes turns folds the pixels of one row.
    """
    nest = loop_nest(net, node)
    if nest is None:
        return moving_pace(net, node, operands, engine.lanes)
    if isinstance(engine, SpatialEngine):
        assert unroll is not None
        return Pace(nest.macs // (unroll.inputs * unroll.outputs * unroll.window), unroll.pixels)
    output = net.tensors[node.name]
    if alone:
        return Pace(ceil_div(array_cycles(net, node, engine, output.pixels), output.rows), output.row_pixels)
    return Pace(array_cycles(net, node, engine, output.row_pixels), output.row_pixels)


def array_cycles(net: Network, node: Node, engine: SystolicEngine, pixels: int) -> int:
    """Cycles for `pixels` output pixels of a layer with multiplications on a systolic array.

    The layer is a product of M pixels x K taps by K taps x N outputs, once a channel group, cut into
    folds of the array's R x C. A fold takes T + R + C - 2 cycles where outputs stay, T the K taps, and
    T + 2R + C - 2 where weights (T the M pixels) or inputs (T the N outputs) are loaded first
    (SCALE-Sim v2, Samajdar et al., ISPASS 2020); folds follow each other without overlap.
    """
    nest = loop_nest(net, node)
    assert nest is not None
    layer = node.layer
    groups = layer.groups if isinstance(layer, Convolution | TransposedConvolution | Product) else 1
    taps, outputs = nest.inputs * nest.window, nest.outputs // groups
    rows, columns, stream = {
        "output-stationary": (pixels, outputs, taps),
        "weight-stationary": (taps, outputs, pixels),
        "input-stationary": (taps, pixels, outputs),
    }[engine.dataflow]
    fill = engine.rows + engine.columns - 2 + (0 if engine.dataflow == "output-stationary" else engine.rows)
    return groups * ceil_div(rows, engine.rows) * ceil_div(columns, engine.columns) * (stream + fill)
