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
from accelsim.mapping.segments.segment import Segment
from accelsim.network.layers import Inputs, Layer, Product, Rearrange, Reduce
from accelsim.network.reach import spans
from accelsim.network.tensor import Tensor
from accelsim.network.window import Coordinates
from accelsim.units import ceil_div

#: Tiles a frame at most; more are a slip of the pen.
MOST_TILES = 4096
#: Beyond the end of any axis.
NOWHERE = 2**62


_spans = lru_cache(maxsize=2048)(spans)

#: Begin and end of a range, of each of several tiles.
Bounds = tuple[Coordinates, Coordinates]


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


class Ranges(NamedTuple):
    """All tiles along one axis, by stage: the begin and end of what each makes or loads, and of what it stores.

    Where an end is not beyond its begin a tile has nothing to do with a map. `kept` are points from the tiles before.
    """

    made: dict[str, Bounds]
    stored: dict[str, Bounds]
    kept: dict[str, Coordinates]
    tiles: int


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
    count = ceil_div(whole[last].end, size)
    if count > MOST_TILES:
        raise InputError(f"{named(segment)} has {count:,} tiles along an axis; the most is {MOST_TILES:,}")
    tiles = ranges(design, stages, axis, size, segment.halo == "cache")
    return [
        Cut(_tile(tiles.made, k), _tile(tiles.stored, k), {p: int(n[k]) for p, n in tiles.kept.items() if n[k] > 0})
        for k in range(count)
    ]


def _tile(parts: dict[str, Bounds], k: int) -> dict[str, Range]:
    return {name: Range(int(b[k]), int(e[k])) for name, (b, e) in parts.items() if e[k] > b[k]}


def ranges(design: Design, stages: Sequence[Stage], axis: int, size: int, is_cached: bool) -> Ranges:
    """The tiles of `size` along an axis that the stages' maps have, all of them at once."""
    extents = {name: sizes[axis] for name, sizes in _maps(design, stages).items()}
    extent = extents[stages[-1].name]
    count = ceil_div(extent, size)
    edges = np.minimum(np.arange(count + 1, dtype=np.int64) * size, extent)
    wanted = {
        name: (edges[:-1] * extents[name] // extent, edges[1:] * extents[name] // extent)
        for name in crossing(design, stages)
    }
    made = dict(wanted)
    needed: dict[str, Coordinates] = {}
    for stage in reversed(stages):
        if stage.name not in made:
            continue
        node, (begin, end) = stage.group.node, made[stage.name]
        begin = np.maximum(begin, _before(begin, end)) if is_cached else begin
        inputs, output = design.network.sources(node), design.network.tensors[node.name]
        for operand, producer in stage.group.operands:
            read = _read(_reach(node.layer, operand, inputs, output, axis), begin, end)
            made[producer] = _hull(made[producer], read) if producer in made else read
            first = np.where(read[1] > read[0], read[0], extents[producer])
            needed[producer] = np.minimum(needed[producer], first) if producer in needed else first
    inside = {stage.name for stage in stages}
    made |= {name: _passing(part, extents[name]) for name, part in made.items() if name not in inside}
    if not is_cached:
        return Ranges(made, wanted, {}, count)
    done = {name: _before(*part) for name, part in made.items()}
    new = {name: (done[name], np.where(end > begin, end, done[name])) for name, (begin, end) in made.items()}
    kept = {name: np.maximum(done[name] - first, 0) for name, first in needed.items()}
    return Ranges(new, new, kept, count)


def _before(begin: Coordinates, end: Coordinates) -> Coordinates:
    """Up to where the tiles before each have been."""
    reached = np.maximum.accumulate(np.where(end > begin, end, 0))
    return np.concatenate([[0], reached[:-1]])


def _hull(part: Bounds, other: Bounds) -> Bounds:
    """What covers both of two ranges, of each tile; an empty one adds nothing."""
    (begin, end), (low, high) = part, other
    neither, only = end <= begin, high <= low
    first = np.where(neither, low, np.where(only, begin, np.minimum(begin, low)))
    return first, np.where(neither, high, np.where(only, end, np.maximum(end, high)))


class _Reach(NamedTuple):
    """First and last input that each output along an axis reads, nowhere where its window lies in the padding.

    `onwards` is the first that it or a later output reads, `so_far` the last that it or an earlier one has read,
    where later outputs never go back.
    """

    first: Coordinates
    last: Coordinates
    onwards: Coordinates | None
    so_far: Coordinates | None


@lru_cache(maxsize=2048)
def _reach(layer: Layer, operand: int, inputs: Inputs, output: Tensor, axis: int) -> _Reach:
    span = _spans(layer, operand, inputs, output)[axis]
    reads = span.last >= span.first
    first, last = np.where(reads, span.first, NOWHERE), np.where(reads, span.last, -1)
    if np.any(np.diff(first[reads]) < 0) or np.any(np.diff(last[reads]) < 0):
        return _Reach(first, last, None, None)
    return _Reach(first, last, np.minimum.accumulate(first[::-1])[::-1], np.maximum.accumulate(last))


def _read(reach: _Reach, begin: Coordinates, end: Coordinates) -> Bounds:
    """The range of an input that the range of each tile reads."""
    works = end > begin
    low, high = np.where(works, begin, 0), np.where(works, end, 1)
    if reach.onwards is not None and reach.so_far is not None:
        from_here, up_to_here = reach.onwards[low], reach.so_far[high - 1]
    else:
        from_here = np.array([reach.first[b:e].min() for b, e in zip(low, high, strict=True)], np.int64)
        up_to_here = np.array([reach.last[b:e].max() for b, e in zip(low, high, strict=True)], np.int64)
    return from_here, np.where(works, up_to_here + 1, from_here)


def _passing(part: Bounds, extent: int) -> Bounds:
    """`part` of a map that is loaded, with what lies between the tiles, before them and behind the last."""
    begin, end = part
    works = end > begin
    end = np.where(works & (np.arange(end.size) == end.size - 1), extent, end)
    return np.where(works, np.minimum(begin, _before(begin, end)), begin), end


def crossing(design: Design, stages: Sequence[Stage]) -> list[str]:
    """Stages of a segment whose maps others, or the network's outputs, need."""
    inside = {stage.name for stage in stages}
    leaving = set(design.output_stages)
    return [
        stage.name
        for stage in stages
        if stage.name in leaving or any(edge.consumer not in inside for edge in design.edges_from[stage.name])
    ]


def _maps(design: Design, stages: Sequence[Stage]) -> dict[str, tuple[int, ...]]:
    """Space of every map that a segment makes or reads, by the stage that makes it."""
    made = {stage.name: stage.tensor.spatial for stage in stages}
    read = {edge.producer: edge.tensor.spatial for stage in stages for edge in design.edges_to[stage.name]}
    return read | made


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
