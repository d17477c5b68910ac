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
from accelsim.network.layers import Inputs, Layer, Reduce
from accelsim.network.reach import Granularity, token_reach
from accelsim.network.tensor import Tensor

Ints = NDArray[np.int64]


def edge_bounds(design: Design, granularity: Granularity, inside: Collection[str] | None = None) -> dict[str, int]:
    """Least capacity of every edge alone, in tokens, by edge name.

    With `inside` only these stages are on the engine: of the edges to them, what others make waiting in memory.
    """
    incoming: dict[str, list[Edge]] = {stage.name: [] for stage in design.stages}
    outgoing: dict[str, list[Edge]] = {stage.name: [] for stage in design.stages}
    for edge in design.edges:
        if inside is None or edge.consumer in inside:
            incoming[edge.consumer].append(edge)
            outgoing[edge.producer].append(edge)
    bounds: dict[str, int] = {}
    order = {stage.name: position for position, stage in enumerate(design.stages)}
    for stage in design.stages:
        readers = outgoing[stage.name]
        if len(readers) == 1:
            bounds[readers[0].name] = _alone(design, readers[0], granularity)
        elif readers:
            bounds |= fork_bounds(design, stage, readers, incoming, order, granularity)
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
    """Bounds of a fork's edges to `readers`: the fork's tokens that each stage's firings need, carried downstream.

    Stages that are not in `incoming` are not on the engine.
    """
    last_reader = max(order[edge.consumer] for edge in readers)
    reached: dict[str, Ints] = {}
    for stage in design.stages[order[fork.name] + 1 : last_reader + 1]:
        arrivals = []
        for edge in incoming.get(stage.name, ()):
            needed, _ = needed_and_held(design, edge, granularity)
            if edge.producer == fork.name:
                arrivals.append(needed)
            elif edge.producer in reached:
                made = tokens_made(design.stage_by_name[edge.producer], granularity, reached[edge.producer])
                arrivals.append(np.where(needed >= 0, made[needed], -1))
        if arrivals:
            reached[stage.name] = np.maximum.accumulate(np.maximum.reduce(arrivals))
    return {
        edge.name: _most_held(reached[edge.consumer], needed_and_held(design, edge, granularity)[1]) for edge in readers
    }


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
