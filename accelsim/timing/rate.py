"""Buffer sizes that keep the rate: as little as what only passes needs, and what waits as large as it then gets.

At a join all operands but the longest way wait. Each such way holds its map at one place, where that is smallest:
anywhere between the join and the fork that the ways part at. All other buffers are at their own least capacity and
some tokens more, so that nothing runs ahead of what it is for. With these the pipeline is simulated, and what the
waiting buffers hold at most are their sizes: its schedule fits into them, so the rate stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from accelsim.errors import DeadlockError, InfeasibleError
from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design, Edge, buffer_of, home_of, with_capacities, with_interval
from accelsim.mapping.streams import streamed
from accelsim.network.reach import Granularity
from accelsim.timing.lower import checked_granularity, token_elements
from accelsim.timing.occupancy import peak_tokens
from accelsim.timing.simulate import Trace, schedule

#: Roles of edges whose tokens wait for something else.
WAITING = frozenset({"gate", "skip", "pyramid", "stationary"})
#: Tokens beyond its least that a buffer which passes tokens on has, tried in turn.
SPARE_TOKENS = (1, 2, 4, 8, 16, 32)


def size_for_rate(design: Design, granularity: Granularity | None = None) -> Design:
    """`design` with capacities that together keep the rate of its source, or of its busiest stage if that is slower.

    They are tokens of `granularity`, None for that of the design's mapping. What lies in a memory by the mapping's
    `homes` stays unbounded. They are sufficient and not the least: buffers that only pass tokens on have one spare
    token or, where that is too slow, twice as many, and so on, but no more than they hold without any bounds.
    Raises `InfeasibleError` where no room makes the pipeline keep the rate.
    """
    unbounded = with_capacities(design, {}, granularity)
    granularity = checked_granularity(unbounded, granularity)
    paced = with_interval(unbounded, max(design.pace_cycles, design.bottleneck_cycles))
    waiting = waiting_buffers(design)
    bounds = _bounds(design, granularity)
    free = _at_rate(paced, granularity)
    if free is None:
        raise InfeasibleError(
            f"{design.network.name}: no buffers keep a frame every {paced.pace_cycles:,} cycles; lower the frame rate"
        )
    peaks = _held(design, free, {})
    for spare in SPARE_TOKENS:
        passing = {
            edge.name: min(bounds[buffer] + spare, peaks[edge.name])
            for edge in design.edges
            if edge.name in peaks and (buffer := buffer_of(design, edge)) not in waiting
        }
        trace = _at_rate(with_capacities(paced, passing, granularity), granularity)
        if trace is not None:
            found = (peaks, _held(design, trace, passing))
            return with_capacities(design, min(found, key=partial(_elements, design, granularity)), granularity)
    return with_capacities(design, peaks, granularity)


def waiting_buffers(design: Design) -> frozenset[str]:
    """Names (`buffer_of`) of the buffers in which maps wait at joins."""
    return frozenset(buffer_of(design, _smallest(design, edge)) for edge in design.edges if edge.role in WAITING)


def _smallest(design: Design, waiting: Edge) -> Edge:
    """Where the map that waits at a join is smallest, on the way from the fork to it; of equals the last."""
    return min(_way(design, waiting), key=lambda edge: edge.tensor.elements)


def _way(design: Design, waiting: Edge) -> Iterator[Edge]:
    """An edge, and those before it as long as one stage alone reads and is read; a buffer in a memory ends it."""
    edge = waiting
    yield edge
    while home_of(design, edge) is None and len(design.edges_from[edge.producer]) == 1:
        into = design.edges_to[edge.producer]
        if len(into) != 1:
            return
        edge = into[0]
        yield edge


def _bounds(design: Design, granularity: Granularity) -> dict[str, int]:
    """Least capacity of every buffer alone, in tokens."""
    alone = edge_bounds(design, granularity)
    least: dict[str, int] = {}
    for edge in design.edges:
        buffer = buffer_of(design, edge)
        least[buffer] = max(least.get(buffer, 0), alone[edge.name])
    return least


def _at_rate(design: Design, granularity: Granularity) -> Trace | None:
    """What happens under a paced source, if that keeps its pace."""
    try:
        trace = schedule(streamed(design, granularity), granularity, "paced")
    except DeadlockError:
        return None
    return trace if trace.steady and trace.interval_cycles == design.pace_cycles else None


def _held(design: Design, trace: Trace, passing: Mapping[str, int]) -> Mapping[str, int]:
    """Capacities by edge: those given, and what all other buffers of the engine hold at most."""
    peaks = np.maximum(peak_tokens(trace), peak_tokens(trace, alone=True)).tolist()
    most = {edge.name: peak for edge, peak in zip(trace.design.edges, peaks, strict=True)}
    fullest: dict[str, int] = {}
    for edge in design.edges:
        if home_of(design, edge) is None and edge.name not in passing:
            fullest[buffer_of(design, edge)] = max(fullest.get(buffer_of(design, edge), 0), most[edge.name])
    held = {edge.name: fullest[buffer] for edge in design.edges if (buffer := buffer_of(design, edge)) in fullest}
    return MappingProxyType({**passing, **held})


def _elements(design: Design, granularity: Granularity, tokens: Mapping[str, int]) -> int:
    """Elements in buffers of `tokens` by edge, one that several edges share counted once."""
    rooms: dict[str, int] = {}
    for edge in design.edges:
        size = tokens.get(edge.name, 0) * token_elements(edge.tensor, granularity)
        rooms[buffer_of(design, edge)] = max(rooms.get(buffer_of(design, edge), 0), size)
    return sum(rooms.values())
