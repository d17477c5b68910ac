"""The roofline: how many products a second a layer's multipliers could make, and how many the memories could feed.

Williams, Waterman, Patterson, "Roofline", CACM 2009, with a roof for every memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.memory import Memory
from accelsim.mapping.traffic import Traffic

COMPUTE = "compute"


@dataclass(frozen=True, slots=True)
class Work:
    """A layer's MACs a frame, the multipliers it has been given, and the cycles a frame for which it has them."""

    layer: str
    macs: int
    multipliers: int
    cycles: Fraction


@dataclass(frozen=True, slots=True)
class Roof:
    """What bounds a layer: cycles a frame that its multipliers and the port of each memory need for it alone."""

    work: Work
    off_chip_bytes: Fraction
    needed_cycles: dict[str, Fraction]

    @property
    def bound(self) -> str:
        """What needs most, compute where that needs as much."""
        return max(self.needed_cycles, key=lambda name: self.needed_cycles[name])

    @property
    def macs_per_byte(self) -> Fraction | None:
        return self.work.macs / self.off_chip_bytes if self.off_chip_bytes else None

    def macs_per_cycle(self, name: str) -> Fraction:
        """The roof that multipliers or a memory make."""
        return self.work.macs / self.needed_cycles[name]

    @property
    def attained_macs_per_cycle(self) -> Fraction:
        """What comes out while the layer has the engine; its weights may have taken a port longer, in turns before."""
        return self.work.macs / max(self.work.cycles, self.needed_cycles[self.bound])


def roofs(machine: Accelerator, works: Iterable[Work], traffic: Sequence[Traffic], has_links: bool) -> list[Roof]:
    """The roofs of layers with MACs.

    With `has_links` inputs and outputs of the network pass over links of their own: they count as bytes off the
    chip, but need no port.
    """
    by_layer: dict[str, list[Traffic]] = defaultdict(list)
    for row in traffic:
        by_layer[row.layer].append(row)
    return [_roof(machine, work, by_layer[work.layer], has_links) for work in works]


def _roof(machine: Accelerator, work: Work, traffic: Sequence[Traffic], has_links: bool) -> Roof:
    off_chip = [row for row in traffic if row.memory == machine.off_chip_memory]
    through = [row for row in traffic if not (has_links and row in off_chip and row.kind in ("input", "output"))]
    needed = {COMPUTE: Fraction(work.macs, work.multipliers)}
    for name in dict.fromkeys(row.memory for row in through):
        needed[name] = _port_cycles(machine.memories[name], [row for row in through if row.memory == name])
    total = sum((row.read_bytes + row.written_bytes for row in off_chip), Fraction(0))
    return Roof(work, total, {name: cycles for name, cycles in needed.items() if cycles})


def _port_cycles(memory: Memory, traffic: Sequence[Traffic]) -> Fraction:
    """Cycles a frame for which the port of `memory` is needed at the least, to read and to write."""
    reading = sum((row.read_bytes for row in traffic), Fraction(0)) / memory.bytes_per_cycle(write=False)
    writing = sum((row.written_bytes for row in traffic), Fraction(0)) / memory.bytes_per_cycle(write=True)
    return reading + writing if memory.port.shared else max(reading, writing)
