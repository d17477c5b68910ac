"""Who is to blame for a stage's waiting."""

from __future__ import annotations

from accelsim.timing.kernels.pipeline import INPUT, SPACE
from accelsim.timing.simulate import Trace


def worst_edges(trace: Trace) -> list[str | None]:
    """For each stage the edge that it waited on longest, as a reader for input or as a producer for space."""
    worst: list[tuple[int, str | None]] = [(0, None)] * len(trace.design.stages)
    for k, edge in enumerate(trace.design.edges):
        for stage, cycles in ((edge.consumer, trace.waited_on[k, INPUT]), (edge.producer, trace.waited_on[k, SPACE])):
            position = trace.stage_index[stage]
            if cycles > worst[position][0]:
                worst[position] = (int(cycles), edge.name)
    return [name for _, name in worst]
