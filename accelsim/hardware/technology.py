"""What an operation or an access takes in energy and area in a process, from published tables.

Every figure is exact (a fraction of what its table gives) and carries its source; one that lies between or beyond
the figures of a table is marked as derived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import resources
from math import exp, log
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from accelsim.errors import InputError
from accelsim.hardware.quantities import Bytes
from accelsim.yaml_file import read_document, suggestion, validated

#: Bits of an access to which a table's figures for memories belong.
ACCESS_BITS = 64
#: Digits after the point of derived figures, in picojoules or square micrometres.
DERIVED_DIGITS = 6

Arithmetic = Literal["integer", "float"]
Kind = Literal["add", "multiply"]

#: A figure of a table.
Positive = Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False)]
Bits = Annotated[int, Field(gt=0, le=1024)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Figure:
    """A value, in the unit of the function that gives it, and where it is from."""

    value: Fraction
    source: str

    def times(self, factor: Fraction) -> Figure:
        return Figure(self.value * factor, self.source)

    def plus(self, other: Figure) -> Figure:
        sources = dict.fromkeys((self.source, other.source))
        return Figure(self.value + other.value, "; ".join(sources))


class Operations(_Part):
    """Figures of adders and multipliers by bits of their operands."""

    source: str = Field(min_length=1, description="publication, and the process of its figures")
    add: dict[Bits, Positive] = Field(min_length=2, description="an addition, by bits")
    multiply: dict[Bits, Positive] = Field(min_length=2, description="a multiplication, by bits of both operands")

    def of(self, kind: Kind, first_bits: int, second_bits: int) -> Figure:
        """Of operands that differ in width, a multiplier is taken for a square one of as many bit products."""
        table = self.add if kind == "add" else self.multiply
        width = max(first_bits, second_bits) if kind == "add" else (first_bits * second_bits) ** 0.5
        return _on_line(table, width, self.source)


class SramEnergy(_Part):
    """Energy of an access of 64 bits by size of the memory."""

    source: str = Field(min_length=1, description="publication, and the process of its figures")
    access: dict[Bytes, Positive] = Field(min_length=2, description="64 bits read or written, by bytes of the memory")


class SramArea(_Part):
    """Area of a bit."""

    source: str = Field(min_length=1, description="publication, and the process of its figures")
    bit: Positive = Field(description="a bit cell, without what is around it")


class DramEnergy(_Part):
    """Energy of an access of 64 bits by kind of DRAM."""

    source: str = Field(min_length=1, description="publication, and the process of its figures")
    access: dict[str, Positive] = Field(min_length=1, description="64 bits read or written, by kind")


class Technology(_Part):
    """A process with its tables; what has no table is not modelled in it."""

    name: str
    node: str = Field(pattern=r"^[0-9]+nm$", description="process node, such as 45nm")
    integer_energy_pj: Operations
    float_energy_pj: Operations
    integer_area_um2: Operations | None = None
    sram_energy_pj: SramEnergy
    sram_area_um2: SramArea | None = None
    dram_energy_pj: DramEnergy

    def operation_pj(self, kind: Kind, first_bits: int, second_bits: int, arithmetic: Arithmetic = "integer") -> Figure:
        """Picojoules of an addition or multiplication."""
        table = self.integer_energy_pj if arithmetic == "integer" else self.float_energy_pj
        return table.of(kind, first_bits, second_bits)

    def operation_um2(self, kind: Kind, first_bits: int, second_bits: int) -> Figure | None:
        """Square micrometres of an integer adder or multiplier; None where the technology has no areas."""
        table = self.integer_area_um2
        return None if table is None else table.of(kind, first_bits, second_bits)

    def sram_pj_per_byte(self, size_bytes: int) -> Figure:
        """Picojoules a byte read from or written to an SRAM of this size; energy goes with the width of an access."""
        table = self.sram_energy_pj
        return _on_line(table.access, size_bytes, table.source).times(Fraction(8, ACCESS_BITS))

    def sram_um2(self, size_bytes: int) -> Figure | None:
        """Square micrometres of the cells of an SRAM; None where the technology has no areas."""
        table = self.sram_area_um2
        return None if table is None else Figure(_exact(table.bit) * 8 * size_bytes, table.source)

    def dram_pj_per_byte(self, kind: str | None = None) -> Figure:
        """Picojoules a byte, of the first kind in the table where none is named."""
        table = self.dram_energy_pj
        access = table.access[kind] if kind else next(iter(table.access.values()))
        return Figure(_exact(access) * 8 / ACCESS_BITS, table.source)

    @property
    def dram_kinds(self) -> tuple[str, ...]:
        return tuple(self.dram_energy_pj.access)


def _exact(figure: float) -> Fraction:
    """A figure as its table has it in decimals."""
    return Fraction(str(figure))


def _on_line(table: Mapping[int, float], size: float, source: str) -> Figure:
    """The figure at `size`: the table's own, or on the straight line through the nearest two on log-log paper."""
    if size in table:
        return Figure(_exact(table[int(size)]), source)
    sizes = sorted(table)
    above = next((k for k, known in enumerate(sizes) if known > size), len(sizes))
    low, high = sizes[min(max(above - 1, 0), len(sizes) - 2) :][:2]
    slope = log(table[high] / table[low]) / log(high / low)
    value = table[low] * exp(slope * log(size / low))
    return Figure(
        Fraction(str(round(value, DERIVED_DIGITS))), f"{source}, derived: a line through {low:,} and {high:,}"
    )


def _folder() -> Path:
    return Path(str(resources.files("accelsim.hardware") / "technologies"))


@lru_cache(maxsize=1)
def technologies() -> tuple[str, ...]:
    """Names of all technologies that there are."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


@lru_cache(maxsize=32)
def load_technology(name: str) -> Technology:
    """A technology by name. Raises `InputError` for a name that is none, with those there are."""
    if name not in technologies():
        raise InputError(f"unknown technology{suggestion(name, list(technologies()))}")
    return validated(Technology, read_document(_folder() / f"{name}.yaml"))
