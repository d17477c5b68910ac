"""Buffer sizes for all edges together: the smallest without deadlock, and enough for full throughput."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from accelsim.errors import InfeasibleError
from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design, Edge, with_capacities, with_interval
from accelsim.network.reach import Granularity
from accelsim.report.build import simulate
from accelsim.report.tables import Table, lines_table, quantity
from accelsim.timing.lower import token_elements
from accelsim.timing.occupancy import peak_tokens
from accelsim.timing.simulate import schedule
from accelsim.timing.size import size_buffers


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
    full_tokens: int = Field(description="jointly sufficient for full throughput; not the least that is")
    full_elements: int


class SizeTotal(_Part):
    """All buffers at one choice of sizes, and how fast that is; a shared buffer counts once."""

    elements: int
    bytes: int
    interval_cycles: float
    latency_cycles: int | None
    frames_per_second: float
    steady: bool


class Sizing(_Part):
    """What `size --json` prints."""

    network: str
    accelerator: str
    granularity: str
    fork: str
    pace_cycles: int
    bound_elements: int = Field(description="sum of the bounds alone; not enough together")
    least: SizeTotal = Field(description="smallest without deadlock")
    full: SizeTotal = Field(description="the peaks of a paced, unbounded pipeline: sufficient for full throughput")
    buffers: tuple[BufferSize, ...]


class Sized(NamedTuple):
    """The figures, and the design at both choices of sizes."""

    sizing: Sizing
    least: Design
    full: Design


def size_report(design: Design, granularity: Granularity = "row") -> Sized:
    """Sizes for every buffer of `design`.

    Every schedule of the paced and unbounded pipeline fits into its own peaks, so with these as
    capacities nothing is later than there: they are enough for full throughput, and more than that needs.
    """
    smallest = size_buffers(design, granularity)
    least = {edge.name: edge.capacity or 0 for edge in smallest.edges}
    full = full_throughput_tokens(design, granularity)
    roomy = with_capacities(design, full, granularity)
    bounds = edge_bounds(design, granularity)
    rows = tuple(_row(edge, granularity, bounds[edge.name], least, full) for edge in design.edges)
    sizing = Sizing(
        network=design.network.name,
        accelerator=design.accelerator.name,
        granularity=granularity,
        fork=design.accelerator.fork,
        pace_cycles=design.pace_cycles,
        bound_elements=_once(design, rows, "bound_elements"),
        least=_total(smallest, granularity, _once(design, rows, "least_elements")),
        full=_total(roomy, granularity, _once(design, rows, "full_elements")),
        buffers=rows,
    )
    return Sized(sizing, smallest, roomy)


def full_throughput_tokens(design: Design, granularity: Granularity = "row") -> dict[str, int]:
    """Capacities by edge that certainly keep full throughput: the peaks of the paced, unbounded pipeline."""
    pace = max(design.pace_cycles, design.bottleneck_cycles)
    trace = schedule(with_interval(with_capacities(design, {}), pace), granularity, "paced")
    if trace.growing:
        raise InfeasibleError(
            f"{design.network.name}: a stage that needs no input for some of its frames runs ahead for ever; "
            "no sizes follow from unbounded buffers, so give capacities in a mapping"
        )
    alone_too = (True, False)
    peaks = {e.name: max(peak_tokens(trace, k, alone) for alone in alone_too) for k, e in enumerate(design.edges)}
    if design.accelerator.fork == "copy":
        return peaks
    fullest: dict[str, int] = {}
    for edge in design.edges:
        fullest[edge.producer] = max(fullest.get(edge.producer, 0), peaks[edge.name])
    return {edge.name: fullest[edge.producer] for edge in design.edges}


def _row(
    edge: Edge, granularity: Granularity, bound: int, least: Mapping[str, int], full: Mapping[str, int]
) -> BufferSize:
    size = token_elements(edge.tensor, granularity)
    return BufferSize(
        edge=edge.name,
        producer=edge.producer,
        role=edge.role,
        token_elements=size,
        bound_tokens=bound,
        bound_elements=bound * size,
        least_tokens=least[edge.name],
        least_elements=least[edge.name] * size,
        full_tokens=full[edge.name],
        full_elements=full[edge.name] * size,
    )


def _once(design: Design, rows: Sequence[BufferSize], field: str) -> int:
    """Sum over buffers: an edge each, or under shared forks a producer each, as large as its largest edge."""
    if design.accelerator.fork == "copy":
        return sum(getattr(row, field) for row in rows)
    largest: dict[str, int] = {}
    for row in rows:
        largest[row.producer] = max(largest.get(row.producer, 0), getattr(row, field))
    return sum(largest.values())


def _total(design: Design, granularity: Granularity, elements: int) -> SizeTotal:
    throughput = simulate(design, granularity=granularity).throughput
    return SizeTotal(
        elements=elements,
        bytes=-(-elements * design.accelerator.activation_bits // 8),
        interval_cycles=throughput.interval_cycles,
        latency_cycles=throughput.latency_cycles,
        frames_per_second=throughput.frames_per_second,
        steady=throughput.steady,
    )


def sizing_tables(sizing: Sizing) -> list[Table]:
    """Totals first, then every edge, largest first."""
    title = f"{sizing.network} on {sizing.accelerator}: {sizing.granularity} tokens, {sizing.fork} forks"
    totals = (("smallest without deadlock", sizing.least), ("enough for full throughput", sizing.full))
    rows = tuple((name, *_total_texts(total)) for name, total in totals)
    heads = ("|", "elements", "bytes", "interval", "latency", "frames a second")
    notes = (
        f"Smallest: any buffer a token smaller deadlocks. Each edge's bound alone, they add up to "
        f"{quantity(sizing.bound_elements)} elements.",
        "Enough for full throughput: the peaks of a paced, unbounded pipeline. They are sufficient, not the least.",
    )
    ordered = sorted(sizing.buffers, key=lambda row: (-row.least_elements, row.edge))
    return [
        lines_table(title, []),
        Table("Totals, a shared buffer counted once; cycles", heads, rows, notes),
        Table(
            f"Buffers, {sizing.granularity} tokens and elements",
            ("edge|", "role|", "bound alone", "smallest", "elements", "full", "elements"),
            tuple(_texts(row) for row in ordered),
        ),
    ]


def _total_texts(total: SizeTotal) -> tuple[str, ...]:
    latency = "-" if total.latency_cycles is None else quantity(total.latency_cycles)
    figures = (total.elements, total.bytes, total.interval_cycles)
    return (*(quantity(figure) for figure in figures), latency, quantity(total.frames_per_second))


def _texts(row: BufferSize) -> tuple[str, ...]:
    figures = (row.bound_tokens, row.least_tokens, row.least_elements, row.full_tokens, row.full_elements)
    return (row.edge, row.role, *(quantity(figure) for figure in figures))
