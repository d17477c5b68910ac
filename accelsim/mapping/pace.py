"""How fast a stage fires on the engine it is on."""

from __future__ import annotations

from typing import NamedTuple

from accelsim.hardware.engine import SpatialEngine, SystolicEngine
from accelsim.mapping.unrolling import Unroll
from accelsim.mapping.work import LoopNest, fired_tensor, loop_nest
from accelsim.network.graph import Network, Node
from accelsim.network.layers import Convolution, Input, Product, TransposedConvolution
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
    return array_pace(engine, net.tensors[node.name], nest, channel_groups(node), alone)


def array_pace(engine: SystolicEngine, output: Tensor, nest: LoopNest, groups: int, alone: bool) -> Pace:
    """The pace on a systolic array of a layer that makes `output` in `groups` independent channel groups."""
    taps, outputs = nest.inputs * nest.window, nest.outputs // groups
    if alone:
        frame = groups * array_cycles(engine, output.pixels, taps, outputs)
        return Pace(ceil_div(frame, output.rows), output.row_pixels)
    return Pace(groups * array_cycles(engine, output.row_pixels, taps, outputs), output.row_pixels)


def channel_groups(node: Node) -> int:
    """Independent products that a layer with multiplications is made of."""
    layer = node.layer
    return layer.groups if isinstance(layer, Convolution | TransposedConvolution | Product) else 1


def array_cycles(engine: SystolicEngine, pixels: int, taps: int, outputs: int) -> int:
    """Cycles of a product of `pixels` x `taps` by `taps` x `outputs` on a systolic array.

    It is cut into folds of the array's R x C. A fold takes T + R + C - 2 cycles where outputs stay (T the
    taps), and T + 2R + C - 2 where weights (T the pixels) or inputs (T the outputs) are loaded first
    (SCALE-Sim v2, Samajdar et al., ISPASS 2020); folds follow each other without overlap.
    """
    rows, columns, stream = {
        "output-stationary": (pixels, outputs, taps),
        "weight-stationary": (taps, outputs, pixels),
        "input-stationary": (taps, pixels, outputs),
    }[engine.dataflow]
    fill = engine.rows + engine.columns - 2 + (0 if engine.dataflow == "output-stationary" else engine.rows)
    return ceil_div(rows, engine.rows) * ceil_div(columns, engine.columns) * (stream + fill)
