"""The smallest buffers with which a pipeline does not deadlock.

More room never makes a deadlock, so feasibility is monotone in every capacity. No edge can go below its
bound alone. From there, each deadlock names a cycle of waits; the cheapest full buffer in it is
doubled until the frame goes through, and every buffer that was raised is then brought down by
bisection. Lowering one can only make another harder to lower, so afterwards none can go down on its own.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design, with_capacities
from accelsim.network.reach import Granularity
from accelsim.timing.kernels.pipeline import THROUGH, Pipeline, State, at_rest, run
from accelsim.timing.lower import checked_granularity, lower, token_elements
from accelsim.timing.waits import cycle_of_waits

Ints = NDArray[np.int64]


class _Buffer(NamedTuple):
    """Edges that share one capacity, the tokens they need at least, and the elements of one."""

    edges: Ints
    bound: int
    elements: int


def size_buffers(design: Design, granularity: Granularity | None = None) -> Design:
    """`design` with jointly minimal capacities: it runs, and with one token less in any buffer it deadlocks.

    They are tokens of `granularity`, None for that of the design's mapping.
    Under `fork: shared` the edges of one producer share a buffer and its capacity. Capacities that the design has
    are not looked at.
    """
    unbounded = with_capacities(design, {}, granularity)
    granularity = checked_granularity(unbounded, granularity)
    pipeline = lower(unbounded, granularity, "greedy")
    buffers = _buffers(design, granularity)
    capacity = np.zeros(len(design.edges), np.int64)
    for buffer in buffers:
        capacity[buffer.edges] = buffer.bound
    pipeline = pipeline._replace(capacity=capacity)
    raised = _raise_until_running(pipeline, buffers)
    for buffer in sorted(raised, key=lambda b: (-b.elements, b.edges[0])):
        _lower(pipeline, buffer)
    return sized(design, capacity, granularity)


def sized(design: Design, capacity: Ints, granularity: Granularity) -> Design:
    """`design` with `capacity` tokens on its edges, in their order."""
    named = {edge.name: int(tokens) for edge, tokens in zip(design.edges, capacity, strict=True)}
    return with_capacities(design, MappingProxyType(named), granularity)


def runs(pipeline: Pipeline) -> tuple[bool, State]:
    """Whether a frame goes through, and the state it ends in.

    One frame is enough: it leaves all buffers empty, and no firing of it depends on a later frame.
    """
    state = at_rest(pipeline, 1, by_row=True)
    return run(pipeline, state, 0, 1, 0, 0) == THROUGH, state


def _buffers(design: Design, granularity: Granularity) -> list[_Buffer]:
    bounds = edge_bounds(design, granularity)
    sharing: dict[str, list[int]] = {}
    for position, edge in enumerate(design.edges):
        owner = edge.producer if design.accelerator.fork == "shared" else edge.name
        sharing.setdefault(owner, []).append(position)
    return [
        _Buffer(
            np.array(edges),
            max(bounds[design.edges[k].name] for k in edges),
            token_elements(design.edges[edges[0]].tensor, granularity),
        )
        for edges in sharing.values()
    ]


def _raise_until_running(pipeline: Pipeline, buffers: list[_Buffer]) -> list[_Buffer]:
    """Doubles full buffers in cycles of waits, in place, until a frame goes through; those it raised."""
    of_edge = {int(edge): buffer for buffer in buffers for edge in buffer.edges}
    raised: dict[int, _Buffer] = {}
    while True:
        through, state = runs(pipeline)
        if through:
            return list(raised.values())
        full = [of_edge[w.edge] for w in cycle_of_waits(pipeline, state.fired) if w.for_space]
        cheapest = min(full, key=lambda b: (b.elements * int(pipeline.capacity[b.edges[0]]), int(b.edges[0])))
        pipeline.capacity[cheapest.edges] *= 2
        raised[int(cheapest.edges[0])] = cheapest


def _lower(pipeline: Pipeline, buffer: _Buffer) -> None:
    low, high = buffer.bound, int(pipeline.capacity[buffer.edges[0]])
    while low < high:
        middle = (low + high) // 2
        pipeline.capacity[buffer.edges] = middle
        if runs(pipeline)[0]:
            high = middle
        else:
            low = middle + 1
    pipeline.capacity[buffer.edges] = high
