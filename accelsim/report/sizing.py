"""Buffer sizes for all edges together: the least without deadlock, the least found at full throughput, and between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from accelsim.errors import InfeasibleError
from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design, Edge, with_capacities, with_interval
from accelsim.network.reach import Granularity
from accelsim.report.build import simulated_parts
from accelsim.report.tables import Table, lines_table, quantity
from accelsim.timing.lower import lower, token_elements
from accelsim.timing.occupancy import peak_tokens
from accelsim.timing.simulate import contended, schedule
from accelsim.timing.size import Sizes, fastest_cycles, least_sizes, paced_sizes, slower_sizes
from accelsim.timing.sizing.buffers import bounds_of, buffers_of, total_elements

#: Points of the curve between full throughput and the least without deadlock.
POINTS_BETWEEN = 4


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BufferSize(_Part):
    """One edge. Under shared forks the edges of one producer are one buffer, with one size."""

    edge: str
    producer: str
    role: str
    token_elements: int
    bound_tokens: int = Field(description="least for this edge alone, all others unbounded")
    bound_elements: int
    least_tokens: int = Field(description="jointly: all edges at this size run, any buffer a token smaller deadlocks")
    least_elements: int
    full_tokens: int = Field(description="jointly at full throughput; any buffer a token smaller is slower")
    full_elements: int


class SizeTotal(_Part):
    """All buffers at one choice of sizes, and how fast that is; a shared buffer counts once."""

    elements: int
    bytes: int
    bound_elements: int = Field(description="no sizes that do as much come to less")
    proved_least: bool = Field(description="whether `elements` is that bound: the least there is")
    interval_cycles: float
    latency_cycles: int | None
    frames_per_second: float
    steady: bool


class SizePoint(_Part):
    """A point of the curve of memory against speed."""

    interval_cycles: int = Field(description="frames follow each other at least as fast")
    frames_per_second: float
    elements: int
    bytes: int
    tokens: dict[str, int] = Field(description="capacity by edge")


class Sizing(_Part):
    """What `size --json` prints."""

    network: str
    accelerator: str
    granularity: str
    fork: str
    pace_cycles: int
    bound_elements: int = Field(description="sum of the bounds alone; not always enough together")
    least: SizeTotal = Field(description="smallest without deadlock")
    full: SizeTotal = Field(description="smallest found at full throughput")
    curve: tuple[SizePoint, ...] = Field(description="from full throughput to the least, ever slower and smaller")
    buffers: tuple[BufferSize, ...]


class Sized(NamedTuple):
    """The figures, and the design at both choices of sizes."""

    sizing: Sizing
    least: Design
    full: Design


class _Point(NamedTuple):
    interval_cycles: int
    sizes: Sizes


def size_report(design: Design, granularity: Granularity = "row") -> Sized:
    """Sizes for every buffer of `design`.

    Where stages wait for each other at a port, the sizes at full throughput are peaks of a simulation, and there is
    nothing between them and the least.
    """
    pace = fastest_cycles(design, granularity)
    least, full = least_sizes(design, granularity), _full(design, pace, granularity)
    slowest = _total(least, granularity)
    curve = _curve(design, _Point(pace, full), _Point(ceil(slowest.interval_cycles), least), granularity)
    bounds = edge_bounds(design, granularity)
    buffers = buffers_of(design, granularity)
    rows = tuple(
        _row(edge, granularity, bounds[edge.name], small.capacity or 0, fast.capacity or 0)
        for edge, small, fast in zip(design.edges, least.design.edges, full.design.edges, strict=True)
    )
    sizing = Sizing(
        network=design.network.name,
        accelerator=design.accelerator.name,
        granularity=granularity,
        fork=design.accelerator.fork,
        pace_cycles=design.pace_cycles,
        bound_elements=total_elements(buffers, bounds_of(buffers, len(design.edges))),
        least=slowest,
        full=_total(full, granularity),
        curve=tuple(_point(design, point) for point in curve),
        buffers=rows,
    )
    return Sized(sizing, least.design, full.design)


def _full(design: Design, pace: int, granularity: Granularity) -> Sizes:
    """The least found at full throughput."""
    if not _is_contended(design, granularity):
        return paced_sizes(design, pace, granularity)
    roomy = with_capacities(design, full_throughput_tokens(design, granularity), granularity)
    buffers = buffers_of(design, granularity)
    capacity = bounds_of(buffers, len(design.edges))
    bound = total_elements(buffers, capacity)
    for k, edge in enumerate(roomy.edges):
        capacity[k] = edge.capacity or 0
    return Sizes(roomy, total_elements(buffers, capacity), bound)


def _is_contended(design: Design, granularity: Granularity) -> bool:
    return bool((contended(lower(design, granularity, "greedy")) >= 0).any())


def _curve(design: Design, full: _Point, least: _Point, granularity: Granularity) -> list[_Point]:
    """Points of which each is slower and smaller than the one before, at intervals that grow by one factor."""
    ratio = least.interval_cycles / full.interval_cycles
    points = [full]
    if not _is_contended(design, granularity) and ratio > 1:
        for k in range(1, POINTS_BETWEEN + 1):
            interval = ceil(full.interval_cycles * ratio ** (k / (POINTS_BETWEEN + 1)))
            points.append(_Point(interval, slower_sizes(design, points[-1].sizes, interval)))
    return list(_falling([*points, least]))


def _falling(points: Sequence[_Point]) -> Iterator[_Point]:
    """Those points than which none as fast is smaller."""
    smallest = None
    for point in points:
        if smallest is None or point.sizes.elements < smallest:
            smallest = point.sizes.elements
            yield point


def full_throughput_tokens(design: Design, granularity: Granularity = "row") -> dict[str, int]:
    """Capacities by edge that certainly keep full throughput: the peaks of the paced, unbounded pipeline."""
    pace = max(design.pace_cycles, design.bottleneck_cycles)
    trace = schedule(with_interval(with_capacities(design, {}), pace), granularity, "paced")
    if trace.growing:
        raise InfeasibleError(
            f"{design.network.name}: a stage that needs no input for some of its frames runs ahead for ever; "
            "no sizes follow from unbounded buffers, so give capacities in a mapping"
        )
    most = np.maximum(peak_tokens(trace), peak_tokens(trace, alone=True)).tolist()
    peaks = {edge.name: tokens for edge, tokens in zip(design.edges, most, strict=True)}
    if design.accelerator.fork == "copy":
        return peaks
    fullest: dict[str, int] = {}
    for edge in design.edges:
        fullest[edge.producer] = max(fullest.get(edge.producer, 0), peaks[edge.name])
    return {edge.name: fullest[edge.producer] for edge in design.edges}


def _row(edge: Edge, granularity: Granularity, bound: int, least: int, full: int) -> BufferSize:
    size = token_elements(edge.tensor, granularity)
    return BufferSize(
        edge=edge.name,
        producer=edge.producer,
        role=edge.role,
        token_elements=size,
        bound_tokens=bound,
        bound_elements=bound * size,
        least_tokens=least,
        least_elements=least * size,
        full_tokens=full,
        full_elements=full * size,
    )


def _total(sizes: Sizes, granularity: Granularity) -> SizeTotal:
    throughput = simulated_parts(sizes.design, ["throughput"], granularity=granularity).throughput
    return SizeTotal(
        elements=sizes.elements,
        bytes=_bytes(sizes),
        bound_elements=sizes.bound_elements,
        proved_least=sizes.elements == sizes.bound_elements,
        interval_cycles=throughput.interval_cycles,
        latency_cycles=throughput.latency_cycles,
        frames_per_second=throughput.frames_per_second,
        steady=throughput.steady,
    )


def _point(design: Design, point: _Point) -> SizePoint:
    return SizePoint(
        interval_cycles=point.interval_cycles,
        frames_per_second=design.accelerator.clock_hz / point.interval_cycles,
        elements=point.sizes.elements,
        bytes=_bytes(point.sizes),
        tokens={edge.name: edge.capacity or 0 for edge in point.sizes.design.edges},
    )


def _bytes(sizes: Sizes) -> int:
    return -(-sizes.elements * sizes.design.accelerator.activation_bits // 8)


def sizing_tables(sizing: Sizing) -> list[Table]:
    """Totals first, then the curve between them, then every edge, largest first."""
    title = f"{sizing.network} on {sizing.accelerator}: {sizing.granularity} tokens, {sizing.fork} forks"
    totals = (("smallest without deadlock", sizing.least), ("smallest at full throughput", sizing.full))
    heads = ("|", "elements", "bytes", "no less than", "interval", "latency", "frames a second")
    ordered = sorted(sizing.buffers, key=lambda row: (-row.least_elements, row.edge))
    return [
        lines_table(title, []),
        Table(
            "Totals, a shared buffer counted once; cycles",
            heads,
            tuple((name, *_total_texts(total)) for name, total in totals),
            tuple(_notes(sizing)),
        ),
        Table(
            "Memory against speed",
            ("interval", "frames a second", "elements", "bytes"),
            tuple(_point_texts(point) for point in sizing.curve),
        ),
        Table(
            f"Buffers, {sizing.granularity} tokens and elements",
            ("edge|", "role|", "bound alone", "smallest", "elements", "full", "elements"),
            tuple(_texts(row) for row in ordered),
        ),
    ]


def _notes(sizing: Sizing) -> Iterator[str]:
    yield (
        f"Without deadlock: {_verdict(sizing.least)} Any buffer a token smaller deadlocks. Each edge's bound alone, "
        f"they add up to {quantity(sizing.bound_elements)} elements."
    )
    yield f"At full throughput: {_verdict(sizing.full)}"


def _verdict(total: SizeTotal) -> str:
    if total.proved_least:
        return "proved to be the least."
    gap = total.elements / max(total.bound_elements, 1) - 1
    return f"the least found, at most {100 * gap:.1f} % above the least there is."


def _total_texts(total: SizeTotal) -> tuple[str, ...]:
    latency = "-" if total.latency_cycles is None else quantity(total.latency_cycles)
    figures = (total.elements, total.bytes, total.bound_elements, total.interval_cycles)
    return (*(quantity(figure) for figure in figures), latency, quantity(total.frames_per_second))


def _point_texts(point: SizePoint) -> tuple[str, ...]:
    figures = (point.interval_cycles, point.frames_per_second, point.elements, point.bytes)
    return tuple(quantity(figure) for figure in figures)


def _texts(row: BufferSize) -> tuple[str, ...]:
    figures = (row.bound_tokens, row.least_tokens, row.least_elements, row.full_tokens, row.full_elements)
    return (row.edge, row.role, *(quantity(figure) for figure in figures))
