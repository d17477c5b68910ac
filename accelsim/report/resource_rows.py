"""FPGA primitives in a report: a row a part of a layer, totals, and what the device has."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from accelsim.cost.parts import ResourcePart


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ResourceRow(_Part):
    """Primitives of one part of a layer."""

    layer: str
    part: ResourcePart = Field(
        description="multipliers, weights, thresholds, arithmetic without weights, or a buffer in front"
    )
    name: str = Field(description="the edge of a buffer, or what is stored")
    width_bits: int = Field(description="of its memory; 0 where it has none")
    words: int = Field(description="of its memory; 0 where it has none")
    dsp: int
    lut: int
    bram18: int = Field(description="block RAMs of 18 Kib, two of which are one of 36 Kib")
    uram: int


class ResourceTotal(_Part):
    """All of one primitive."""

    used: int
    available: int | None = Field(description="null where the machine names no device")
    utilisation: float | None = Field(description="used / available; more than 1 does not fit")


class Resources(_Part):
    """What a pipeline of streaming blocks takes of an FPGA."""

    device: str | None
    dsp: ResourceTotal
    lut: ResourceTotal
    bram36: ResourceTotal
    uram: ResourceTotal
    rows: tuple[ResourceRow, ...]
    not_counted: tuple[str, ...] = Field(description="stages for which there is no figure: the totals lack them")
    rules: tuple[str, ...] = Field(description="how all this is counted, and what is not")
