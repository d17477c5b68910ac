"""Buffers as they are sized: edges that share one capacity, what each needs alone, and what all of them come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design
from accelsim.network.reach import Granularity
from accelsim.timing.lower import token_elements

Ints = NDArray[np.int64]


class Buffer(NamedTuple):
    """Edges that share one capacity, the tokens they need at least, and the elements of one."""

    edges: Ints
    bound: int
    elements: int

    @property
    def number(self) -> int:
        """Its first edge, which tells it from all others."""
        return int(self.edges[0])

    def tokens(self, capacity: Ints) -> int:
        """What it holds of `capacity`, int64[edges] of the design."""
        return int(capacity[self.number])


def buffers_of(design: Design, granularity: Granularity) -> tuple[Buffer, ...]:
    """The buffers of a design: one an edge, or under `fork: shared` one for all edges of a producer."""
    bounds = edge_bounds(design, granularity)
    sharing: dict[str, list[int]] = {}
    for position, edge in enumerate(design.edges):
        owner = edge.producer if design.accelerator.fork == "shared" else edge.name
        sharing.setdefault(owner, []).append(position)
    return tuple(
        Buffer(
            np.array(edges),
            max(bounds[design.edges[k].name] for k in edges),
            token_elements(design.edges[edges[0]].tensor, granularity),
        )
        for edges in sharing.values()
    )


def bounds_of(buffers: Sequence[Buffer], edges: int) -> Ints:
    """Capacities of `edges` edges that are each buffer's bound."""
    capacity = np.zeros(edges, np.int64)
    for buffer in buffers:
        capacity[buffer.edges] = buffer.bound
    return capacity


def total_elements(buffers: Sequence[Buffer], capacity: Ints) -> int:
    """Elements of all buffers together, a shared one counted once."""
    return sum(buffer.elements * buffer.tokens(capacity) for buffer in buffers)
