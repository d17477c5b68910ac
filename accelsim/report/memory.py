"""Memories in a report: what passed them, what lies in them, what they could do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.segments.allotment import held_bytes
from accelsim.mapping.traffic import Traffic
from accelsim.report import report as parts
from accelsim.timing.bandwidth import Passed
from accelsim.timing.turns import Turns

#: Cycles of the window in which the most bytes are looked for.
PEAK_WINDOW_CYCLES = 1024


def traffic_rows(traffic: Iterable[Traffic]) -> tuple[parts.TrafficRow, ...]:
    return tuple(
        parts.TrafficRow(
            layer=row.layer,
            tensor=row.tensor,
            memory=row.memory,
            kind=row.kind,
            read_bytes=float(row.read_bytes),
            written_bytes=float(row.written_bytes),
        )
        for row in traffic
    )


def memory_rows(
    accelerator: Accelerator,
    traffic: Sequence[Traffic],
    interval_cycles: Fraction,
    sustained: Mapping[str, Fraction],
    passed: Mapping[str, Passed],
    used: Mapping[str, int],
) -> dict[str, parts.MemoryRow]:
    """A row a memory; `sustained` in bytes a cycle, `used` in bytes, by name."""
    read: dict[str, Fraction] = defaultdict(Fraction)
    written: dict[str, Fraction] = defaultdict(Fraction)
    for row in traffic:
        read[row.memory] += row.read_bytes
        written[row.memory] += row.written_bytes
    clock = accelerator.clock_hz
    return {
        name: parts.MemoryRow(
            size_bytes=memory.size,
            used_bytes=used.get(name, 0),
            off_chip=name == accelerator.off_chip_memory,
            read_bytes=float(read[name]),
            written_bytes=float(written[name]),
            average_bytes_per_second=float((read[name] + written[name]) * clock / interval_cycles),
            sustained_bytes_per_second=float(sustained.get(name, Fraction(0)) * clock),
            peak_window_bytes=passed[name].most_in(PEAK_WINDOW_CYCLES) if name in passed else 0,
            peak_window_cycles=PEAK_WINDOW_CYCLES,
            available_bytes_per_second=float(memory.bytes_per_cycle(write=False) * clock),
        )
        for name, memory in accelerator.memories.items()
    }


def turns_sustained(turns: Turns) -> dict[str, Fraction]:
    """Bytes a cycle that each memory must move for no turn to take longer."""
    off_chip = turns.design.accelerator.off_chip_memory
    most: dict[str, Fraction] = defaultdict(Fraction)
    for turn in turns.turns:
        for run in turn.runs:
            moved: dict[str, int] = defaultdict(int)
            for stage in run.step.design.stages:
                if stage.transfer:
                    moved[stage.transfer.memory] += stage.transfer.moved_bytes
            for name, size in moved.items():
                most[name] = max(most[name], Fraction(size * turns.frames, run.run_cycles))
            if run.load_cycles and off_chip is not None:
                most[off_chip] = max(most[off_chip], Fraction(run.step.load_bytes, run.load_cycles))
    return most


def turns_used(turns: Turns) -> dict[str, int]:
    """Most bytes of each memory that are in use while any segment runs."""
    accelerator, visits = turns.design.accelerator, turns.visits
    local = accelerator.local_memory
    most: dict[str, int] = {}
    for k, visit in enumerate(turn.visit for turn in turns.turns):
        for name in accelerator.memories:
            if name == local:
                needed = visit.demand.total + visit.held_bytes + visit.ahead_bytes
            else:
                needed = held_bytes(visits.lives, visits.homes, name, k)
            most[name] = max(most.get(name, 0), needed)
    return most
