"""A level of the memory hierarchy: what it holds, and how fast its port moves it."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from accelsim.hardware.quantities import Bytes
from accelsim.units import ceil_div


class MemoryPort(BaseModel):
    """What every bank moves a cycle; `shared` where reads and writes take turns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read_bits: int = Field(gt=0, le=10**6, description="bits a cycle that a bank reads")
    write_bits: int = Field(gt=0, le=10**6, description="bits a cycle that a bank writes")
    shared: bool = Field(True, description="one port that reads or writes, or one for each")


class Memory(BaseModel):
    """One level. Tensors lie across all banks, so a transfer moves `banks` x bits x `efficiency` a cycle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Bytes = Field(description="bytes it holds; text with a unit (256 KiB) or an integer")
    port: MemoryPort
    banks: int = Field(1, gt=0, le=10**6, description="banks that work side by side")
    latency_cycles: int = Field(0, ge=0, le=10**6, description="cycles from a request to its first data")
    burst: Bytes = Field(1, le=2**20, description="bytes that a request moves at least; shorter ones cost as much")
    outstanding: int = Field(64, gt=0, le=10**6, description="bursts that one requester has under way at most")
    efficiency: float = Field(1.0, gt=0, le=1, description="share of the port's cycles that carry data")
    arbitration: Literal["first-come", "slots"] = Field(
        "first-come",
        description="who is served first: the first to ask, or everyone in fixed turns in proportion to its bytes",
    )
    energy_pj_per_byte: float | None = Field(None, ge=0, description="energy of moving a byte, for mapping by energy")

    def bytes_per_cycle(self, write: bool) -> Fraction:
        """What the port moves while it is held."""
        bits = self.port.write_bits if write else self.port.read_bits
        return Fraction(bits * self.banks, 8) * Fraction(str(self.efficiency))

    def held_cycles(self, moved_bytes: int, write: bool) -> int:
        """Cycles for which a request of `moved_bytes` holds the port: whole bursts, at least a cycle."""
        bursts = ceil_div(moved_bytes, self.burst) * self.burst
        rate = self.bytes_per_cycle(write)
        return max(1, ceil_div(bursts * rate.denominator, rate.numerator))

    def request_cycles(self, moved_bytes: int, write: bool) -> int:
        """Cycles from one such request to the next of the same requester.

        With `outstanding` bursts of B bytes under way, each back after `latency_cycles`, no more than
        outstanding x B / latency bytes a cycle arrive (Little's law).
        """
        bursts = ceil_div(moved_bytes, self.burst)
        held = self.held_cycles(moved_bytes, write)
        return max(held, ceil_div(bursts * self.latency_cycles, self.outstanding))
