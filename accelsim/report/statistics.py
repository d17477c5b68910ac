"""What a network's numbers were like when it was executed, as reports and inspections show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from accelsim.network.statistics import DENSITIES
from accelsim.report.tables import Table

if TYPE_CHECKING:
    from accelsim.network.graph import Network


class StatisticsRow(BaseModel):
    """What a layer's numbers were like when the network was executed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str
    least: float
    most: float
    zero_density: float = Field(description="share of outputs that stand for 0")
    bit_density: float | None = Field(description="share of ones among the bits of outputs' magnitudes")
    weight_zero_density: float | None
    weight_bit_density: float | None
    sparsity: float | None = Field(description="share of multiplications of which an operand is 0")


def statistics_rows(net: Network) -> tuple[StatisticsRow, ...]:
    """The statistics that a network carries, in topological order."""
    known = [node.name for node in net.nodes if node.name in net.statistics]
    return tuple(StatisticsRow(layer=name, **asdict(net.statistics[name])) for name in known)


def statistics_table(rows: Sequence[StatisticsRow]) -> Table:
    """Ranges and densities by layer; densities in percent."""
    texts = (
        (row.layer, f"{row.least:.4g}", f"{row.most:.4g}", *(_percent(getattr(row, name)) for name in DENSITIES))
        for row in rows
    )
    heads = ("layer|", "least", "most", "zeros %", "ones %", "zero weights %", "ones in weights %", "idle products %")
    return Table("Numbers, as executed", heads, tuple(texts), ("ones are among the bits of magnitudes",))


def idlest_table(rows: Sequence[StatisticsRow], most: int) -> Table | None:
    """The same of those layers of which most products have an operand that is 0; None where none multiplies."""
    multiplying = sorted((row for row in rows if row.sparsity is not None), key=lambda row: -(row.sparsity or 0))
    if not multiplying:
        return None
    count = len(multiplying)
    title = f"Numbers, as executed: most idle products ({min(most, count)} of {count} layers with products)"
    return replace(statistics_table(multiplying[:most]), title=title)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
