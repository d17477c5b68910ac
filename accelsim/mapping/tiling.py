"""Which part of every map a tile of a segment takes.

A tile of the segment's last output is carried back through the windows of its layers. With the halo recomputed
every stage makes all that its readers need of it for this tile; with the halo cached only what the tiles before
have not made.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from accelsim.errors import InputError
from accelsim.mapping.design import Design, Stage
from accelsim.mapping.segment import Segment
from accelsim.network.layers import Product, Rearrange, Reduce
from accelsim.network.reach import spans
from accelsim.units import ceil_div

#: Tiles a frame at most; more are a slip of the pen.
MOST_TILES = 4096


_spans = lru_cache(maxsize=2048)(spans)


class Range(NamedTuple):
    """From `begin` up to, not including, `end`."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


class Cut(NamedTuple):
    """One tile along one axis.

    What is made or loaded of each map, what of it is stored where others need it, and how much was kept from the
    tiles before. What is not in `made` has nothing to do for this tile.
    """

    made: dict[str, Range]
    stored: dict[str, Range]
    kept: dict[str, int]


def cuts(design: Design, segment: Segment, stages: Sequence[Stage], axis: int) -> list[Cut]:
    """The tiles along `axis` (0 rows, 1 columns) by stage, and by stages outside the segment that these read.

    What is read from memory passes as a whole: points that no window needs come with the next tile, or the last.
    Raises `InputError` for what cannot be tiled, with the layers that stand in the way.
    """
    size = (segment.tile.rows, segment.tile.columns)[axis]
    whole = {name: Range(0, sizes[axis]) for name, sizes in _maps(design, stages).items() if len(sizes) > axis}
    last = stages[-1].name
    if size is None or (last in whole and size >= whole[last].end):
        return [Cut(whole, whole, {})]
    _check(design, segment, stages, axis)
    extent = whole[last].end
    count = ceil_div(extent, size)
    if count > MOST_TILES:
        raise InputError(f"{named(segment)} has {count:,} tiles along an axis; the most is {MOST_TILES:,}")
    sinks = crossing(design, stages)
    tiles: list[Cut] = []
    done = dict.fromkeys(whole, 0) if segment.halo == "cache" else {}
    inside = {stage.name for stage in stages}
    passed = {name: 0 for name in whole if name not in inside}
    for k in range(count):
        begin, end = k * size, min((k + 1) * size, extent)
        wanted = {name: Range(begin * whole[name].end // extent, end * whole[name].end // extent) for name in sinks}
        wanted = {name: part for name, part in wanted.items() if part.size > 0}
        made, needed = _carried_back(design, stages, axis, wanted, done)
        for name in passed.keys() & made.keys():
            part = made[name]
            made[name] = Range(min(part.begin, passed[name]), whole[name].end if k + 1 == count else part.end)
            passed[name] = max(passed[name], made[name].end)
        if segment.halo != "cache":
            tiles.append(Cut(made, wanted, {}))
            continue
        new = {name: Range(done[name], part.end) for name, part in made.items() if part.end > done[name]}
        kept = {name: done[name] - first for name, first in needed.items() if first < done[name]}
        tiles.append(Cut(new, new, kept))
        done |= {name: part.end for name, part in new.items()}
    return tiles


def crossing(design: Design, stages: Sequence[Stage]) -> list[str]:
    """Stages of a segment whose maps others, or the network's outputs, need."""
    inside = {stage.name for stage in stages}
    read = {edge.producer for edge in design.edges if edge.producer in inside and edge.consumer not in inside}
    return [stage.name for stage in stages if stage.name in read or stage.name in design.output_stages]


def _maps(design: Design, stages: Sequence[Stage]) -> dict[str, tuple[int, ...]]:
    """Space of every map that a segment makes or reads, by the stage that makes it."""
    made = {stage.name: stage.tensor.spatial for stage in stages}
    inside = set(made)
    return made | {
        edge.producer: edge.tensor.spatial
        for edge in design.edges
        if edge.consumer in inside - {edge.producer} and edge.producer not in inside
    }


def _carried_back(
    design: Design, stages: Sequence[Stage], axis: int, wanted: dict[str, Range], done: dict[str, int]
) -> tuple[dict[str, Range], dict[str, int]]:
    """What of each map is needed for the maps `wanted`, and the first point that any reader needs.

    Up to `done` a map has been made before.
    """
    made: dict[str, Range] = dict(wanted)
    needed: dict[str, int] = {}
    for stage in reversed(stages):
        if stage.name not in made:
            continue
        node = stage.group.node
        part = Range(max(made[stage.name].begin, done.get(stage.name, 0)), made[stage.name].end)
        if part.size <= 0:
            continue
        inputs, output = design.network.sources(node), design.network.tensors[node.name]
        for operand, producer in stage.group.operands:
            span = _spans(node.layer, operand, inputs, output)[axis]
            read = Range(int(span.first[part.begin : part.end].min()), int(span.last[part.begin : part.end].max()) + 1)
            if read.size <= 0:
                continue
            before = made.get(producer, read)
            made[producer] = Range(min(before.begin, read.begin), max(before.end, read.end))
            needed[producer] = min(needed.get(producer, read.begin), read.begin)
    return made, needed


def spatial_axes(design: Design, stages: Sequence[Stage]) -> int:
    """Axes along which stages can be cut: 2, or 1 for maps of positions, or none."""
    ranks = {len(sizes) for sizes in _maps(design, stages).values()}
    return ranks.pop() if ranks in ({2}, {1}) and not _mixing(stages) else 0


def _mixing(stages: Sequence[Stage]) -> list[str]:
    """Stages of which a point needs the whole of a map."""
    return [stage.name for stage in stages if isinstance(stage.group.node.layer, Reduce | Rearrange | Product)]


def _check(design: Design, segment: Segment, stages: Sequence[Stage], axis: int) -> None:
    along, mixing = ("rows", "columns")[axis], _mixing(stages)
    if mixing:
        raise InputError(
            f"{named(segment)}: {', '.join(mixing)} cannot be tiled by {along}: what they make needs it all"
        )
    if spatial_axes(design, stages) <= axis:
        ranks = sorted({len(sizes) for sizes in _maps(design, stages).values()})
        raise InputError(f"{named(segment)} cannot be tiled by {along}: its maps have {ranks} axes")
    if segment.halo != "reread":
        return
    inside = {stage.name for stage in stages}
    for stage in stages:
        node = stage.group.node
        inputs, output = design.network.sources(node), design.network.tensors[node.name]
        for operand, producer in stage.group.operands:
            span = _spans(node.layer, operand, inputs, output)[axis]
            if producer in inside and np.any(span.last[:-1] >= span.first[1:]):
                raise InputError(
                    f"{named(segment)}: halo reread: {stage.name} looks over the edge of a tile of {producer}, "
                    "which is in no memory; use halo recompute or cache"
                )


def named(segment: Segment) -> str:
    """A segment's name in messages and reports."""
    return f"segment {segment.layers[0]}" + (f" .. {segment.layers[-1]}" if len(segment.layers) > 1 else "")
