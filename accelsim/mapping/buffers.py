"""The least room a buffer needs, in closed form.

Let consumer firing n need, through all paths, producer token R(n), and let H(n) be the oldest token it
has not let go. Tokens H(n) to R(n) are then in the buffer together, so the edge holds at least
R(n) - H(n) + 1; with all other edges unbounded and one frame in flight the greatest of these over n is
also enough.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.wiring import once_a_wiring
from accelsim.network.layers import Inputs, Layer, Reduce
from accelsim.network.reach import Granularity, token_reach
from accelsim.network.tensor import Tensor

Ints = NDArray[np.int64]


def edge_bounds(design: Design, granularity: Granularity, inside: Collection[str] | None = None) -> dict[str, int]:
    """Least capacity of every edge alone, in tokens, by edge name.

    With `inside` only these stages are on the engine: of the edges to them, what others make waiting in memory.
    """
    if inside is None:
        return dict(_bounds_of_all(design, granularity))
    return _bounds(design, granularity, design.in_order(inside))


@once_a_wiring
def _bounds_of_all(design: Design, granularity: Granularity) -> Mapping[str, int]:
    return _bounds(design, granularity, design.stages)


def _bounds(design: Design, granularity: Granularity, stages: Sequence[Stage]) -> dict[str, int]:
    incoming = {stage.name: design.edges_to[stage.name] for stage in stages}
    outgoing: dict[str, list[Edge]] = {}
    for edge in (edge for edges in incoming.values() for edge in edges):
        outgoing.setdefault(edge.producer, []).append(edge)
    bounds: dict[str, int] = {}
    for stage in design.in_order(outgoing):
        readers = outgoing[stage.name]
        if len(readers) == 1:
            bounds[readers[0].name] = _alone(design, readers[0], granularity)
        else:
            bounds |= fork_bounds(design, stage, readers, incoming, design.position, granularity)
    return bounds


def _alone(design: Design, edge: Edge, granularity: Granularity) -> int:
    needed, held = needed_and_held(design, edge, granularity)
    return _most_held(needed, held)


def fork_bounds(
    design: Design,
    fork: Stage,
    readers: Sequence[Edge],
    incoming: Mapping[str, Sequence[Edge]],
    order: Mapping[str, int],
    granularity: Granularity,
) -> dict[str, int]:
    """Bounds of a fork's edges to `readers`; stages that are not in `incoming` are not on the engine."""
    last_reader = max(order[edge.consumer] for edge in readers)
    between = design.stages[order[fork.name] + 1 : last_reader + 1]
    reached = _reached(design, fork, [(stage, incoming.get(stage.name, ())) for stage in between], granularity)
    return {
        edge.name: _most_held(reached[edge.consumer], needed_and_held(design, edge, granularity)[1]) for edge in readers
    }


def _reached(
    design: Design, fork: Stage, between: Sequence[tuple[Stage, Sequence[Edge]]], granularity: Granularity
) -> dict[str, Ints]:
    """The fork's tokens that the firings of stages behind it need, through all paths, carried downstream."""
    reached: dict[str, Ints] = {}
    for stage, edges in between:
        arrivals = []
        for edge in edges:
            needed, _ = needed_and_held(design, edge, granularity)
            if edge.producer == fork.name:
                arrivals.append(needed)
            elif edge.producer in reached:
                made = tokens_made(design.stage_by_name[edge.producer], granularity, reached[edge.producer])
                arrivals.append(np.where(needed >= 0, made[needed], -1))
        if arrivals:
            reached[stage.name] = np.maximum.accumulate(np.maximum.reduce(arrivals))
    return reached


def segment_bounds(design: Design, inside: Collection[str]) -> dict[str, int]:
    """Rows that the edges to the stages `inside` hold when these run as a pipeline, each bounded like this.

    To its least capacity an edge adds how far its reader can be behind others that read the same map.
    """
    bounds = edge_bounds(design, "row", inside)
    for fork in design.in_order({edge.producer for name in inside for edge in design.edges_to[name]}):
        region = fork_region(design, fork.name, inside)
        if region:
            for name, rows in fork_lags(design, fork, region).items():
                bounds[name] += rows
    return bounds


def fork_region(design: Design, fork: str, inside: Collection[str]) -> tuple[str, ...]:
    """Stages from the several readers of a map among `inside` to the one where all ways from it meet, in order.

    To the end of all ways where they do not meet; none where it has fewer than two readers.
    """
    open_ways = {edge.consumer for edge in design.edges_from[fork] if edge.consumer in inside}
    if len(open_ways) < 2:
        return ()
    order, ends, region = design.position, False, []
    while open_ways:
        stage = min(open_ways, key=lambda name: order[name])
        region.append(stage)
        if len(open_ways) == 1 and not ends:
            break
        open_ways.remove(stage)
        readers = {edge.consumer for edge in design.edges_from[stage] if edge.consumer in inside}
        open_ways |= readers
        ends = ends or not readers
    return tuple(region)


def fork_lags(design: Design, fork: Stage, region: Sequence[str]) -> dict[str, int]:
    """By edge out of `fork` into `region`, rows by which its reader is behind what all readers have asked for.

    Rows are asked for by the results of the region's last stages, evenly where these are several; a pipeline
    whose buffers hold as much can go in that order, and so never stops.
    """
    within = set(region)
    stages = [design.stage_by_name[name] for name in region]
    incoming = {
        name: [e for e in design.edges_to[name] if e.producer in within or e.producer == fork.name] for name in region
    }
    reached = _reached(design, fork, [(stage, incoming[stage.name]) for stage in stages], "row")
    read = {edge.producer for edges in incoming.values() for edge in edges}
    ends = {stage.name: stage.tensor.rows for stage in stages if stage.name not in read}
    ticks = np.arange(1, max(ends.values()) + 1)
    asked = {name: -(-ticks * rows // ticks.size) - 1 for name, rows in ends.items()}
    lags: dict[str, int] = {}
    firings: dict[str, Ints] = {}
    for stage in reversed(stages):
        rows = asked[stage.name]
        firings[stage.name] = tokens_made(stage, "row", np.arange(stage.fired.rows))[rows]
        for edge in incoming[stage.name]:
            needed, _ = needed_and_held(design, edge, "row")
            wanted = np.where(rows >= 0, needed[firings[stage.name]], -1)
            asked[edge.producer] = np.maximum(asked[edge.producer], wanted) if edge.producer in asked else wanted
    for edge in design.edges_from[fork.name]:
        if edge.consumer in within:
            needed, _ = needed_and_held(design, edge, "row")
            wanted = np.where(asked[edge.consumer] >= 0, reached[edge.consumer][firings[edge.consumer]], -1)
            behind = int((np.minimum(asked[fork.name], needed.max()) - wanted).max())
            if behind > 0:
                lags[edge.name] = behind
    return lags


def _most_held(needed: Ints, held: Ints) -> int:
    return max(1, int((needed - held + 1).max()))


def tokens_made(stage: Stage, granularity: Granularity, by_firing: Ints) -> Ints:
    """From a value a firing to a value a token: a reduction's token comes with its tile's last input."""
    layer = stage.group.node.layer
    if not isinstance(layer, Reduce):
        return by_firing
    output = layer.output((stage.fired,))
    return by_firing[token_reach(layer, 0, (stage.fired,), output, granularity).last]


def needed_and_held(design: Design, edge: Edge, granularity: Granularity) -> tuple[Ints, Ints]:
    """Newest token that an edge's consumer has needed by each of its firings, and oldest that it still holds.

    What a tile's producer has not made for this tile counts as no token.
    """
    stages = design.stage_by_name
    consumer, offset = stages[edge.consumer], stages[edge.producer].row_offset
    together = consumer.together if granularity == "pixel" else 1
    firings = consumer.fired.rows if granularity == "row" else consumer.fired.pixels
    if edge.reads == "window":
        node, net = consumer.group.node, design.network
        needed, held = _window(
            node.layer, edge.operand, net.sources(node), net.tensors[node.name], granularity, together
        )
    elif edge.reads == "each":
        each = np.arange(consumer.row_offset + firings)
        needed, held = np.minimum((each // together + 1) * together, each.size) - 1, each
    else:
        tokens = edge.tensor.rows if granularity == "row" else edge.tensor.pixels
        needed, held = np.full(firings, tokens - 1), np.zeros(firings, np.int64)
    if offset == 0 and needed.size == firings:
        return needed, held
    tile = slice(consumer.row_offset, consumer.row_offset + firings)
    tokens = edge.tensor.rows if granularity == "row" else edge.tensor.pixels
    return np.clip(needed[tile] - offset, -1, tokens - 1), np.maximum(held[tile] - offset, 0)


@lru_cache(maxsize=512)
def _window(
    layer: Layer, operand: int, inputs: Inputs, output: Tensor, granularity: Granularity, together: int
) -> tuple[Ints, Ints]:
    """Newest token needed so far and oldest still held, for each firing."""
    if isinstance(layer, Reduce):
        each = np.arange(inputs[0].rows if granularity == "row" else inputs[0].pixels, dtype=np.int64)
        return each, each
    reach = token_reach(layer, operand, inputs, output, granularity)
    needed = np.maximum.accumulate(reach.last)
    if together > 1:
        needed = np.repeat(needed.reshape(-1, together).max(axis=1), together)
    return needed, np.minimum.accumulate(reach.first[::-1])[::-1]
