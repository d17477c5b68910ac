"""Published machines: what each has, and the frames a second that its makers give for a network."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from accelsim.errors import AccelsimError, collected
from accelsim.hardware.accelerator import Accelerator, load_accelerator
from accelsim.network.graph import Network
from accelsim.network.load import load_network
from accelsim.validation.papers.lines import Line, read_lines

#: The file of a folder of published machines.
MACHINES = "machines.csv"
#: What all machines are like that a line does not say otherwise: NVDLA, with the memories `buffer` and `dram`.
PRESET = "feature-map-npu"


def _rate(value: object) -> object:
    """Text as a fraction; by way of a float, so that exponents stay in bounds."""
    if not isinstance(value, str):
        return value
    try:
        return Fraction(str(float(value)))
    except ValueError:
        raise ValueError("Input should be a finite number") from None


Rate = Annotated[Fraction, BeforeValidator(_rate)]


class Machine(Line):
    """A line of `machines.csv`; `estimator` where the closed forms of NVDLA's makers are meant to apply."""

    network: str = Field(min_length=1)
    multipliers: int = Field(gt=0, le=10**9)
    buffer_kib: int = Field(gt=0, le=2**40)
    gb_per_s: Rate = Field(gt=0, le=10**6)
    clock_ghz: Rate = Field(gt=0, le=1000)
    frames_per_second: float = Field(gt=0)
    estimator: bool = True

    @property
    def bytes_per_cycle(self) -> Fraction:
        """What its SDRAM moves."""
        return self.gb_per_s / self.clock_ghz


def read_machines(folder: Path) -> tuple[Machine, ...]:
    """All machines of a folder. Raises `InputError` as `read_lines` does."""
    return read_lines(folder / MACHINES, Machine)


def networks_of(machines: Sequence[Machine], folder: Path) -> tuple[Network, ...]:
    """The networks that machines are published for: registered ones, or files of `folder`.

    Raises `InputError` with every one that cannot be read, and where it is named.
    """
    found: list[Network] = []
    problems = []
    for machine in machines:
        path = folder / machine.network
        try:
            found.append(load_network(str(path) if path.is_file() else machine.network))
        except AccelsimError as error:
            problems.append(f"{machine.place}: network = '{machine.network[:40]}': {error}")
    if problems:
        raise collected(problems)
    return tuple(found)


def accelerator_of(machine: Machine) -> Accelerator:
    """The machine as `PRESET` with its own multipliers, buffer, bandwidth and clock."""
    bits = 8 * machine.bytes_per_cycle
    wires = ceil(bits)
    return load_accelerator(
        PRESET,
        {
            "clock": round(machine.clock_ghz * 10**9),
            "engine.multipliers": machine.multipliers,
            "memories.buffer.size": machine.buffer_kib * 2**10,
            "memories.dram.port.read_bits": wires,
            "memories.dram.port.write_bits": wires,
            "memories.dram.efficiency": float(bits / wires),
        },
    )
