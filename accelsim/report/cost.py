"""The parts of a report about energy, area and the roofline, as JSON has them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from accelsim.cost.parts import Part


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EnergyRow(_Part):
    """What one layer takes for one kind of access in a frame."""

    layer: str = Field(description="chip for leakage")
    part: Part = Field(
        description="products and their sums; additions and multiplications of other layers; weights, maps and sums of "
        "some taps, read and written in the first memory; bytes through the port of a memory; or leakage"
    )
    memory: str | None = Field(description="null for MACs and leakage")
    unit: Literal["MAC", "operation", "byte", "second"]
    count: float = Field(description="of the unit, a frame")
    pj_each: float = Field(description="picojoules of one")
    energy_fj: float = Field(description="whole femtojoules a frame: these add up to the total exactly")
    energy_pj: float = Field(description="the same in picojoules")
    source: str = Field(description="of the figure in pj_each")
    node: str = Field(description="process node of the figure")


class EnergyParts(_Part):
    """Picojoules a frame by what they are for, as the rows have it; 0 where nothing of the kind is done."""

    mac: float
    add: float = Field(description="additions and comparisons of layers that are no products")
    multiply: float = Field(description="multiplications of such layers")
    weight_read: float
    weight_write: float
    buffer_read: float
    buffer_write: float
    sum_read: float
    sum_write: float
    memory_read: float
    memory_write: float
    leakage: float | None = Field(description="null where its power is not known")


class Energy(_Part):
    """Energy of a frame; one process node."""

    technology: str
    node: str
    total_fj: float = Field(description="sum of the rows, whole femtojoules")
    total_pj: float
    total_joules: float
    power_watts: float = Field(description="total / interval")
    by_part: EnergyParts
    by_memory: dict[str, float] = Field(description="picojoules, by memory")
    rows: tuple[EnergyRow, ...]
    rules: tuple[str, ...] = Field(description="how all this is counted, and what is not")


class AreaRow(_Part):
    """A part of the chip."""

    name: str = Field(description="multipliers, the adders behind them, or a memory")
    count: int
    um2_each: float
    area_um2: float = Field(description="whole square micrometres: these add up to the total exactly")
    source: str
    node: str


class Area(_Part):
    """What multipliers and memory cells take, at the least."""

    technology: str
    node: str
    total_um2: float = Field(description="sum of the rows")
    total_mm2: float
    budget_mm2: float | None = Field(description="null where the machine has none")
    rows: tuple[AreaRow, ...]


class RooflineRow(_Part):
    """What bounds a layer with MACs: its multipliers, or the port of a memory."""

    layer: str
    macs: int = Field(description="a frame")
    off_chip_bytes: float = Field(description="a frame, read and written")
    macs_per_byte: float | None = Field(description="null where nothing passes off the chip")
    peak_macs_per_second: float = Field(description="of the multipliers that it has been given")
    attainable_macs_per_second: float = Field(description="with the ports of all memories to itself: the roof")
    attained_macs_per_second: float = Field(
        description="while its segment has the engine, or, where weights that load in turns before take a port longer "
        "than that, while they do"
    )
    bound: str = Field(description="what makes the roof: compute, or a memory")
