"""From counts to the parts of a report about energy, area and the roofline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from accelsim.cost.accesses import Access
from accelsim.cost.energy import FJ_PER_PJ, Energy, energies, has_energy
from accelsim.cost.roofline import COMPUTE, Roof, Work, roofs
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.figures import UM2_PER_MM2, areas, technology_of
from accelsim.mapping.traffic import Traffic
from accelsim.report import cost as parts
from accelsim.report.report import Segment, StageRow

FJ_PER_JOULE = 10**15

UNITS: dict[str, Literal["MAC", "operation", "second"]] = {
    "mac": "MAC",
    "add": "operation",
    "multiply": "operation",
    "leakage": "second",
}
RULES = (
    "MAC: a multiplier of the operands' widths and an adder as wide as an accumulator. Weights are read from the first "
    "memory for every product, once for the pixels side by side or of a stripe; not where multipliers keep their own.",
    "Buffers: a map that one stage passes to another is written to the first memory once (once a reader where forks "
    "copy). A window that is whole slides along a row and reads each of its columns once, over its height; one that "
    "is made in parts is read tap by tap. What is read serves all groups of outputs. Padding is not read.",
    "A systolic array reads operands as often as its folds need them, padding too; between folds of the taps it writes "
    "and reads sums in the first memory, as wide as an accumulator.",
    "A memory takes what an SRAM as large as one of its macros takes for 64 bits, in proportion to the bits; a DRAM by "
    "its kind. Figures between two of a table, or beyond them, lie on a straight line on log-log paper.",
    "Layers that are no products take their additions, comparisons and multiplications, as wide as activations, or as "
    "an accumulator where they sum up. Not counted: registers, wires, clocks and control; tables of activations, "
    "divisions, exponentials; biases and requantisation; whole words and bursts of which a part is used.",
)


def energy_part(
    machine: Accelerator, accesses: Callable[[], Iterable[Access]], interval_cycles: Fraction
) -> parts.Energy | None:
    """Energy of a frame; None where the machine does not describe enough for it, and accesses are not counted."""
    technology = technology_of(machine)
    if technology is None or not has_energy(machine):
        return None
    frame_seconds = interval_cycles / machine.clock_hz
    found = energies(machine, accesses(), frame_seconds)
    total_fj = sum(one.femtojoules for one in found)
    joules = Fraction(total_fj, FJ_PER_JOULE)
    return parts.Energy(
        technology=technology.name,
        node=technology.node,
        total_fj=total_fj,
        total_pj=total_fj / FJ_PER_PJ,
        total_joules=float(joules),
        power_watts=float(joules / frame_seconds),
        by_part=_by_part(_sums(found, lambda one: one.access.part)),
        by_memory=_sums(found, lambda one: one.access.memory),
        rows=tuple(_row(one, technology.node) for one in found),
        rules=RULES,
    )


def _sums(found: Iterable[Energy], key: Callable[[Energy], str | None]) -> dict[str, float]:
    """Picojoules by what `key` gives, without those for which it gives None."""
    sums: dict[str, int] = defaultdict(int)
    for one in found:
        name = key(one)
        if name is not None:
            sums[name] += one.femtojoules
    return {name: femtojoules / FJ_PER_PJ for name, femtojoules in sums.items()}


def _by_part(sums: Mapping[str, float]) -> parts.EnergyParts:
    known = {part: sums.get(part, 0.0) for part in parts.EnergyParts.model_fields if part != "leakage"}
    return parts.EnergyParts(**known, leakage=sums.get("leakage"))


def _row(one: Energy, node: str) -> parts.EnergyRow:
    access = one.access
    return parts.EnergyRow(
        layer=access.layer,
        part=access.part,
        memory=access.memory,
        unit=UNITS.get(access.part, "byte"),
        count=float(access.count),
        pj_each=float(one.each.value),
        energy_fj=one.femtojoules,
        energy_pj=one.femtojoules / FJ_PER_PJ,
        source=one.each.source,
        node=node,
    )


def area_part(machine: Accelerator) -> parts.Area | None:
    """What multipliers and memory cells take; None where the machine has no technology with areas."""
    found, technology = areas(machine), technology_of(machine)
    if found is None or technology is None:
        return None
    rows = tuple(
        parts.AreaRow(
            name=one.part,
            count=one.count,
            um2_each=float(one.um2_each.value),
            area_um2=round(one.mm2 * UM2_PER_MM2),
            source=one.um2_each.source,
            node=technology.node,
        )
        for one in found
    )
    total = sum(row.area_um2 for row in rows)
    return parts.Area(
        technology=technology.name,
        node=technology.node,
        total_um2=total,
        total_mm2=total / UM2_PER_MM2,
        budget_mm2=machine.area_budget,
        rows=rows,
    )


def roofline_part(
    machine: Accelerator,
    stages: Iterable[StageRow],
    segments: Sequence[Segment],
    traffic: Sequence[Traffic],
    interval_cycles: Fraction,
) -> tuple[parts.RooflineRow, ...] | None:
    """A row a layer with MACs; None where memory is not modelled."""
    if not machine.memories:
        return None
    cycles = {name: _turn_cycles(segment, interval_cycles) for segment in segments for name in segment.layers}
    works = [Work(row.stage, row.macs, row.multipliers, cycles[row.stage]) for row in stages if row.macs]
    is_pipeline = all(segment.cycles is None for segment in segments)
    has_links = is_pipeline and machine.interface == "stream"
    return tuple(_roofline_row(machine, roof) for roof in roofs(machine, works, traffic, has_links))


def _turn_cycles(segment: Segment, interval_cycles: Fraction) -> Fraction:
    """Cycles a frame for which a segment has the engine."""
    return interval_cycles if segment.cycles is None else Fraction(segment.cycles, segment.frames or 1)


def _roofline_row(machine: Accelerator, roof: Roof) -> parts.RooflineRow:
    work, clock_hz = roof.work, machine.clock_hz
    return parts.RooflineRow(
        layer=work.layer,
        macs=work.macs,
        off_chip_bytes=float(roof.off_chip_bytes),
        macs_per_byte=None if roof.macs_per_byte is None else float(roof.macs_per_byte),
        peak_macs_per_second=float(roof.macs_per_cycle(COMPUTE) * clock_hz),
        attainable_macs_per_second=float(roof.macs_per_cycle(roof.bound) * clock_hz),
        attained_macs_per_second=float(roof.attained_macs_per_cycle * clock_hz),
        bound=roof.bound,
    )
