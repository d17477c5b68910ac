"""Buffer sizes for all edges together: the least without deadlock, and the least that keep a pace.

[sizing/README.md](sizing/README.md) says what of this is exact, what is a bound and what is a heuristic, and why.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InfeasibleError, InputError, NotModelled
from accelsim.mapping.design import Design, with_capacities, with_interval
from accelsim.network.reach import Granularity
from accelsim.timing.kernels.pipeline import Pipeline
from accelsim.timing.lower import checked_granularity, lower
from accelsim.timing.simulate import contended
from accelsim.timing.sizing.alone import Alone
from accelsim.timing.sizing.buffers import Buffer, bounds_of, buffers_of, total_elements
from accelsim.timing.sizing.cover import covered
from accelsim.timing.sizing.descent import lowered, needed_alone, peaks
from accelsim.timing.sizing.occupancy import occupancy_bound
from accelsim.timing.sizing.pacing import Pacing

Ints = NDArray[np.int64]


class Sizes(NamedTuple):
    """A design with capacities that do, the elements these come to, and a total below which none do.

    `elements` counts a shared buffer once; where it equals `bound_elements` it is the least there is.
    """

    design: Design
    elements: int
    bound_elements: int


def size_buffers(design: Design, granularity: Granularity | None = None, interval_cycles: int | None = None) -> Design:
    """`design` with small capacities for all buffers together.

    Without `interval_cycles` they are those of `least_sizes`: it runs, and with one token less in any buffer it
    deadlocks. With it they are those of `paced_sizes`: it runs at that interval, and with one token less in any
    buffer it is slower. They are tokens of `granularity`, None for that of the design's mapping. Under `fork: shared`
    the edges of one producer share a buffer and its capacity. Capacities that the design has are not looked at.

    >>> from accelsim import load_accelerator, load_network, map_network
    >>> net = load_network("resnet18", input_shape=(1, 3, 64, 64))
    >>> sized = size_buffers(map_network(net, load_accelerator("streaming-asic")))
    >>> all(edge.capacity for edge in sized.edges)
    True
    """
    if interval_cycles is None:
        return least_sizes(design, granularity).design
    return paced_sizes(design, interval_cycles, granularity).design


def least_sizes(design: Design, granularity: Granularity | None = None) -> Sizes:
    """The least total with which `design` does not deadlock, and its proof or a bound."""
    return running_sizes(*_unbounded(design, granularity))


def running_sizes(unbounded: Design, granularity: Granularity) -> Sizes:
    """The same for the stages of a design without capacities that run together: a pipeline, or a step of a segment."""
    alone = Alone(lower(unbounded, granularity, "greedy"))
    buffers = buffers_of(unbounded, granularity)
    cover = covered(alone, buffers)
    capacity = cover.capacity if cover.exact else _mended(alone, buffers, cover.capacity)
    return _sizes(unbounded, granularity, buffers, capacity, cover.elements)


def paced_sizes(design: Design, interval_cycles: int, granularity: Granularity | None = None) -> Sizes:
    """The least total found with which `design` runs at `interval_cycles`, and a bound.

    Raises `InfeasibleError` where it is slower whatever its buffers, and `NotModelled` where stages share a port.
    """
    if not isinstance(interval_cycles, int) or interval_cycles < 1:
        raise InputError(f"interval_cycles = {interval_cycles} is not a whole number of cycles from 1")
    unbounded, granularity = _unbounded(design, granularity)
    unbounded = with_interval(unbounded, interval_cycles)
    pacing = paced(unbounded, lower(unbounded, granularity, "paced"), interval_cycles)
    assert pacing.free is not None
    buffers = needed_alone(pacing, buffers_of(design, granularity))
    cover = covered(pacing, buffers)
    capacity, bound = cover.capacity, cover.elements
    if not cover.exact:
        capacity = lowered(pacing, buffers, peaks(pacing, buffers, pacing.free))
        bound = max(bound, occupancy_bound(pacing.pipeline, interval_cycles, buffers, cover.lines))
    sized = _sizes(unbounded, granularity, buffers, capacity, bound)
    return sized._replace(design=with_interval(sized.design, design.mapping.interval_cycles))


def slower_sizes(design: Design, faster: Sizes, interval_cycles: int) -> Sizes:
    """`faster` sizes of `design` brought down to what `interval_cycles` needs, which must be no shorter.

    Every buffer, a token smaller, would be slower; the bound is the sum of what each needs alone without deadlock.
    """
    granularity = checked_granularity(faster.design, None)
    unbounded = with_interval(with_capacities(design, {}, granularity), interval_cycles)
    pacing = paced(unbounded, lower(unbounded, granularity, "paced"), interval_cycles)
    buffers = buffers_of(design, granularity)
    held = np.array([edge.capacity for edge in faster.design.edges], np.int64)
    capacity = lowered(pacing, buffers, held)
    bound = total_elements(buffers, bounds_of(buffers, held.size))
    sized = _sizes(unbounded, granularity, buffers, capacity, bound)
    return sized._replace(design=with_interval(sized.design, design.mapping.interval_cycles))


def fastest_cycles(design: Design, granularity: Granularity | None = None) -> int:
    """Least whole cycles between frames that some buffers reach, no less than the design's own pace.

    It is the busiest stage's work, unless windows that let pixels in one by one, or keep frames apart, take longer.
    """
    unbounded, granularity = _unbounded(design, granularity)
    pipeline = lower(unbounded, granularity, "greedy")
    low = high = max(design.pace_cycles, design.bottleneck_cycles)
    if not pipeline.apart.any() and (pipeline.admit_at < 0).all():
        return high
    while Pacing(pipeline, high).blockage is not None:
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        if Pacing(pipeline, middle).blockage is None:
            high = middle
        else:
            low = middle + 1
    return high


def _unbounded(design: Design, granularity: Granularity | None) -> tuple[Design, Granularity]:
    """`design` without capacities, and the granularity to size it at. Raises `InputError` where it is no pipeline."""
    if not isinstance(design, Design):
        raise InputError(f"a {type(design).__name__} is no Design; map_network gives one")
    if design.mapping.segments:
        raise InputError(
            f"{design.network.name}: segments that take turns on the engine have the buffers that their tiles need; "
            'only those of one pipeline are sized together: map it with mapping="pipeline" (--mapping pipeline)'
        )
    unbounded = with_capacities(design, {}, granularity)
    return unbounded, checked_granularity(unbounded, granularity)


def paced(design: Design, pipeline: Pipeline, interval_cycles: int) -> Pacing:
    """Schedules at an interval that `design` can keep."""
    if np.any(contended(pipeline) >= 0):
        raise NotModelled(
            f"{design.network.name}: stages wait for each other at a port, and who is served first depends on all "
            "buffers; only the least without deadlock is sized"
        )
    pacing = Pacing(pipeline, interval_cycles)
    if pacing.blockage is not None:
        names = [design.stages[stage].name for stage in pacing.blockage.stages]
        slowest = max(design.stages, key=lambda stage: stage.work_cycles)
        raise InfeasibleError(
            f"{design.network.name}: no buffers reach {interval_cycles:,} cycles a frame: the cycle of waits "
            f"{' -> '.join((*names, names[0]))} takes longer without any; {slowest.name} alone is busy for "
            f"{slowest.work_cycles:,} cycles; allow a longer interval or give it more multipliers"
        )
    return pacing


def sized(design: Design, capacity: Ints, granularity: Granularity) -> Design:
    """`design` with `capacity` tokens on its edges, in their order."""
    named = {edge.name: int(tokens) for edge, tokens in zip(design.edges, capacity, strict=True)}
    return with_capacities(design, MappingProxyType(named), granularity)


def _sizes(design: Design, granularity: Granularity, buffers: tuple[Buffer, ...], capacity: Ints, bound: int) -> Sizes:
    elements = total_elements(buffers, capacity)
    return Sizes(sized(design, capacity, granularity), elements, min(bound, elements))


def _mended(alone: Alone, buffers: tuple[Buffer, ...], capacity: Ints) -> Ints:
    """`capacity` with the cheapest full buffers of each deadlock doubled, and those brought down again."""
    of_edge = {int(edge): buffer for buffer in buffers for edge in buffer.edges}
    capacity, raised = capacity.copy(), dict[int, Buffer]()
    while (lacking := alone.lacking(capacity)) is not None:
        full = [of_edge[edge] for edge in lacking]
        cheapest = min(full, key=lambda b: (b.elements * b.tokens(capacity), b.number))
        capacity[cheapest.edges] *= 2
        raised[cheapest.number] = cheapest
    for buffer in sorted(buffers, key=lambda b: (b.number not in raised, -b.elements, b.number)):
        _lower(alone, buffer, capacity)
    return capacity


def _lower(alone: Alone, buffer: Buffer, capacity: Ints) -> None:
    """Brings one buffer down as far as it goes, in place."""
    low, high = buffer.bound, buffer.tokens(capacity)
    while low < high:
        middle = (low + high) // 2
        capacity[buffer.edges] = middle
        if alone.lacking(capacity) is None:
            high = middle
        else:
            low = middle + 1
    capacity[buffer.edges] = high
