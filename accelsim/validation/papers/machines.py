"""Published machines: what each has, and the frames a second that its makers give for a network."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path

from pydantic import Field

from accelsim.hardware.accelerator import Accelerator, load_accelerator
from accelsim.network.graph import Network
from accelsim.network.load import load_network
from accelsim.validation.papers.lines import Line, read_lines

#: The file of a folder of published machines.
MACHINES = "machines.csv"
#: What all machines are like that a line does not say otherwise: NVDLA, with the memories `buffer` and `dram`.
PRESET = "feature-map-npu"


class Machine(Line):
    """A line of `machines.csv`; `estimator` where the closed forms of NVDLA's makers are meant to apply."""

    network: str = Field(min_length=1)
    multipliers: int = Field(gt=0, le=10**9)
    buffer_kib: int = Field(gt=0, le=2**40)
    gb_per_s: Fraction = Field(gt=0, le=10**6)
    clock_ghz: Fraction = Field(gt=0, le=1000)
    frames_per_second: float = Field(gt=0)
    estimator: bool = True

    @property
    def bytes_per_cycle(self) -> Fraction:
        """What its SDRAM moves."""
        return self.gb_per_s / self.clock_ghz


def read_machines(folder: Path) -> tuple[Machine, ...]:
    """All machines of a folder. Raises `InputError` as `read_lines` does."""
    return read_lines(folder / MACHINES, Machine)


def network_of(machine: Machine, folder: Path) -> Network:
    """The network a machine is published for: a registered one, or a file of `folder`."""
    path = folder / machine.network
    return load_network(str(path) if path.is_file() else machine.network)


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
