"""Memories and what passes them, as tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from accelsim.report.facts import MB, TRAFFIC_KINDS, value_text
from accelsim.report.report import Body, MemoryRow
from accelsim.report.tables import Table, quantity

MIB = 2**20
GB = 10**9


class Measure(NamedTuple):
    """A figure of a memory, in the unit that text has it in."""

    name: str
    unit: str
    value: Callable[[MemoryRow, Body], float | None]
    meaning: str = ""


def _peak_gigabytes(row: MemoryRow, body: Body) -> float | None:
    """None where bytes come over links of their own, whose requests are not simulated."""
    if not row.peak_window_bytes and row.read_bytes + row.written_bytes:
        return None
    return row.peak_window_bytes * body.clock_hz / row.peak_window_cycles / GB


MEASURES = (
    Measure("size", "MiB", lambda row, body: row.size_bytes / MIB),
    Measure("used", "MiB", lambda row, body: row.used_bytes / MIB, "most at once"),
    Measure("read", "MB", lambda row, body: row.read_bytes / MB, "a frame"),
    Measure("written", "MB", lambda row, body: row.written_bytes / MB, "a frame"),
    Measure("average", "GB/s", lambda row, body: row.average_bytes_per_second / GB, "over the interval"),
    Measure(
        "sustained", "GB/s", lambda row, body: row.sustained_bytes_per_second / GB, "least that keeps the interval"
    ),
    Measure("peak", "GB/s", _peak_gigabytes, "in the fullest window"),
    Measure("available", "GB/s", lambda row, body: row.available_bytes_per_second / GB, "what its port reads at most"),
)


def memories_table(body: Body) -> Table | None:
    """A figure a row and a memory a column; None where memory is not modelled."""
    if not body.memories:
        return None
    rows = tuple(
        (
            measure.name,
            *(value_text(measure.value(row, body)) for row in body.memories.values()),
            measure.unit,
            measure.meaning,
        )
        for measure in MEASURES
    )
    windows = [
        f"{name} {row.peak_window_bytes:,} B in {row.peak_window_cycles:,} cycles"
        for name, row in body.memories.items()
        if row.peak_window_bytes
    ]
    notes = (f"Fullest windows: {', '.join(windows)}.",) if windows else ()
    return Table("Memories", ("|", *body.memories, "|", "|"), rows, notes)


def traffic_table(body: Body) -> Table | None:
    """Megabytes a frame by kind, read and written, a memory beside the other; None where nothing moves."""
    if not body.traffic or body.memories is None:
        return None
    moved: dict[tuple[str, str], list[float]] = {}
    for row in body.traffic:
        for kind in (row.kind, "all"):
            cell = moved.setdefault((kind, row.memory), [0, 0])
            cell[0] += row.read_bytes
            cell[1] += row.written_bytes
    there = {memory for _, memory in moved}
    memories = [name for name in body.memories if name in there]
    kinds = [kind for kind in (*TRAFFIC_KINDS, "all") if any((kind, name) in moved for name in memories)]
    rows = tuple(
        (kind, *(quantity(size / MB) for name in memories for size in moved.get((kind, name), (0, 0))))
        for kind in kinds
    )
    heads = (f"{name} {way}" for name in memories for way in ("read", "written"))
    return Table("Traffic by kind, MB a frame", ("kind|", *heads), rows)
