"""Energy of a frame: what is counted, times what each takes. It knows nothing of time but leakage's share of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from accelsim.cost.accesses import Access, design_accesses
from accelsim.cost.parts import Part
from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.figures import mac_pj, memory_pj_per_byte, operation_pj
from accelsim.hardware.technology import Figure
from accelsim.mapping.design import Design

FJ_PER_PJ = 1000
#: Picojoules of a milliwatt in a second.
PJ_PER_MILLIWATT_SECOND = 10**9
#: What leakage is charged to: no layer.
CHIP = "chip"


@dataclass(frozen=True, slots=True)
class Energy:
    """An access, what one of its counts takes in picojoules, and what all take in whole femtojoules.

    Rows are rounded, so that they add up to their sum exactly.
    """

    access: Access
    each: Figure
    femtojoules: int


def has_energy(machine: Accelerator) -> bool:
    """Whether everything is described that energy depends on: a technology, and memories to charge accesses to."""
    return machine.technology is not None and bool(machine.memories)


def energies(machine: Accelerator, accesses: Iterable[Access], frame_seconds: Fraction | None = None) -> list[Energy]:
    """What every access takes on a machine that `has_energy`, and leakage over a frame where its power is known."""
    figures: dict[tuple[str | None, int | None], Figure] = {}
    found: list[Energy] = []
    for access in accesses:
        key = access.memory, access.bits
        if key not in figures:
            figures[key] = _each(machine, access)
        found.append(_energy(access, figures[key]))
    if machine.leakage is not None and frame_seconds is not None:
        found.append(_leaked(machine, frame_seconds))
    return found


def _energy(access: Access, each: Figure) -> Energy:
    return Energy(access, each, round(access.count * each.value * FJ_PER_PJ))


def frame_energy(design: Design) -> list[Energy]:
    """What a frame of `design` takes, in closed form: nothing is simulated.

    Leakage goes with time and is left out.
    Rows are those of a report's `energy`. Raises `InputError` where the machine has no technology or no memories.
    """
    machine = design.accelerator
    if not has_energy(machine):
        missing = "memories" if machine.technology else "technology"
        raise InputError(f"{machine.name}: energy needs a technology and memories; the machine has no {missing}")
    return energies(machine, design_accesses(design))


def _each(machine: Accelerator, access: Access) -> Figure:
    if access.memory is not None:
        figure = memory_pj_per_byte(machine, access.memory)
    elif access.part in ("add", "multiply"):
        figure = operation_pj(machine, access.part, access.bits or machine.activation_bits)
    else:
        figure = mac_pj(machine, access.bits or machine.weight_bits)
    assert figure is not None
    return figure


def _leaked(machine: Accelerator, frame_seconds: Fraction) -> Energy:
    assert machine.leakage is not None
    picojoules = Fraction(str(machine.leakage.power_mw)) * PJ_PER_MILLIWATT_SECOND
    leakage: Part = "leakage"
    return _energy(Access(CHIP, leakage, None, frame_seconds), Figure(picojoules, machine.leakage.source))
