"""Multipliers against memory at one frame rate, as a table."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from accelsim.hardware.accelerator import Accelerator
from accelsim.network.graph import Network
from accelsim.report.tables import Table, quantity
from accelsim.timing.map_network import map_curve


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TradePoint(_Part):
    """One mapping."""

    multipliers: int
    elements: int = Field(description="of all buffers, sized together at the pace; a shared one counts once")
    bytes: int
    stored_elements: int = Field(description="sum of the buffers' peaks if they are unbounded")


class Trade(_Part):
    """What `map --objective buffering --curve --json` prints."""

    network: str
    accelerator: str
    pace_cycles: int
    frames_per_second: float
    budget: int = Field(description="multipliers of the engine")
    points: tuple[TradePoint, ...] = Field(description="ever more multipliers and ever less memory")


def trade_report(net: Network, accelerator: Accelerator, target_fps: float | None = None) -> Trade:
    """The mappings of `net` that buffer least for their multipliers, at `target_fps` or as fast as can be."""
    curve = map_curve(net, accelerator, target_fps)
    pace = max(curve[0].design.pace_cycles, curve[0].design.bottleneck_cycles)
    points = tuple(
        TradePoint(
            multipliers=point.multipliers,
            elements=point.elements,
            bytes=-(-point.elements * accelerator.activation_bits // 8),
            stored_elements=point.stored,
        )
        for point in curve
    )
    return Trade(
        network=net.name,
        accelerator=accelerator.name,
        pace_cycles=pace,
        frames_per_second=accelerator.clock_hz / pace,
        budget=accelerator.engine.multipliers,
        points=points,
    )


def trade_table(trade: Trade) -> Table:
    """A line a mapping, cheapest first."""
    most = trade.points[0].elements
    rows = tuple(
        (
            *(quantity(figure) for figure in (point.multipliers, point.elements, point.bytes)),
            f"{100 * (1 - point.elements / most):.1f} %",
            quantity(point.stored_elements),
        )
        for point in trade.points
    )
    title = (
        f"{trade.network} on {trade.accelerator}: multipliers against memory at "
        f"{quantity(trade.frames_per_second)} frames a second ({trade.pace_cycles:,} cycles)"
    )
    note = f"Buffers sized together at that pace, by rows; up to {trade.budget:,} multipliers."
    return Table(title, ("multipliers", "elements", "bytes", "saved", "unbounded"), rows, (note,))
