"""What the consumer of an edge reads of it, and what the producer gives at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware.streaming import StreamBlocks
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.network.reach import Granularity, token_reach
from accelsim.units import ceil_div

Ints = NDArray[np.int64]


def blocks_of(design: Design) -> StreamBlocks:
    """The blocks that the machine describes, or those of the library that was measured."""
    return design.accelerator.blocks or StreamBlocks()


def reach_of(design: Design, edge: Edge, granularity: Granularity = "pixel") -> tuple[Ints, Ints, Ints]:
    """By firing of the consumer the first token that it reads, the last of it and those before, and its last."""
    node = design.stage_by_name[edge.consumer].group.node
    found = token_reach(
        node.layer, edge.operand, design.network.sources(node), design.network.tensors[node.name], granularity
    )
    return found.first, np.maximum.accumulate(found.last), found.last


def given_channels(stage: Stage) -> int:
    """Channels that a stage gives at a time."""
    if stage.unroll is not None:
        return stage.unroll.outputs
    return ceil_div(stage.tensor.channels, stage.interval_cycles)


def readers_of(design: Design, producer: str) -> tuple[Edge, ...]:
    """The edges of all that read what a stage makes."""
    return tuple(edge for edge in design.edges if edge.producer == producer)
