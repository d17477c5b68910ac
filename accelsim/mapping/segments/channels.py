"""Tiles over the channels of one convolution or dense layer: how fast a tile is, and what weights it takes."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from math import gcd

from accelsim.hardware.engine import SystolicEngine
from accelsim.mapping.array import Folding, channel_foldings, channel_groups
from accelsim.mapping.design import Design, Stage
from accelsim.mapping.movers import weight_bytes
from accelsim.mapping.pace import array_pace
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.shares import shares
from accelsim.mapping.unrolling import Unroll, multiplier_choices, unroll
from accelsim.mapping.work import LoopNest, loop_nest
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div, divisors


@dataclass(frozen=True, slots=True)
class ChannelTile:
    """A tile of output and input channels, as counts, and its place among the tiles of its outputs.

    `reads_again` where an earlier tile has read the same inputs; `first` and `last` of those whose partial sums
    add up to the same outputs.
    """

    outputs: int
    inputs: int
    weight_bytes: int
    reads_again: bool
    first: bool
    last: bool


def channel_tiles(design: Design, segment: Segment, stage: Stage) -> list[ChannelTile]:
    """The tiles of a segment of one stage, in the order in which they run."""
    nest = loop_nest(design.network, stage.group.node)
    assert nest is not None
    groups = channel_groups(stage.group.node)
    outputs = _split(nest.outputs, segment.tile.outputs)
    inputs = _split(nest.inputs, segment.tile.inputs)
    total = weight_bytes(design, stage)
    tiles: list[ChannelTile] = []
    done, given = 0, 0
    for k, out in enumerate(outputs):
        for i, taken in enumerate(inputs):
            done += out * taken
            share = total * done // (nest.outputs * nest.inputs)
            again = groups == 1 and k > 0
            tiles.append(ChannelTile(out, taken, share - given, again, i == 0, i == len(inputs) - 1))
            given = share
    return tiles


def _split(size: int, tile: int | None) -> list[int]:
    tile = min(tile or size, size)
    return [min(tile, size - begin) for begin in range(0, size, tile)]


def tile_unroll(nest: LoopNest, tile: Tile, multipliers: int) -> Unroll:
    """The unrolling with most of `multipliers` for tiles of a layer's channels: each factor divides them too."""
    inputs, outputs = gcd(nest.inputs, tile.inputs or 0), gcd(nest.outputs, tile.outputs or 0)
    part = replace(nest, inputs=inputs, outputs=outputs)
    choices = multiplier_choices(part)
    return unroll(part, choices[bisect_right(choices, multipliers) - 1])


def narrowed(design: Design, stage: Stage, tile: ChannelTile) -> Stage:
    """`stage` for a tile of its channels, unrolled as far as its unrolling still divides the loops that are left."""
    nest = loop_nest(design.network, stage.group.node)
    assert nest is not None
    pooled = nest.outputs // stage.tensor.channels
    part = replace(nest, inputs=tile.inputs, outputs=tile.outputs)
    engine, factors = design.accelerator.engine, stage.unroll
    groups = channel_groups(stage.group.node) * tile.outputs // nest.outputs or 1
    foldings: tuple[Folding, ...] = ()
    if isinstance(engine, SystolicEngine):
        pixels = shares(design.network, stage.group.node, stage.fired, part, stage.port is None)
        foldings = channel_foldings(engine, part, groups, pixels, not tile.first)
    measured = design.mapping.measured.get(stage.name)
    if measured and measured.interval_cycles:
        interval = ceil_div(stage.interval_cycles * part.macs, nest.macs)
    elif foldings:
        interval = array_pace(foldings, stage.fired).interval_cycles
    else:
        assert factors is not None
        inputs, outputs = _fitting(tile.inputs, factors.inputs), _fitting(tile.outputs, factors.outputs)
        factors = replace(factors, inputs=inputs, outputs=outputs)
        interval = part.macs // (inputs * outputs * factors.window)
    return replace(
        stage,
        tensor=Tensor(ceil_div(tile.outputs, pooled), stage.tensor.spatial),
        fired=Tensor(tile.outputs, stage.fired.spatial),
        macs=stage.macs * tile.inputs * tile.outputs // (nest.inputs * nest.outputs),
        unroll=factors,
        interval_cycles=interval,
        foldings=foldings,
    )


def input_channels(stage: Stage, tile: ChannelTile, tensor: Tensor, outputs: int) -> int:
    """Channels of the input map `tensor` that a tile reads; with channel groups, those of its own groups."""
    if channel_groups(stage.group.node) == 1:
        return tile.inputs
    return tensor.channels * tile.outputs // outputs


def _fitting(size: int, factor: int) -> int:
    """Largest divisor of `size` that is no more than `factor`."""
    return max(d for d in divisors(size) if d <= factor)
