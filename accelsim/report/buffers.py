"""What a row of the buffer table says of its edge, however the edge was simulated."""

from __future__ import annotations

from typing import Any

from accelsim.mapping.design import Edge


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
