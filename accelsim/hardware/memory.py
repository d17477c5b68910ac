"""A level of the memory hierarchy: what it holds, and how fast its port moves it."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from accelsim.hardware.quantities import BurstBytes, Bytes, Node
from accelsim.units import ceil_div

#: Below this a port is rather described by fewer bits.
LEAST_EFFICIENCY = 0.001


class MemoryPort(BaseModel):
    """What every bank moves a cycle; `shared` where reads and writes take turns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read_bits: int = Field(gt=0, le=10**6, description="bits a cycle that each bank reads")
    write_bits: int = Field(gt=0, le=10**6, description="bits a cycle that each bank writes")
    shared: bool = Field(True, description="true: one port that reads or writes; false: a port for each")


class Memory(BaseModel):
    """One level. Tensors lie across all banks, so a transfer moves `banks` x bits x `efficiency` a cycle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Bytes = Field(description="bytes it holds; text with a unit (256 KiB) or an integer")
    port: MemoryPort = Field(
        description="how wide it is, such as {read_bits: 64, write_bits: 64}, and whether reads and writes share it"
    )
    banks: int = Field(1, gt=0, le=10**6, description="banks that work side by side")
    latency_cycles: int = Field(0, ge=0, le=10**6, description="cycles from a request to its first data")
    burst: BurstBytes = Field(1, description="bytes that a request moves at least; more are rounded up to whole bursts")
    outstanding: int = Field(64, gt=0, le=10**6, description="bursts that one requester has under way at most")
    efficiency: float = Field(
        1.0, ge=LEAST_EFFICIENCY, le=1, allow_inf_nan=False, description="share of the port's cycles that carry data"
    )
    arbitration: Literal["first-come", "slots"] = Field(
        "first-come",
        description="who is served first: the first to ask, or everyone in fixed turns in proportion to its bytes",
    )
    kind: str | None = Field(
        None,
        max_length=40,
        description="sram, or a kind of DRAM that the machine's technology lists; by default sram, and the last memory "
        "the first kind of DRAM in the list",
    )
    macro: Bytes | None = Field(
        None,
        description="bytes of the SRAM block that an access goes to, or all of a smaller memory; its energy depends on "
        "that; null: a bank",
    )
    energy_pj_per_byte: float | None = Field(
        None,
        ge=0,
        le=10**9,
        allow_inf_nan=False,
        description="picojoules to read or write a byte; null: as the machine's technology has it by macro and kind",
    )
    source: str | None = Field(None, max_length=400, description="where energy_pj_per_byte is from")
    node: Node | None = Field(None, description="process node of energy_pj_per_byte; null: that of the technology")

    @field_validator("source", "node")
    @classmethod
    def _belong_to_a_figure(cls, told: str | None, info: ValidationInfo) -> str | None:
        if told is not None and info.data.get("energy_pj_per_byte", 0) is None:
            raise ValueError("tells of energy_pj_per_byte, which is not given; give that too, or leave this out")
        return told

    @field_validator("burst")
    @classmethod
    def _fit_a_burst(cls, burst: int, info: ValidationInfo) -> int:
        size = info.data.get("size", burst)
        if burst > size:
            raise ValueError(f"Input should be at most the size of the memory, {size} B")
        return burst

    def bytes_per_cycle(self, write: bool) -> Fraction:
        """What the port moves while it is held."""
        bits = self.port.write_bits if write else self.port.read_bits
        return Fraction(bits * self.banks, 8) * Fraction(str(self.efficiency))

    def requester_bytes_per_cycle(self, write: bool) -> Fraction:
        """What one requester gets of an idle port at most.

        A burst of B bytes is under way for its latency and the B / rate cycles of its data, and no more than
        `outstanding` are under way at a time (Little's law: rate = work in progress / time in progress).
        """
        rate = self.bytes_per_cycle(write)
        return min(rate, self.outstanding * self.burst / (self.latency_cycles + self.burst / rate))

    def held_cycles(self, moved_bytes: int, write: bool) -> int:
        """Cycles for which a request of `moved_bytes` holds the port: whole bursts, at least a cycle."""
        return max(1, ceil(self._whole_bursts(moved_bytes) / self.bytes_per_cycle(write)))

    def request_cycles(self, moved_bytes: int, write: bool) -> int:
        """Cycles from one such request to the next of the same requester, at least those it holds the port."""
        return max(1, ceil(self._whole_bursts(moved_bytes) / self.requester_bytes_per_cycle(write)))

    def _whole_bursts(self, moved_bytes: int) -> int:
        return ceil_div(moved_bytes, self.burst) * self.burst
