"""What a row of the buffer table says of its edge, however the edge was simulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accelsim.mapping.design import Edge
from accelsim.report.report import BufferRow


def edge_columns(edge: Edge, token_elements: int) -> dict[str, Any]:
    """The columns of a `BufferRow` that no simulation changes; a token of the edge has `token_elements`."""
    return {
        "edge": edge.name,
        "producer": edge.producer,
        "consumer": edge.consumer,
        "role": edge.role,
        "tensor": edge.tensor.label,
        "token_elements": token_elements,
        "frame_elements": edge.tensor.elements,
    }


def rooms(rows: Sequence[BufferRow]) -> dict[str, int]:
    """Elements that each buffer has room for, by edge: its capacity, or its peak where that is unbounded."""
    return {row.edge: row.peak_elements if row.capacity_elements is None else row.capacity_elements for row in rows}
