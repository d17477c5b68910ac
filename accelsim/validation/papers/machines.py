"""Published machines: what each has, and the frames a second that its makers give for a network."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.errors import InputError, collected
from accelsim.hardware.accelerator import Accelerator, load_accelerator
from accelsim.network.graph import Network
from accelsim.network.load import load_network
from accelsim.validation.measured import read_text

#: The file of a folder of published machines.
MACHINES = "machines.csv"
#: What all machines are like that a row does not say otherwise: NVDLA, with the memories `buffer` and `dram`.
PRESET = "feature-map-npu"

#: reproduced: by the figure's own, public definition. assumed: the definition has gaps, and what fills them is named.
#: not reproducible: what it would take is not public; what is predicted, if anything, is what a named rule gives.
Status = Literal["reproduced", "assumed", "not reproducible"]
STATUSES: tuple[str, ...] = get_args(Status)


class Machine(BaseModel):
    """A line of `machines.csv`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: str = Field(min_length=1)
    network: str = Field(min_length=1)
    multipliers: int = Field(gt=0, le=10**9)
    buffer_kib: int = Field(gt=0, le=2**40)
    gb_per_s: Fraction = Field(gt=0, le=10**6)
    clock_ghz: Fraction = Field(gt=0, le=1000)
    frames_per_second: float = Field(gt=0)
    status: Status = "assumed"
    source: str = ""
    assumption: str = ""

    @property
    def bytes_per_cycle(self) -> Fraction:
        """What its SDRAM moves."""
        return self.gb_per_s / self.clock_ghz

    @property
    def moved_bytes_at_most(self) -> float:
        """Bytes that its SDRAM can move in the time of a published frame."""
        return float(self.gb_per_s) * 10**9 / self.frames_per_second


REQUIRED = tuple(name for name, field in Machine.model_fields.items() if field.is_required())
COLUMNS = tuple(Machine.model_fields)
FORM = f"a folder with {MACHINES}, a machine a line, whose first line names {', '.join(REQUIRED)}"


def read_machines(folder: Path) -> tuple[Machine, ...]:
    """All machines of a folder, in the order of its file.

    Raises `InputError` with file, line, value and rule for every line that is no machine, and keys given twice.
    """
    path = folder / MACHINES
    lines = _text(path).splitlines()
    header = next(csv.reader(lines[:1]), [])
    problems = _header_problems(path, header)
    if problems:
        raise collected(problems)
    found: dict[str, tuple[str, Machine]] = {}
    for place, cells in _cells(path, lines, header, problems):
        machine = _machine(place, cells, problems)
        if machine is not None and machine.key in found:
            problems.append(f"{place}: {machine.key} is given twice, first at {found[machine.key][0]}")
        elif machine is not None:
            found[machine.key] = place, machine
    if problems:
        raise collected(problems)
    return tuple(machine for _, machine in found.values())


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: no such file; --data takes {FORM}")
    return read_text(path)


def _header_problems(path: Path, header: list[str]) -> list[str]:
    missing = [name for name in REQUIRED if name not in header]
    others = [name for name in header if name not in COLUMNS or header.count(name) > 1]
    problems = [f"{path}:1: no column {', '.join(missing)}; --data takes {FORM}"] if missing else []
    if others:
        problems.append(f"{path}:1: column {', '.join(dict.fromkeys(others))}: use each of {', '.join(COLUMNS)} once")
    return problems


def _cells(
    path: Path, lines: list[str], header: list[str], problems: list[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """The filled cells of every line, by column."""
    reader = csv.reader(lines[1:], strict=True)
    try:
        for values in reader:
            place = f"{path}:{reader.line_num + 1}"
            if values and len(values) != len(header):
                problems.append(f"{place}: {len(values)} values for {len(header)} columns")
            elif values:
                yield place, {name: value for name, value in zip(header, values, strict=True) if value.strip()}
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num + 1}: {error}")


def _machine(place: str, cells: Mapping[str, str], problems: list[str]) -> Machine | None:
    try:
        return Machine.model_validate(cells)
    except ValidationError as error:
        problems += [f"{place}: {_rule(fault)}" for fault in error.errors()]
        return None


def _rule(fault: Any) -> str:
    (column,) = fault["loc"]
    if fault["type"] == "missing":
        return f"{column} is empty; every machine has one"
    return f"{column} = '{str(fault['input'])[:40]}': {fault['msg']}"


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
