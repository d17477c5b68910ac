"""What no schedule can beat, in closed form: an oracle that knows nothing of the simulator.

Interval. Every stage is busy `work_cycles` a frame, and a paced source offers a frame each `pace_cycles`.

Latency. No frame is through before its slowest stage has done the work that the last outputs depend on
and the result has passed the latencies of the stages behind it.
"""

from __future__ import annotations

import numpy as np

from accelsim.mapping.buffers import needed_and_held, tokens_made
from accelsim.mapping.design import Design, Edge
from accelsim.network.reach import Granularity


def interval_bound_cycles(design: Design, source: str) -> int:
    """Least cycles between frames: the busiest stage's work, or the pace of a paced source."""
    return max(design.bottleneck_cycles, design.pace_cycles if source == "paced" else 0)


def latency_bound_cycles(design: Design, granularity: Granularity) -> int:
    """Least cycles from a frame's first pixel to its last output token.

    The last outputs depend on the first R firings of each stage; those take R intervals, and what
    they make then passes the latencies of the stages that wait for the last of them.
    """
    ahead = _firings_without_input(design, granularity)
    required: dict[str, int] = {}
    drain: dict[str, int] = {}
    least = 0
    below: dict[str, list[Edge]] = {stage.name: [] for stage in design.stages}
    for edge in design.edges:
        below[edge.producer].append(edge)
    for stage in reversed(design.stages):
        firings = stage.fired.rows if granularity == "row" else stage.fired.pixels
        ways = [(firings, 0)] if stage.name in design.output_stages else []
        for edge in below[stage.name]:
            if edge.consumer not in required:
                continue
            needed, _ = needed_and_held(design, edge, granularity)
            token = int(needed[required[edge.consumer] - 1])
            if token >= 0:
                firing = int(tokens_made(stage, granularity, np.arange(firings))[token])
                ways.append((firing + 1, drain[edge.consumer]))
        if not ways:
            continue
        required[stage.name] = max(count for count, _ in ways)
        downstream = max(cycles for count, cycles in ways if count == required[stage.name])
        drain[stage.name] = stage.latency_cycles + downstream
        work = stage.work_cycles * (required[stage.name] - ahead[stage.name]) // firings
        least = max(least, work + drain[stage.name])
    return least


def _firings_without_input(design: Design, granularity: Granularity) -> dict[str, int]:
    """For each stage the first firings that read padding only: they may be done before the frame comes."""
    incoming: dict[str, list[Edge]] = {stage.name: [] for stage in design.stages}
    for edge in design.edges:
        incoming[edge.consumer].append(edge)
    ahead: dict[str, int] = {}
    for stage in design.stages:
        firings = stage.fired.rows if granularity == "row" else stage.fired.pixels
        free = 0 if stage.is_source else firings
        for edge in incoming[stage.name]:
            producer = design.stage_by_name[edge.producer]
            order = np.arange(producer.fired.rows if granularity == "row" else producer.fired.pixels)
            tokens = int(np.searchsorted(tokens_made(producer, granularity, order), ahead[edge.producer]))
            needed, _ = needed_and_held(design, edge, granularity)
            free = min(free, int(np.searchsorted(needed, tokens)))
        ahead[stage.name] = free
    return ahead
