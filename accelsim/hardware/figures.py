"""What a machine's operations and memories take, by its technology or by figures of its own file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from accelsim.hardware.technology import Figure, Kind, Technology, load_technology
from accelsim.units import ceil_div
from accelsim.yaml_file import suggestion

if TYPE_CHECKING:
    from accelsim.hardware.accelerator import Accelerator

SRAM = "sram"
UM2_PER_MM2 = 10**6

#: A fault of a machine: the path of its field, the field's value, and what is wrong with it.
Fault = tuple[tuple[str, ...], object, str]


@dataclass(frozen=True, slots=True)
class Area:
    """`count` units of a part, each of so many square micrometres."""

    part: str
    count: int
    um2_each: Figure

    @property
    def mm2(self) -> Fraction:
        return self.count * self.um2_each.value / UM2_PER_MM2


def technology_of(machine: Accelerator) -> Technology | None:
    """The tables of the machine's technology; None where it has none."""
    return None if machine.technology is None else load_technology(machine.technology)


def memory_kind(machine: Accelerator, name: str) -> str | None:
    """What a memory is made of: as its file says, else SRAM, and off chip the technology's first kind of DRAM."""
    technology, memory = technology_of(machine), machine.memories[name]
    if memory.kind is not None or technology is None:
        return memory.kind
    return technology.dram_kinds[0] if name == machine.off_chip_memory else SRAM


def memory_pj_per_byte(machine: Accelerator, name: str) -> Figure | None:
    """Picojoules to read or write a byte: the file's own figure, or the technology's; None where there is neither.

    The technology's is that of an SRAM as large as a macro, or of a kind of DRAM.
    """
    memory, technology = machine.memories[name], technology_of(machine)
    if memory.energy_pj_per_byte is not None:
        source = memory.source or f"the machine's file, {machine.name}"
        return Figure(Fraction(str(memory.energy_pj_per_byte)), source)
    if technology is None:
        return None
    kind = memory_kind(machine, name)
    if kind == SRAM:
        return technology.sram_pj_per_byte(min(memory.macro or ceil_div(memory.size, memory.banks), memory.size))
    return technology.dram_pj_per_byte(kind)


def mac_pj(machine: Accelerator, other_bits: int) -> Figure | None:
    """Picojoules of a product of an activation and `other_bits`, and of adding it to an accumulator."""
    technology = technology_of(machine)
    if technology is None:
        return None
    product = technology.operation_pj("multiply", machine.activation_bits, other_bits)
    return product.plus(technology.operation_pj("add", machine.accumulator_bits, machine.accumulator_bits))


def operation_pj(machine: Accelerator, kind: Kind, bits: int) -> Figure | None:
    """Picojoules of an addition or multiplication of two operands of so many bits."""
    technology = technology_of(machine)
    return None if technology is None else technology.operation_pj(kind, bits, bits)


def areas(machine: Accelerator) -> tuple[Area, ...] | None:
    """What multipliers, the adders behind them and the cells of on-chip memories take, at the least.

    Registers, control, wires and what surrounds the cells are left out. None where the technology has no areas.
    """
    technology = technology_of(machine)
    if technology is None:
        return None
    product = technology.operation_um2("multiply", machine.activation_bits, machine.weight_bits)
    total = technology.operation_um2("add", machine.accumulator_bits, machine.accumulator_bits)
    on_chip = [name for name in machine.memories if memory_kind(machine, name) == SRAM]
    cells = [(name, technology.sram_um2(machine.memories[name].size)) for name in on_chip]
    if product is None or total is None or any(figure is None for _, figure in cells):
        return None
    multipliers = machine.engine.multipliers
    logic = (Area("multipliers", multipliers, product), Area("accumulating adders", multipliers, total))
    return (*logic, *(Area(name, 1, figure) for name, figure in cells if figure is not None))


def faults(machine: Accelerator) -> list[Fault]:
    """Figures of other process nodes, kinds of memory that the technology does not know, and too small a budget."""
    return [*_mixed_nodes(machine), *_unknown_kinds(machine), *_over_budget(machine)]


def _mixed_nodes(machine: Accelerator) -> Iterator[Fault]:
    technology = technology_of(machine)
    given: list[tuple[tuple[str, ...], str]] = [
        (("memories", name, "node"), memory.node) for name, memory in machine.memories.items() if memory.node
    ]
    if machine.leakage and machine.leakage.node:
        given.append((("leakage", "node"), machine.leakage.node))
    if not given:
        return
    node, whose = (technology.node, f"technology {technology.name}") if technology else (given[0][1], "another figure")
    for path, own in given:
        if own != node:
            yield (
                path,
                own,
                f"{whose} is of {node}, and energies of two process nodes do not add up; give a figure of {node}, "
                "leave it out for the technology's, or choose a technology of this node",
            )


def _unknown_kinds(machine: Accelerator) -> Iterator[Fault]:
    technology = technology_of(machine)
    for name, memory in machine.memories.items():
        if memory.kind is None:
            continue
        path = ("memories", name, "kind")
        if technology is None:
            yield path, memory.kind, "means nothing without a technology; name one in technology"
        elif memory.kind not in (SRAM, *technology.dram_kinds):
            cure = suggestion(memory.kind, [SRAM, *technology.dram_kinds])
            yield path, memory.kind, f"technology {technology.name} has no such memory{cure}"


def _over_budget(machine: Accelerator) -> Iterator[Fault]:
    budget = machine.area_budget
    if budget is None:
        return
    parts = areas(machine)
    if parts is None:
        yield ("area_budget",), budget, "needs a technology with areas; name one in technology, or leave this out"
        return
    total = sum((part.mm2 for part in parts), Fraction(0))
    if total > Fraction(str(budget)):
        largest = sorted(parts, key=lambda part: -part.mm2)
        told = ", ".join(f"{part.part} {float(part.mm2):,.4g}" for part in largest)
        yield (
            ("area_budget",),
            f"{budget} mm2",
            f"the machine takes {float(total):,.4g} mm2 at the least ({told}); raise the budget, or lower "
            f"{_lever(machine, largest[0].part)}",
        )


def _lever(machine: Accelerator, part: str) -> str:
    """The fields that make a part large."""
    if part in machine.memories:
        return f"memories.{part}.size"
    return "engine.rows or engine.columns" if machine.engine.kind == "systolic" else "engine.multipliers"
