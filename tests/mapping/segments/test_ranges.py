"""Tiles carried back through layers all at once, held against one tile after the other, point by point."""

from __future__ import annotations

from random import Random

import pytest

from accelsim.mapping.design import Design, Stage
from accelsim.mapping.search.segmenting import _draft
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.segments.tiling import Cut, Range, crossing, cuts, spatial_axes
from accelsim.network.reach import spans
from tests.mapping.small_networks import FORMS, small_machine, small_network


def read_points(design: Design, stage: Stage, operand: int, axis: int, points: set[int]) -> set[int]:
    """Points of an operand that some points of a stage's map read, and all between them."""
    node = stage.group.node
    span = spans(node.layer, operand, design.network.sources(node), design.network.tensors[node.name])[axis]
    read = {p for point in points for p in range(int(span.first[point]), int(span.last[point]) + 1)}
    return set(range(min(read), max(read) + 1)) if read else set()


def naive_cuts(design: Design, stages: list[Stage], axis: int, size: int, is_cached: bool) -> list[Cut]:
    inside = {stage.name for stage in stages}
    maps = {stage.name: stage.tensor for stage in stages}
    maps |= {edge.producer: edge.tensor for edge in design.edges if edge.consumer in inside}
    extents = {name: tensor.spatial[axis] for name, tensor in maps.items()}
    extent = extents[stages[-1].name]
    done = dict.fromkeys(maps, 0)
    tiles = []
    for begin in range(0, extent, size):
        end = min(begin + size, extent)
        made: dict[str, set[int]] = {name: set() for name in maps}
        first: dict[str, int] = {}
        for name in crossing(design, stages):
            made[name] = set(range(begin * extents[name] // extent, end * extents[name] // extent))
        stored = {name: part for name in crossing(design, stages) if (part := span_of(made[name])).size > 0}
        for stage in reversed(stages):
            new = {p for p in whole(made[stage.name]) if not is_cached or p >= done[stage.name]}
            for operand, producer in stage.group.operands if new else ():
                read = read_points(design, stage, operand, axis, new)
                made[producer] |= read
                if read:
                    first[producer] = min(first.get(producer, min(read)), min(read))
        parts = {name: span_of(points) for name, points in made.items()}
        for name in set(maps) - inside:
            if parts[name].size > 0:
                last = extents[name] if end == extent else parts[name].end
                parts[name] = Range(min(parts[name].begin, done[name]), last)
        kept = {name: done[name] - p for name, p in first.items() if p < done[name]} if is_cached else {}
        before = dict(done)
        done |= {name: max(done[name], part.end) for name, part in parts.items() if part.size > 0}
        if is_cached:
            parts = {name: Range(before[name], part.end) for name, part in parts.items() if part.end > before[name]}
        tiles.append(Cut({n: p for n, p in parts.items() if p.size > 0}, {} if is_cached else stored, kept))
    return tiles


def whole(points: set[int]) -> set[int]:
    return set(range(min(points), max(points) + 1)) if points else set()


def span_of(points: set[int]) -> Range:
    return Range(min(points), max(points) + 1) if points else Range(0, 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(25))
def test_tiles_are_what_one_after_the_other_needs(form, seed):
    rng = Random(seed)
    design = _draft(small_network(seed, form, 9), small_machine(seed), 1, frozenset())
    stages = [stage for stage in design.stages if not stage.is_source]
    first = rng.randrange(len(stages))
    chosen = stages[first : first + rng.randint(1, 5)]
    while chosen and spatial_axes(design, chosen) < 2:
        chosen = chosen[:-1]
    for axis, halo in ((0, "cache"), (1, "cache"), (0, "recompute"), (1, "recompute")) if chosen else ():
        extent = chosen[-1].tensor.spatial[axis]
        if extent < 2:
            continue
        size = rng.randint(1, extent - 1)
        tile = Tile(rows=size) if axis == 0 else Tile(columns=size)
        expected = naive_cuts(design, chosen, axis, size, halo == "cache")
        found = cuts(design, Segment(tuple(stage.name for stage in chosen), tile, halo), chosen, axis)
        assert [cut.made for cut in found] == [cut.made for cut in expected]
        assert [cut.kept for cut in found] == [cut.kept for cut in expected]
        assert halo == "cache" or [cut.stored for cut in found] == [cut.stored for cut in expected]
